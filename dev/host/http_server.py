"""HTTP/1.1 on loopback: bytes in, bytes out, a thread for each connection, kept alive.

It follows the rules of the web server that stands before a function in Azure (Kestrel). What a
function sees of a request is decided in http_trigger.py.
"""

import re
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.errors import FirstHeaderLineIsContinuationDefect, MissingHeaderBodySeparatorDefect
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler

MAX_BODY = 100 * 1024 * 1024  # bytes; the host's limit for a request
IDLE = 120.0  # seconds that a connection may wait for its next request
CHUNK = 65_536


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request as it was sent.

    Attributes:
        method: In capitals.
        target: Path and query, still percent-encoded.
        headers: Names in lower case. The values of a repeated name are joined by commas.
        body: Empty without a Content-Length.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Response:
    """A response. The server adds the length."""

    status: int
    headers: Iterable[tuple[str, str]] = ()
    body: bytes = b""


class BadRequest(Exception):
    """A request that is answered with a status, reaches no function, and ends the connection."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class HttpServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A server on 127.0.0.1.

    Args:
        port: 0 for a free port.
        respond: Answers a request, in the connection's own thread.
        on_error: Is called with the host's own errors. After one in `respond`, the answer is 500.
    """

    allow_reuse_address = True
    daemon_threads = False  # stop() waits for them
    request_queue_size = 1024

    def __init__(
        self,
        *,
        port: int,
        respond: Callable[[Request], Response],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self.respond = respond
        self.on_error = on_error
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closing = False
        super().__init__(("127.0.0.1", port), _Connection)
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.1}, name="http-accept"
        )

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Begin to accept connections."""
        self._thread.start()

    def stop_accepting(self) -> None:
        """Accept no more requests, on new and on open connections."""
        if self._thread.ident:
            self.shutdown()
            self._thread.join()
        with self._lock:
            self._closing = True
            for connection in self._connections:
                _end_reading(connection)

    def close(self) -> None:
        """Wait for the running requests, and close the port."""
        self.server_close()

    def opened(self, connection: socket.socket) -> None:
        """Add a connection, to end it when the server stops."""
        with self._lock:
            self._connections.add(connection)
            if self._closing:
                _end_reading(connection)

    def closed(self, connection: socket.socket) -> None:
        """Remove a connection."""
        with self._lock:
            self._connections.discard(connection)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base class's
        """Report what ended a connection, unless its client did."""
        error = sys.exception()
        if error and not isinstance(error, OSError):
            self.on_error(error)


def _end_reading(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RD)
    except OSError:
        return  # the client has closed it


class _Connection(BaseHTTPRequestHandler):
    server: HttpServer
    protocol_version = "HTTP/1.1"
    timeout = IDLE
    wbufsize = -1  # a response leaves in one piece
    disable_nagle_algorithm = True

    def __getattr__(self, name: str) -> Callable[[], None]:
        # The base class looks for do_GET, do_POST, …, but here the host decides about methods.
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        super().finish()

    def _answer(self) -> None:
        try:
            request = Request(
                method=self.command,
                target=self.path,
                headers=self._read_headers(),
                body=self._read_body(),
            )
        except BadRequest as error:
            self.send_error(error.status)
            return
        try:
            response = self.server.respond(request)
        except Exception as error:  # noqa: BLE001 - an error of this host, reported as one
            self.server.on_error(error)
            response = Response(status=500)
        self._send(response)

    def _read_headers(self) -> Mapping[str, str]:
        broken = (FirstHeaderLineIsContinuationDefect, MissingHeaderBodySeparatorDefect)
        if any(isinstance(defect, broken) for defect in self.headers.defects):
            raise BadRequest(HTTPStatus.BAD_REQUEST)
        headers: dict[str, str] = {}
        for name, raw in self.headers.items():
            try:
                value = str(raw).encode("latin-1").decode("utf-8")
            except UnicodeError:
                raise BadRequest(HTTPStatus.BAD_REQUEST) from None
            key = name.lower()
            headers[key] = f"{headers[key]},{value}" if key in headers else value
        return headers

    def _read_body(self) -> bytes:
        if "transfer-encoding" in self.headers:
            # The host passes a body on only if Content-Length is more than 0.
            self._discard_chunks()
            return b""
        text = self.headers.get("content-length", "0").strip()
        if not re.fullmatch("[0-9]+", text):
            raise BadRequest(HTTPStatus.BAD_REQUEST)
        length = int(text)
        if length > MAX_BODY:
            raise BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        body = self.rfile.read(length)
        if len(body) < length:
            raise BadRequest(HTTPStatus.BAD_REQUEST)
        return body

    def _discard_chunks(self) -> None:
        total = 0
        while size := self._chunk_size():
            total += size
            if total > MAX_BODY:
                raise BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            left = size + len("\r\n")
            while left:
                data = self.rfile.read(min(left, CHUNK))
                if not data:
                    raise BadRequest(HTTPStatus.BAD_REQUEST)
                left -= len(data)
        while self.rfile.readline(CHUNK).strip():
            pass  # trailers

    def _chunk_size(self) -> int:
        digits = self.rfile.readline(CHUNK).split(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", digits):
            raise BadRequest(HTTPStatus.BAD_REQUEST)
        return int(digits, 16)

    def _send(self, response: Response) -> None:
        bodiless = response.status in {204, 304} or response.status < 200
        self.send_response_only(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        self.send_header("Date", self.date_time_string())
        if not bodiless:
            self.send_header("Content-Length", str(len(response.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD" and not bodiless:
            self.wfile.write(response.body)

    def send_error(self, code: int, *_: object, **__: object) -> None:
        """Refuse a request that could not be read, without a body, and close the connection."""
        self.close_connection = True
        # An unreadable request may not have these.
        self.command = getattr(self, "command", None) or "GET"
        self.request_version = self.protocol_version
        self._send(Response(status=code))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing, because the host logs invocations."""
