"""Posts deliveries to destinations.

An operator sets a destination's URL, but its owner decides where the host name leads. So deliveries
differ from calls to Graph:

- The address is checked before anything is sent, and again after the connection is open.
- The environment's proxy is not used, because it would look up the name itself.
- Each delivery has its own connection.
- Redirects are not followed. A redirect's status is a failure.
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
"""The limit for one delivery in seconds: DNS, connection, TLS, request and response."""
MOST_AT_ONCE = 8
"""How many deliveries to one destination may run at once in this process.

The host runs 24 for the queue. So a destination that hangs leaves threads to the others."""
WAIT_SECONDS = 0.5
"""How long a delivery waits for its turn, in seconds. A healthy destination is free by then."""
MAX_ANSWER_BYTES = 16 * 1024
"""How many bytes of a response are read, so that the receiver can finish. Nobody uses them."""
_CONNECT_SECONDS = 5.0
"""The limit for each of a host's addresses in seconds, which leaves time for the next address."""
_FAILURES = (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError)


class DestinationBusy(Exception):
    """As many deliveries to this destination are running as are allowed."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A destination's response.

    Attributes:
        status: The HTTP status.
        retry_after: The Retry-After header, unread.
    """

    status: int
    retry_after: str | None


def resolve(host: str, port: int) -> list[str]:
    """Look up a host's IP addresses, the preferred one first.

    Raises:
        OSError: if the name has no address.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Sender:
    """Posts deliveries.

    Args:
        context: the TLS context.
        resolve: looks up a host's IP addresses.
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
        """Wait for a turn at a destination, and give it back at the end.

        Raises:
            DestinationBusy: if no turn is free within WAIT_SECONDS.
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
        """Post once, and give the response's status.

        Args:
            endpoint: where to post.
            private: whether the destination may be in a private network or on this machine.
            headers: all headers but Host, Content-Length and Connection.
            body: the body to post.
            deadline: the limit for the whole delivery.

        Raises:
            AddressNotAllowed: if the name leads to an address that is not allowed. Nothing was
                sent.
            ConnectionFailed: if there is no connection, or it ended before the response's headers
                were complete.
            DeadlineExceeded: if the deadline passed before that.
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
                _seconds(deadline)  # http.client takes cut-off headers for complete ones
                with contextlib.suppress(*_FAILURES):  # the status is known already
                    response.read(MAX_ANSWER_BYTES)
                return Receipt(response.status, response.headers.get("Retry-After"))

    def reach(self, endpoint: Endpoint, *, private: bool, deadline: Deadline) -> None:
        """Connect as for a delivery, with TLS, and send nothing. The errors are those of `post`."""
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
            sock.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
            )  # headers and body are sent separately
            if endpoint.secure:
                sock.settimeout(_seconds(deadline))  # the limit for the whole handshake
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
    """Turn a failure into an error that holds only its type, because its text may hold the URL."""
    try:
        yield
    except _FAILURES as error:
        late = deadline.remaining() == 0
        raise (DeadlineExceeded if late else ConnectionFailed)(root_cause(error)) from None


@contextlib.contextmanager
def _cut_at(deadline: Deadline, sock: socket.socket) -> Iterator[None]:
    """Close the connection at the deadline. A socket's timeout limits only one wait."""

    def cut() -> None:
        with contextlib.suppress(OSError):
            # Not the TLS socket's own shutdown: it would remove the session during a read.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(_seconds(deadline), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # otherwise it could close a later connection with the same number


def _seconds(deadline: Deadline) -> float:
    if (remaining := deadline.remaining()) <= 0:
        raise TimeoutError
    return remaining
