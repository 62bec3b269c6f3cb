"""A server with scripted responses, which keeps the bytes of each request."""

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Self

from dev.stand_ins.listener import Listener

_END = b"\r\n\r\n"
_MOST_READ = 65_536

type Reply = bytes | Callable[[socket.socket], None]
"""Bytes of a response, or an action on the connection before it is closed."""


def answer(
    status: int = 200, body: bytes = b"{}", headers: Mapping[str, str] | None = None
) -> bytes:
    """Write an HTTP answer, with its true length."""
    lines = [f"HTTP/1.1 {status} Scripted", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def drip(data: bytes, *, after: bytes = b"", every: float = 0.05) -> Reply:
    """Send some bytes at once and the others one by one, with the given seconds in between."""

    def reply(connection: socket.socket) -> None:
        connection.sendall(after)
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(every)

    return reply


def hang_up(connection: socket.socket) -> None:
    """Close the connection without an answer."""


def cut(data: bytes) -> Reply:
    """Send some bytes, then close the connection."""
    return lambda connection: connection.sendall(data)


def end(data: bytes) -> Reply:
    """Send some bytes, then end the connection by TLS's close_notify."""

    def reply(connection: socket.socket) -> None:
        connection.sendall(data)
        if isinstance(connection, ssl.SSLSocket):
            connection.unwrap()

    return reply


def keep_silent(connection: socket.socket) -> None:
    """Send no response until the caller closes the connection."""
    while connection.recv(65536):
        pass


class ScriptedServer:
    """Gives one reply for each request, and the last one again and again.

    Args:
        *replies: The replies in order.
        tls: The context for TLS, or None for plain HTTP.

    Attributes:
        heads: Request line and headers of each request.
        connections: How many were opened and used.
    """

    def __init__(self, *replies: Reply, tls: ssl.SSLContext | None = None) -> None:
        self.heads: list[bytes] = []
        self.connections = 0
        self._replies = list(replies)
        self._lock = threading.Lock()
        self._scheme = "http" if tls is None else "https"
        self._listener = Listener(serve=self._serve, name="scripted server", tls=tls)

    @property
    def url(self) -> str:
        """Its URL, with the IP address."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """Its port."""
        return self._listener.port

    @property
    def targets(self) -> list[str]:
        """The request targets, as sent."""
        return [head.split(b" ", 2)[1].decode("ascii") for head in self.heads]

    def headers(self, index: int = -1) -> dict[str, str]:
        """Give one request's headers, with names in lower case."""
        lines = self.heads[index].decode("latin-1").split("\r\n")[1:]
        pairs = (line.split(": ", 1) for line in lines if line)
        return {name.lower(): value for name, value in pairs}

    def reply_to(self, target: str) -> Reply:  # noqa: ARG002 - a script does not look
        """Give the reply to a request. Requests come here one at a time."""
        return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.stop()

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self.connections += 1
        while head := _read_head(connection):
            with self._lock:
                self.heads.append(head)
                reply = self.reply_to(head.split(b" ", 2)[1].decode("ascii"))
            if callable(reply):
                reply(connection)
                return
            connection.sendall(reply)


def _read_head(connection: socket.socket) -> bytes:
    """Read a request and give its head. A body of more than 64 KiB is left to the reply.

    Closing a connection with unread bytes resets it, and the caller would not see how it ended.
    """
    head, body = b"", b""
    while not head.endswith(_END):
        received = connection.recv(65536)
        if not received:
            return b""
        head, end, body = (head + received).partition(_END)
        head += end
    announced = re.search(rb"\r\ncontent-length: *([0-9]+)", head, re.IGNORECASE)
    length = int(announced[1]) if announced else 0
    while len(body) < length <= _MOST_READ:
        received = connection.recv(length - len(body))
        if not received:
            break
        body += received
    return head
