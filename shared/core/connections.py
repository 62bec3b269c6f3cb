"""urllib3's pools and connections, driven by a deadline, and at little cost.

urllib3 opens connections, verifies who is there, tunnels through proxies and keeps what is open.
What then goes over a connection costs more CPU with it than the rest of a call to Graph, and its
timeouts are for each wait. So that is done here: the socket never blocks, and every wait ends at
the deadline, however slowly an answer trickles in.

A proxy is trusted with a little more: what it says before the tunnel stands, and all that comes by
TLS within TLS to a proxy that speaks it, has what time is left for each wait.
"""

import http.client
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import wait_for_read, wait_for_write

from shared.core.http_wire import MalformedResponse, Response, ResponseReader, write_request

_PART_BYTES = 65_536


class ConnectionFailed(Exception):
    """No connection, or it broke before the whole answer was there."""


class DeadlineExceeded(Exception):
    """The deadline came first."""


class _PlainConnection(HTTPConnection):
    deadline: float | None = None
    """Of `time.monotonic`: when the exchange that opens the connection has to end."""

    def _new_conn(self) -> socket.socket:
        """Share the time among the host's addresses: urllib3 gives all of it to each."""
        if self.deadline is None:
            return super()._new_conn()
        name = self._dns_host
        found = socket.getaddrinfo(name, self.port, type=socket.SOCK_STREAM)
        addresses = [str(address[0]) for *_, address in found]
        for left in range(len(addresses), 0, -1):
            self._dns_host, self.timeout = addresses[-left], _seconds_until(self.deadline) / left
            try:
                sock = super()._new_conn()
            except urllib3.exceptions.HTTPError:
                if left == 1:
                    raise
            else:
                sock.settimeout(_least_seconds_until(self.deadline))  # for the handshake
                return sock
            finally:
                self._dns_host = name
        raise OSError("the host has no address")

    def _tunnel(self) -> None:
        """Ask a proxy for the way on; it and the handshake behind it have what time is left."""
        if self.deadline is not None:
            self.sock.settimeout(_least_seconds_until(self.deadline))
        super()._tunnel()
        if self.deadline is not None:
            self.sock.settimeout(_least_seconds_until(self.deadline))


class _TlsConnection(_PlainConnection, HTTPSConnection):
    """The same, with TLS on top."""


class PlainPool(urllib3.HTTPConnectionPool):
    """The connections to one host."""

    ConnectionCls = _PlainConnection

    def exchange(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes, deadline: float
    ) -> Response:
        """Send a request and read its whole answer by the deadline (of `time.monotonic`).

        Args:
            method: GET or POST.
            target: as it goes out.
            headers: all of them; none is added.
            body: of the length that they say.
            deadline: of `time.monotonic`.

        Raises:
            ValueError: if the request cannot be written so.
            ConnectionFailed: before or in the middle of the answer.
            DeadlineExceeded: when the deadline came first.
            ResponseTooLarge: past MAX_RESPONSE_BYTES.
        """
        request = write_request(method, target, headers, body)
        reader = ResponseReader()
        connection: Any = self._get_conn()
        try:
            sock = self._connect(connection, deadline)
            _send(sock, request, deadline)
            # A look before anything can be there would be one more system call, at each of which
            # threads change places.
            _wait(wait_for_read, sock, deadline)
            while (answer := reader.feed(_receive(sock, deadline))) is None:
                pass
        except BaseException as error:
            # What is left of the request or the answer must not meet the next caller.
            connection.close()
            connection = None
            if isinstance(error, _LOST):
                raise _judged(error, deadline) from None
            raise
        else:
            # Of TLS within TLS something may be left where no look at the socket finds it.
            if not reader.keeps_open or not _never_blocks(sock):
                connection.close()
            return answer
        finally:
            self._put_conn(connection)

    def _connect(self, connection: Any, deadline: float) -> socket.socket:  # noqa: ANN401 - urllib3's
        """Open the connection unless it is, and let its socket block no more."""
        if connection.sock is None:
            connection.deadline, connection.timeout = deadline, _seconds_until(deadline)
            try:
                if self.proxy is not None:
                    self._prepare_proxy(connection)
                if connection.sock is None:
                    connection.connect()
            finally:
                connection.deadline = None
        sock: socket.socket = connection.sock
        # Other users of the session leave a timeout behind. TLS within TLS cannot do without.
        if not _never_blocks(sock) and isinstance(sock, socket.socket):
            sock.settimeout(0)
        return sock


class TlsPool(PlainPool, urllib3.HTTPSConnectionPool):
    """The same, with TLS on top."""

    ConnectionCls = _TlsConnection


def _never_blocks(sock: socket.socket) -> bool:
    return sock.gettimeout() == 0


def _least_seconds_until(deadline: float) -> float:
    """Give a timeout for a socket, which takes 0 for another mode."""
    return max(0.001, deadline - time.monotonic())


def _seconds_until(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("the time is spent")
    return remaining


def _wait(wait: Any, sock: socket.socket, deadline: float) -> None:  # noqa: ANN401 - one of urllib3's
    if not wait(sock, _seconds_until(deadline)):
        raise TimeoutError("the time is spent")


def _send(sock: socket.socket, message: bytes, deadline: float) -> None:
    left = memoryview(message)
    while left:
        _limit(sock, deadline)
        try:
            left = left[sock.send(left) :]
        except (ssl.SSLWantWriteError, BlockingIOError):
            _wait(wait_for_write, sock, deadline)
        except ssl.SSLWantReadError:
            _wait(wait_for_read, sock, deadline)


def _receive(sock: socket.socket, deadline: float) -> bytes:
    while True:
        _limit(sock, deadline)
        try:
            received = sock.recv(_PART_BYTES)
        except (ssl.SSLWantReadError, BlockingIOError):
            _wait(wait_for_read, sock, deadline)
        except ssl.SSLWantWriteError:
            _wait(wait_for_write, sock, deadline)
        else:
            if not received:
                raise ConnectionResetError("the answer broke off")
            return received


def _limit(sock: socket.socket, deadline: float) -> None:
    if not _never_blocks(sock):
        sock.settimeout(_seconds_until(deadline))


# http.client reads what a proxy says of its tunnel.
_LOST = (OSError, MalformedResponse, http.client.HTTPException, urllib3.exceptions.HTTPError)


def _judged(error: BaseException, deadline: float) -> ConnectionFailed | DeadlineExceeded:
    # urllib3 counts a refused connection among its timeouts.
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)
    waited = isinstance(error, (urllib3.exceptions.TimeoutError, TimeoutError))
    if (waited and not refused) or time.monotonic() >= deadline:
        return DeadlineExceeded()
    return ConnectionFailed(type(error).__name__)
