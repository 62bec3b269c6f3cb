"""urllib3's pools and connections, driven by a deadline, and at little cost.

An exchange ends in time however slowly an answer trickles in. Of what urllib3 does for each call
nothing is left out that guards it; what it builds around an answer, and nobody here reads, is:
that costs as much CPU as the call itself.
"""

import http.client
import io
import re
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

MAX_ANSWER_BYTES = 1024 * 1024
_LENIENCE = 0.05
"""Seconds by which a wait may miss its deadline.

To set a socket's timeout is a system call, at which threads change places; a call that is quick
can do with the one before.
"""
_PLAIN_HEAD = re.compile(
    rb"HTTP/1\.1 (?P<status>[2-5][0-9]{2}) [^\r\n]*\r\n"
    rb"(?P<headers>(?:[!#-9;-~]+:[^\r\n\0]*\r\n)*)\r\n"
)
"""A whole head (RFC 9112) without folded lines."""

_LENGTH = re.compile("[0-9]{1,15}")
_thread = threading.local()


class ConnectionLost(Exception):
    """No connection, or it broke before the whole answer was there."""


class TimeSpent(Exception):
    """The deadline came first."""


class AnswerTooLarge(Exception):
    """The answer is longer than any that makes sense; the rest was not read."""


class Headers(Protocol):
    """Headers by name, in any case."""

    def get(self, name: str, /) -> str | None:
        """Give a header's value, the first one's where it is there more than once."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, whole."""

    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)


def _seconds_until(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("the time is spent")
    return remaining


def _limit(sock: socket.socket, deadline: float) -> None:
    """Let a wait on the socket end by the deadline."""
    remaining = _seconds_until(deadline)
    timeout = sock.gettimeout()
    if timeout is None or abs(timeout - remaining) > _LENIENCE:
        sock.settimeout(remaining)


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket, giving each wait no more than what is left of the thread's time."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        super().__init__()
        self._sock = sock
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - as in typeshed
        deadline: float | None = getattr(_thread, "deadline", None)
        if deadline is not None:
            _limit(self._sock, deadline)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _PlainHeaders(dict[str, str]):
    """Headers by name in lower case."""

    def get(self, name: str, default: Any = None, /) -> Any:  # noqa: ANN401 - as dict has it
        return super().get(name.lower(), default)

    @classmethod
    def read(cls, lines: bytes) -> "_PlainHeaders | None":
        """Read header lines; None where they say anything about how the body is cut up."""
        headers = cls()
        for line in lines.decode("latin-1").split("\r\n")[:-1]:
            name, _, value = line.partition(":")
            headers.setdefault(name.lower(), value.strip(" \t"))
        return None if "transfer-encoding" in headers else headers


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(sock, *args, **kwargs)
        buffered: Any = self.fp
        self._reader: Any = io.BufferedReader(_DeadlineReader(sock, buffered.detach()))
        self.fp = self._reader

    def begin(self) -> None:
        """Read the head: as a plain one where it is one, else as the base class does.

        That one has the headers read by the parser for e-mail, at a quarter of a call's CPU.
        """
        in_an_exchange = getattr(_thread, "deadline", None) is not None
        head = _PLAIN_HEAD.match(self._reader.peek()) if in_an_exchange else None
        headers = _PlainHeaders.read(head["headers"]) if head else None
        length = headers.get("Content-Length") if headers else None
        if not head or not headers or length is None or not _LENGTH.fullmatch(length):
            super().begin()
            return
        self._reader.read(head.end())
        self.code = self.status = int(head["status"])
        self.reason, self.version = "", 11
        self.headers = self.msg = headers  # type: ignore[assignment] # all that is read of them
        self.length = 0 if self.status in (204, 304) else int(length)
        self.chunked, self.chunk_left = False, None
        self.will_close = "close" in headers.get("Connection", "").lower()


class _PlainConnection(HTTPConnection):
    response_class = _DeadlineResponse

    def _new_conn(self) -> socket.socket:
        """Share the thread's time among the host's addresses: urllib3 gives all of it to each."""
        deadline: float | None = getattr(_thread, "deadline", None)
        if deadline is None:
            return super()._new_conn()
        name = self._dns_host
        found = socket.getaddrinfo(name, self.port, type=socket.SOCK_STREAM)
        addresses = [str(address[0]) for *_, address in found]
        for left in range(len(addresses), 0, -1):
            self._dns_host, self.timeout = addresses[-left], _seconds_until(deadline) / left
            try:
                sock = super()._new_conn()
            except urllib3.exceptions.HTTPError:
                if left == 1:
                    raise
            else:
                # For the handshake, if there is one.
                sock.settimeout(max(0.001, deadline - time.monotonic()))
                return sock
            finally:
                self._dns_host = name
        raise OSError("the host has no address")


class _TlsConnection(_PlainConnection, HTTPSConnection):
    """The same, with TLS on top."""


class PlainPool(urllib3.HTTPConnectionPool):
    """The connections to one host."""

    ConnectionCls = _PlainConnection

    def exchange(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        deadline: float,
    ) -> Answer:
        """Send a request and read its whole answer by the deadline (of `time.monotonic`).

        Raises:
            ConnectionLost: before or in the middle of the answer.
            TimeSpent: when the deadline came first.
            AnswerTooLarge: past MAX_ANSWER_BYTES.
        """
        connection: Any = self._get_conn()
        _thread.deadline = deadline
        try:
            self._connect(connection, deadline)
            http.client.HTTPConnection.request(connection, method, target, body, headers)
            answer = _receive(connection)
        except BaseException as error:
            # What is left of the request or the answer must not meet the next caller.
            connection.close()
            connection = None
            if isinstance(error, _LOST):
                raise _judged(error, deadline) from None
            raise
        else:
            return answer
        finally:
            _thread.deadline = None
            self._put_conn(connection)

    def _connect(self, connection: Any, deadline: float) -> None:  # noqa: ANN401 - urllib3's own
        if connection.sock is not None:
            _limit(connection.sock, deadline)
            return
        connection.timeout = _seconds_until(deadline)
        if self.proxy is not None:
            self._prepare_proxy(connection)
        self._validate_conn(connection)


class TlsPool(PlainPool, urllib3.HTTPSConnectionPool):
    """The same, with TLS on top."""

    ConnectionCls = _TlsConnection


_LOST = (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError)


def _judged(error: BaseException, deadline: float) -> ConnectionLost | TimeSpent:
    # urllib3 counts a refused connection among its timeouts.
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)
    waited = isinstance(error, (urllib3.exceptions.TimeoutError, TimeoutError))
    if (waited and not refused) or time.monotonic() >= deadline:
        return TimeSpent()
    return ConnectionLost(type(error).__name__)


def _receive(connection: http.client.HTTPConnection) -> Answer:
    try:
        return _read(http.client.HTTPConnection.getresponse(connection))
    except ValueError as error:  # a figure that http.client takes for none
        raise http.client.HTTPException from error


def _read(response: http.client.HTTPResponse) -> Answer:
    if response.length is None and not response.chunked:
        # It would end with the connection, as an answer does that broke off.
        raise http.client.IncompleteRead(b"")
    body = response.read(MAX_ANSWER_BYTES + 1)
    if len(body) > MAX_ANSWER_BYTES:
        raise AnswerTooLarge
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return Answer(response.status, response.headers, body)
