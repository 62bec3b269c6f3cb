"""Accepts connections on the loopback address, each in its own thread."""

import contextlib
import selectors
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Self

# A hundred callers that connect at once must not be refused.
_BACKLOG = 512
_CHUNK = 65536


def reset(connection: socket.socket) -> None:
    """Make the connection's close send a reset, as a crashed peer does."""
    linger_for_no_time = struct.pack("ii", 1, 0)
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_no_time)


class Listener:
    """Serves every connection to a free port of 127.0.0.1 until it is stopped.

    Args:
        serve: Is called with each connection, in its own thread. The connection is closed when it
            returns. It may raise an `OSError` for a lost connection.
        name: The threads' name, for stack dumps.
        tls: If given, connections use TLS. The serving thread does the handshake.
    """

    def __init__(
        self,
        *,
        serve: Callable[[socket.socket], None],
        name: str,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._serve = serve
        self._name = name
        self._tls = tls
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, socket.socket] = {}
        self._stopping = threading.Event()
        self._socket: socket.socket | None = None
        self._acceptor: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port it listens on.

        Raises:
            RuntimeError: It has not been started.
        """
        if self._socket is None:
            raise RuntimeError(f"{self._name} has not been started")
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Listen."""
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self._acceptor = threading.Thread(
            target=self._accept, args=(self._socket,), name=self._name, daemon=True
        )
        self._acceptor.start()

    def stop(self, *, then: Callable[[], None] = lambda: None) -> None:
        """Stop listening, close all connections, and wait until each thread has ended.

        Args:
            then: Is called when `stopping` is true and all connections are closed, to wake waiting
                threads.
        """
        if self._socket is None or self._acceptor is None or self.stopping:
            return
        self._stopping.set()
        # On some systems only a connection wakes a thread out of accept().
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        self._acceptor.join()
        self._socket.close()
        self.cut()
        then()
        for thread in self._threads():
            thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def cut(self) -> None:
        """Close all open connections. New ones are still accepted."""
        with self._lock:
            connections = list(self._open.values())
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _threads(self) -> list[threading.Thread]:
        with self._lock:
            return list(self._open)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except ConnectionError:  # the client was gone before it was accepted
                continue
            if self.stopping:
                connection.close()
                return
            thread = threading.Thread(
                target=self._serve_one, args=(connection,), name=self._name, daemon=True
            )
            with self._lock:
                self._open[thread] = connection
            thread.start()

    def _serve_one(self, accepted: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError), self._secured(accepted) as connection:
                # Under the lock: either `stop` closes this connection, or this thread sees `stop`.
                with self._lock:
                    self._open[threading.current_thread()] = connection
                    stopping = self.stopping
                if not stopping:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._serve(connection)
        finally:
            with self._lock:
                del self._open[threading.current_thread()]

    def _secured(self, accepted: socket.socket) -> socket.socket:
        if self._tls is None:
            return accepted
        try:
            return self._tls.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        except OSError:
            accepted.close()
            raise


def tunnel(
    one: socket.socket, other: socket.socket, *, gate: Callable[[], object] = lambda: None
) -> None:
    """Pass bytes on in both directions until one side ends.

    Args:
        one: A connection.
        other: Another connection.
        gate: Is called before each piece is passed on. It may block.

    Raises:
        OSError: A connection was lost.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, data=other)
        selector.register(other, selectors.EVENT_READ, data=one)
        while True:
            for key, _ in selector.select():
                source: socket.socket = key.fileobj  # type: ignore[assignment]  # as registered
                data = source.recv(_CHUNK)
                if not data:
                    return
                gate()
                key.data.sendall(data)
