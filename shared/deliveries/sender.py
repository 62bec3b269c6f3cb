"""Posting to a destination, by rules of its own.

Where a destination is, an operator says; what stands behind its name, others do. So, other than for
Graph: the address is judged, before anything is sent and again once it is connected; no proxy of
the environment is used, for it would look the name up by itself; and a connection serves one
delivery. Redirects are not followed: a redirect's status is a failure like any other.
"""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import urllib3
from urllib3.connection import HTTPConnection

from shared.core.deadline import Deadline
from shared.core.errors import root_cause
from shared.core.http_client import ConnectionFailed, DeadlineExceeded
from shared.deliveries.addresses import AddressNotAllowed, check_address, is_loopback
from shared.deliveries.destinations import Endpoint

MAX_SECONDS = 15.0
"""For one delivery: name, connection, TLS, request and answer."""
MOST_AT_ONCE = 8
"""Deliveries to one destination that are under way in this process: of the host's 24 for the queue,
so that one that hangs leaves threads to the others."""
WAIT_SECONDS = 0.5
"""For one's turn: a destination that answers has room again by then."""
MAX_ANSWER_BYTES = 16 * 1024
"""So much of an answer is read, so that the receiver can finish; nobody looks at it."""
_CONNECT_SECONDS = 5.0
"""For each of a host's addresses: one that is out of reach must leave time for the next."""
_FAILURES = (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError)


class DestinationBusy(Exception):
    """As many deliveries to this destination are under way as may be."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a destination answered, as far as it matters.

    Attributes:
        status: The HTTP status.
        retry_after: The header Retry-After, as it came.
    """

    status: int
    retry_after: str | None


def resolve(host: str, port: int) -> list[str]:
    """Look up a host's addresses, the preferred one first.

    Raises:
        OSError: if the name leads nowhere.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Sender:
    """Sends deliveries, and nothing else.

    Args:
        context: whom TLS trusts.
        resolve: looks up a host's addresses.
        connect: opens a connection to an address and port, within so many seconds.
    """

    def __init__(
        self,
        *,
        context: ssl.SSLContext,
        resolve: Callable[[str, int], Sequence[str]] = resolve,
        connect: Callable[[tuple[str, int], float], socket.socket] = socket.create_connection,
    ) -> None:
        self._context = context
        self._resolve = resolve
        self._connect = connect
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Semaphore] = {}

    @contextlib.contextmanager
    def turn(self, destination: str) -> Iterator[None]:
        """Take one of a destination's turns, and give it back.

        Raises:
            DestinationBusy: if none is to be had within WAIT_SECONDS.
        """
        with self._lock:
            turns = self._turns.setdefault(destination, threading.Semaphore(MOST_AT_ONCE))
        if not turns.acquire(timeout=WAIT_SECONDS):
            raise DestinationBusy
        try:
            yield
        finally:
            turns.release()

    def post(
        self,
        endpoint: Endpoint,
        *,
        private: bool,
        headers: Mapping[str, str],
        body: bytes,
        deadline: Deadline,
    ) -> Receipt:
        """Post once, and read as much of the answer as counts.

        Args:
            endpoint: where to.
            private: whether that may be in a private network, or this machine.
            headers: all but Host, Content-Length and Connection.
            body: as it goes out.
            deadline: for all of it.

        Raises:
            AddressNotAllowed: if the name leads where no delivery may go. Nothing was sent.
            ConnectionFailed: if there is no connection, or it ended before the answer's head was
                there.
            DeadlineExceeded: if the deadline came first.
        """
        with (
            _errors_named(deadline),
            self._connected(endpoint, private=private, deadline=deadline) as sock,
            _cut_at(deadline, sock),
        ):
            connection = HTTPConnection(endpoint.host, endpoint.port, timeout=_seconds(deadline))
            connection.sock = sock
            sent = {"Host": endpoint.authority, "Connection": "close", **headers}
            connection.request(
                "POST",
                endpoint.target,
                body,
                sent,
                preload_content=False,
                decode_content=False,
                enforce_content_length=False,
            )
            with contextlib.closing(connection.getresponse()) as response:
                _seconds(deadline)  # a head that was cut passes for a whole one
                with contextlib.suppress(*_FAILURES):  # the answer is known by now
                    response.read(MAX_ANSWER_BYTES)
                return Receipt(response.status, response.headers.get("Retry-After"))

    def reach(self, endpoint: Endpoint, *, private: bool, deadline: Deadline) -> None:
        """Connect as for a delivery, TLS included, and send nothing. Raises as `post` does."""
        with (
            _errors_named(deadline),
            self._connected(endpoint, private=private, deadline=deadline),
        ):
            pass

    @contextlib.contextmanager
    def _connected(
        self, endpoint: Endpoint, *, private: bool, deadline: Deadline
    ) -> Iterator[socket.socket]:
        addresses = self._resolve(endpoint.host, endpoint.port)
        for address in addresses:
            _check(address, endpoint, private=private)
        sock = self._open(addresses, endpoint.port, deadline)
        try:
            _check(str(sock.getpeername()[0]), endpoint, private=private)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # head and body go apart
            if endpoint.secure:
                sock.settimeout(_seconds(deadline))  # for the whole handshake
                sock = self._context.wrap_socket(sock, server_hostname=endpoint.host)
            yield sock
        finally:
            sock.close()

    def _open(self, addresses: Sequence[str], port: int, deadline: Deadline) -> socket.socket:
        lost: OSError = OSError("the host has no address")
        for address in addresses:
            seconds = min(_CONNECT_SECONDS, _seconds(deadline))
            try:
                return self._connect((address, port), seconds)
            except OSError as error:
                lost = error
        raise lost


def _check(address: str, endpoint: Endpoint, *, private: bool) -> None:
    check_address(address, private=private)
    if not endpoint.secure and not is_loopback(address):
        raise AddressNotAllowed("Without TLS, the name has to lead to this machine.")


@contextlib.contextmanager
def _errors_named(deadline: Deadline) -> Iterator[None]:
    """Name a failure by its type alone: its text may hold the URL."""
    try:
        yield
    except _FAILURES as error:
        late = deadline.remaining() == 0
        raise (DeadlineExceeded if late else ConnectionFailed)(root_cause(error)) from None


@contextlib.contextmanager
def _cut_at(deadline: Deadline, sock: socket.socket) -> Iterator[None]:
    """Cut the connection at the deadline, whatever it is doing: a timeout is for one wait only."""

    def cut() -> None:
        with contextlib.suppress(OSError):
            # Not the TLS socket's own, which would take the session away under its reader.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(_seconds(deadline), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # else it could cut another connection that has the same number by then


def _seconds(deadline: Deadline) -> float:
    if (remaining := deadline.remaining()) <= 0:
        raise TimeoutError
    return remaining
