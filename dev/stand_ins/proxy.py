"""The proxy from real host names to the stand-ins, which refuses all other hosts."""

import socket
import threading
from collections.abc import Mapping
from typing import Self

from dev.stand_ins.listener import Listener, tunnel
from dev.stand_ins.messages import MalformedRequestError, Request, Response


class ConnectProxy:
    """An HTTP proxy that forwards to some hosts, and answers 502 for all others.

    HTTPS_PROXY names it: the app connects to the real name over TLS, and reaches the
    local server. A request for another host fails, and is recorded.

    Args:
        hosts: Host name to the local port that stands in for its port 443.
    """

    def __init__(self, hosts: Mapping[str, int]) -> None:
        self._ports = {f"{host}:443": port for host, port in hosts.items()}
        self._listener = Listener(serve=self._serve, name="proxy")
        self._lock = threading.Lock()
        self._asked: list[str] = []

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables with which an app uses the proxy."""
        return {
            "HTTPS_PROXY": f"http://127.0.0.1:{self._listener.port}",
            "NO_PROXY": "127.0.0.1,localhost",
        }

    @property
    def asked(self) -> list[str]:
        """The requested targets in order: `host:port`, or the URL of a request without CONNECT."""
        with self._lock:
            return list(self._asked)

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.stop()

    def _serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            try:
                request = Request.read(stream)
            except MalformedRequestError:
                connection.sendall(Response(400).head(length=None))
                return
        if request is None:
            return
        with self._lock:
            self._asked.append(request.target)
        port = self._ports.get(request.target)
        if port is None:
            connection.sendall(Response(502).head(length=None))
            return
        with socket.create_connection(("127.0.0.1", port)) as local:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            tunnel(connection, local)
