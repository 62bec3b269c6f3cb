"""A proxy that takes a server of any protocol away and gives it back."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from dev.stand_ins.listener import Listener, reset, tunnel


class TcpProxy:
    """Forwards connections to a local port.

    Args:
        port: The port of 127.0.0.1 to forward to.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._up = threading.Event()
        self._flowing = threading.Event()
        self._up.set()
        self._flowing.set()
        self._listener = Listener(serve=self._serve, name="tcp proxy")

    @property
    def port(self) -> int:
        """The port to connect to."""
        return self._listener.port

    @contextmanager
    def down(self) -> Iterator[None]:
        """Cut all connections, and reset new ones, until the context ends."""
        self._up.clear()
        self._listener.cut()
        try:
            yield
        finally:
            self._up.set()

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Accept connections and forward nothing until the context ends."""
        self._flowing.clear()
        try:
            yield
        finally:
            self._flowing.set()

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.stop(then=self._flowing.set)

    def _serve(self, connection: socket.socket) -> None:
        if not self._up.is_set():
            reset(connection)
            return
        with socket.create_connection(("127.0.0.1", self._target)) as target:
            tunnel(connection, target, gate=self._flowing.wait)
