"""HTTPS for the whole process, by the public interfaces of `requests` and urllib3.

One `ssl.SSLContext` serves all connections: by itself requests loads the bundle of certificate
authorities for every new one, which costs 24 ms of CPU. Nothing is tried twice, redirected or
decompressed, and no cookie is kept.
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

MAX_BODY_BYTES = 1024 * 1024
# What urllib3 sends as it stands. It would encode anything else, perhaps for the second time.
_TARGET = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-F]{2})*")
# Of the call that this thread makes; None where another library uses the session.
_deadline: ContextVar[float | None] = ContextVar("_deadline", default=None)
type Headers = Mapping[str, str]
"""A response's headers, found by names in any case."""


class NoResponse(NoAnswer):
    """There is no response; `reason` says why."""


class ConnectionFailed(NoResponse):
    """No connection, or it broke before the whole response was there."""


class DeadlineExceeded(NoResponse):
    """The deadline came first."""


class ResponseTooLarge(NoResponse):
    """The body is longer than any that makes sense; the rest was not read."""


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response, whole."""

    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)


class _Socket(ssl.SSLSocket):
    """Gives each wait what is left of the call's time: urllib3 gives all of it to each."""

    def do_handshake(self, *args: Any) -> None:
        # A close without TLS's own is an error then, and not the end of a body (RFC 9112, 9.8).
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

    def _limit(self) -> None:
        if (deadline := _deadline.get()) is not None:
            self.settimeout(_seconds_until(deadline))


class _Connection(urllib3.connection.HTTPSConnection):
    def connect(self) -> None:
        """Share the call's time among the host's addresses: urllib3 gives all of it to each."""
        if (deadline := _deadline.get()) is not None:
            addresses = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
            self.timeout = _seconds_until(deadline) / len(addresses)
        super().connect()


class _Adapter(HTTPAdapter):
    """Gives every connection the one context, which verifies whatever a request says."""

    def __init__(self, context: ssl.SSLContext, *, pool_size: int) -> None:
        self._context = context
        # More pools than the app speaks to hosts, so that each has one.
        super().__init__(pool_connections=32, pool_maxsize=pool_size)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        return super().proxy_manager_for(proxy, proxy_ssl_context=self._context, **kwargs)

    def build_connection_pool_key_attributes(self, request: Any, *_: Any, **__: Any) -> Any:
        host, _tls = super().build_connection_pool_key_attributes(request, verify=True)
        return host, {"ssl_context": self._context}

    def cert_verify(self, *_: Any) -> None:
        """Do nothing: requests would load its own bundle into the context, each time."""


class HttpClient:
    """The process's one way out.

    Args:
        pool_size: connections kept for each host; no fewer than there are threads.
        ca_bundle: certificate authorities to trust instead of the platform's; a file or a folder.

    Raises:
        OSError: if those cannot be read.
    """

    def __init__(self, *, pool_size: int, ca_bundle: str | None = None) -> None:
        self.context = make_context(ca_bundle)
        """For all connections of the process."""
        self.context.sslsocket_class = _Socket
        self._adapter = _Adapter(self.context, pool_size=pool_size)
        self.session = requests.Session()
        """For libraries that take one (azure-core); same context, same pools."""
        self.session.mount("https://", self._adapter)
        self.session.mount("http://", self._adapter)
        self._pools: dict[str, urllib3.HTTPConnectionPool] = {}

    def azure_transport(
        self, *, connect_seconds: float, read_seconds: float
    ) -> "RequestsTransport":
        """Give the Azure SDK's clients this client's session.

        The timeouts, for each connection that is opened and for each wait for data, go to the
        transport: a client would pass them on only to one of its own.
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
            ValueError: if the URL would not go out exactly as it is, or a header not at all.
            ConnectionFailed: before or in the middle of the response.
            DeadlineExceeded: when the deadline came first.
            ResponseTooLarge: past MAX_BODY_BYTES.
        """
        return self._send("GET", url, headers, None, deadline)

    def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, deadline: float
    ) -> Response:
        """Send one POST; for the rest as `get`."""
        return self._send("POST", url, headers, body, deadline)

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, deadline: float
    ) -> Response:
        text = "".join([*headers, *headers.values()])
        if not (text.isascii() and text.isprintable()):  # and is not quoted: it may be a token
            raise ValueError("a header holds what must not stand there")
        before = _deadline.set(deadline)
        try:
            pool, target = self._route(url)
            # At its end a connection whose response was read whole is kept, and any other closed.
            with pool.urlopen(
                method,
                target,
                body,
                dict(headers),
                timeout=urllib3.Timeout(total=_seconds_until(deadline)),
                retries=False,  # by default three, after as long as a Retry-After says
                redirect=False,
                preload_content=False,  # it would be read whole, however long
                decode_content=False,
            ) as response:
                if response.status < 200:  # the final one would be the next call's
                    raise http.client.BadStatusLine("")
                return Response(response.status, response.headers, _read(response, deadline))
        except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
            late = time.monotonic() >= deadline
            raise (DeadlineExceeded if late else ConnectionFailed)(root_cause(error)) from None
        finally:
            _deadline.reset(before)

    def _route(self, url: str) -> tuple[urllib3.HTTPConnectionPool, str]:
        """Find the pool that leads to a host, by the environment's proxy, if any; and the target.

        Once per host: requests works it out anew for every call, which costs as much as the call.
        Plain HTTP is for loopback addresses, to which no proxy leads.
        """
        scheme, _, host, *_rest = url.split("/", 3)
        origin = f"{scheme}//{host}"
        target = url[len(origin) :] or "/"
        if not _TARGET.fullmatch(target):
            raise ValueError("a URL's target would not go out as it is")
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
    while part := response.read1(65_536):  # `read` would wait until a part is full
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise ResponseTooLarge(ResponseTooLarge.__name__)
        _seconds_until(deadline)
    return bytes(body)


def _seconds_until(deadline: float) -> float:
    if (left := deadline - time.monotonic()) <= 0:
        raise TimeoutError
    return left
