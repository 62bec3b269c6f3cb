"""The HTTP client of the whole process, through the public interfaces of `requests` and urllib3.

All connections share one `ssl.SSLContext`. By default requests loads the bundle of certificate
authorities for each new connection, which costs 24 ms of CPU. The client does not retry, follow
redirects, decompress, or keep cookies.
"""

import http.client
import re
import socket
import ssl
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from shared.core.errors import NoAnswer, root_cause
from shared.core.tls import make_context

if TYPE_CHECKING:
    from azure.core.pipeline.transport import RequestsTransport

USER_AGENT = "virtual-appointment-join-link/1"
"""The app's name in requests to Graph and to destinations."""
MAX_BODY_BYTES = 1024 * 1024
# A target that urllib3 sends unchanged. It would percent-encode anything else, perhaps again.
_TARGET = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-F]{2})*")
_LATE = 0.05
"""The most seconds by which a wait may end after the deadline."""
# The deadline of this thread's call; None where another library uses the session.
_deadline: ContextVar[float | None] = ContextVar("_deadline", default=None)
type Headers = Mapping[str, str]
"""A response's headers. Names are found in any case."""


class NoResponse(NoAnswer):
    """There is no response. `reason` says why."""


class ConnectionFailed(NoResponse):
    """The connection could not be opened, or broke before the response was complete."""


class DeadlineExceeded(NoResponse):
    """The deadline passed before the response was complete."""


class ResponseTooLarge(NoResponse):
    """The body is longer than MAX_BODY_BYTES. The rest was not read."""


@dataclass(frozen=True, slots=True)
class Response:
    """A complete HTTP response."""

    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)


class _Socket(ssl.SSLSocket):
    """Limits each wait to what is left of the call's time. urllib3 allows each the whole time."""

    def do_handshake(self, *args: Any) -> None:
        # A connection closed without TLS's close_notify is an error (RFC 9112, section 9.8).
        self.suppress_ragged_eofs = False
        self._limit()
        super().do_handshake(*args)

    def send(self, *args: Any) -> int:
        if self.pending():
            raise ConnectionResetError("the server sent what nobody asked for")
        self._limit()
        return super().send(*args)

    def read(self, *args: Any) -> Any:  # by recv and recv_into
        self._limit()
        return super().read(*args)

    def settimeout(self, value: float | None) -> None:
        """Leave out a change that is too small to matter, because each is a system call."""
        current = self.gettimeout()
        if not value or not current or abs(value - current) > _LATE:
            super().settimeout(value)

    def _limit(self) -> None:
        if (deadline := _deadline.get()) is not None:
            self.settimeout(_seconds_until(deadline))


class _Connection(urllib3.connection.HTTPSConnection):
    def connect(self) -> None:
        """Divide the call's time among the host's addresses. urllib3 allows each the whole time."""
        if (deadline := _deadline.get()) is not None:
            addresses = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
            self.timeout = _seconds_until(deadline) / len(addresses)
        super().connect()


class _Adapter(HTTPAdapter):
    """Gives all connections the same context, which always verifies the server."""

    def __init__(self, context: ssl.SSLContext, *, pool_size: int) -> None:
        self._context = context
        # More pools than there are hosts that the app calls, so that each host keeps its pool.
        super().__init__(pool_connections=32, pool_maxsize=pool_size)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        return super().proxy_manager_for(proxy, proxy_ssl_context=self._context, **kwargs)

    def build_connection_pool_key_attributes(self, request: Any, *_: Any, **__: Any) -> Any:
        host, _tls = super().build_connection_pool_key_attributes(request, verify=True)
        return host, {"ssl_context": self._context}

    def cert_verify(self, *_: Any) -> None:
        """Do nothing. requests would load its own bundle into the context for each connection."""


class HttpClient:
    """The HTTP client that the whole process shares. It is thread-safe.

    Args:
        pool_size: connections to keep for each host; at least the number of threads.
        ca_bundle: a file or folder of certificate authorities to trust instead of the platform's.

    Raises:
        OSError: if the bundle cannot be read.
    """

    def __init__(self, *, pool_size: int, ca_bundle: str | None = None) -> None:
        self.context = make_context(ca_bundle)
        """For all connections of the process."""
        self.context.sslsocket_class = _Socket
        self._adapter = _Adapter(self.context, pool_size=pool_size)
        self.session = requests.Session()
        """For libraries that take a session (azure-core). It has the same context and pools."""
        self.session.mount("https://", self._adapter)
        self.session.mount("http://", self._adapter)
        self._pools: dict[str, urllib3.HTTPConnectionPool] = {}

    def azure_transport(
        self, *, connect_seconds: float, read_seconds: float
    ) -> "RequestsTransport":
        """Make a transport for an Azure SDK client that uses this client's session.

        The timeouts are the transport's, because an SDK client passes its own on only to a
        transport that it has made itself.

        Args:
            connect_seconds: the limit for opening a connection.
            read_seconds: the limit for each wait for data.
        """
        from azure.core.pipeline.transport import RequestsTransport  # noqa: PLC0415 - 60 ms

        return RequestsTransport(
            session=self.session,
            session_owner=False,
            connection_timeout=connect_seconds,
            read_timeout=read_seconds,
        )

    def get(self, url: str, *, headers: Mapping[str, str], deadline: float) -> Response:
        """Send one GET and read its whole response by the deadline (of `time.monotonic`).

        Raises:
            ValueError: if the URL or a header holds characters that could not be sent unchanged.
            ConnectionFailed: if the connection fails before the response is complete.
            DeadlineExceeded: if the deadline passes before the response is complete.
            ResponseTooLarge: if the body is longer than MAX_BODY_BYTES.
        """
        return self._send("GET", url, headers, None, deadline)

    def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, deadline: float
    ) -> Response:
        """Send one POST and read its whole response. Deadline and errors are as in `get`."""
        return self._send("POST", url, headers, body, deadline)

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, deadline: float
    ) -> Response:
        text = "".join([*headers, *headers.values()])
        if not (text.isascii() and text.isprintable()):  # not quoted, because it may be a token
            raise ValueError("a header holds characters that are not printable ASCII")
        before = _deadline.set(deadline)
        try:
            pool, target = self._route(url)
            # urllib3 keeps a connection whose response was read completely, and closes any other.
            with pool.urlopen(
                method,
                target,
                body,
                dict(headers),
                timeout=urllib3.Timeout(total=_seconds_until(deadline)),
                retries=False,  # urllib3 would retry, and wait as long as Retry-After says
                redirect=False,
                preload_content=False,  # urllib3 would read a body of any length
                decode_content=False,
            ) as response:
                if response.status < 200:  # the final response would be taken for the next call's
                    raise http.client.BadStatusLine("")
                return Response(response.status, response.headers, _read(response, deadline))
        except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
            late = time.monotonic() >= deadline
            raise (DeadlineExceeded if late else ConnectionFailed)(root_cause(error)) from None
        finally:
            _deadline.reset(before)

    def _route(self, url: str) -> tuple[urllib3.HTTPConnectionPool, str]:
        """Find a URL's connection pool, through the environment's proxy if any, and its target.

        The pool is looked up once for each host: in requests that look-up costs as much as the
        call itself. Plain HTTP is for loopback addresses only, which are never behind a proxy.
        """
        scheme, _, host, *_rest = url.split("/", 3)
        origin = f"{scheme}//{host}"
        target = url[len(origin) :] or "/"
        if not _TARGET.fullmatch(target):
            raise ValueError("a URL's target holds characters that are not percent-encoded")
        if origin not in self._pools:
            secure = scheme == "https:"
            pool = self._adapter.get_connection_with_tls_context(
                requests.Request("GET", origin).prepare(),
                verify=True,
                proxies=requests.utils.get_environ_proxies(origin) if secure else {},
            )
            if secure:
                pool.ConnectionCls = _Connection
            self._pools[origin] = pool
        return self._pools[origin], target


def _read(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    body = bytearray()
    while part := response.read1(65_536):  # `read` would wait for the full 65,536 bytes
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise ResponseTooLarge(ResponseTooLarge.__name__)
        _seconds_until(deadline)
    return bytes(body)


def _seconds_until(deadline: float) -> float:
    if (left := deadline - time.monotonic()) <= 0:
        raise TimeoutError
    return left
