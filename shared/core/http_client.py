"""HTTPS by `requests`, driven for a process with many threads.

One `ssl.SSLContext` serves all connections: by default requests loads the bundle of certificate
authorities again for every new one, which costs 24 ms of CPU each. One pool, as large as the
number of threads. Redirects are not followed: a token goes to the host it was asked for and to no
other.
"""

import ssl
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from shared.core.connections import ConnectionFailed, DeadlineExceeded, PlainPool, TlsPool
from shared.core.http_wire import Response
from shared.core.tls import make_context

if TYPE_CHECKING:
    from azure.core.pipeline.transport import RequestsTransport

_MOST_HOSTS = 32
"""More than the app speaks to, so that each has one pool."""
_POOL_CLASSES = {"http": PlainPool, "https": TlsPool}


class _SharedContextAdapter(HTTPAdapter):
    """Gives every connection the one context, and decides nothing about it per request."""

    def __init__(self, context: ssl.SSLContext, *, pool_size: int) -> None:
        self._context = context
        super().__init__(pool_connections=_MOST_HOSTS, pool_maxsize=pool_size)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOL_CLASSES

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:  # noqa: ANN401
        manager = super().proxy_manager_for(proxy, ssl_context=self._context, **kwargs)
        manager.pool_classes_by_scheme = _POOL_CLASSES
        return manager

    def build_connection_pool_key_attributes(
        self,
        request: requests.PreparedRequest,
        verify: bool | str | None,  # noqa: ARG002 - the context verifies, always
        cert: Any = None,  # noqa: ANN401, ARG002
    ) -> tuple[Any, Any]:
        parts = urllib3.util.parse_url(request.url or "")
        return {"scheme": parts.scheme, "host": parts.host, "port": parts.port}, {}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ANN401
        """Nothing per connection: the context verifies, always."""


class HttpClient:
    """The process's one way out.

    Args:
        pool_size: connections kept; no fewer than there are threads.
        ca_bundle: certificate authorities to trust instead of the platform's; a file or a folder.

    Raises:
        OSError: if those cannot be read.
    """

    def __init__(self, *, pool_size: int, ca_bundle: str | None = None) -> None:
        self._adapter = _SharedContextAdapter(make_context(ca_bundle), pool_size=pool_size)
        self.session = requests.Session()
        """For libraries that take one (azure-core); same context, same pools."""
        self.session.mount("https://", self._adapter)
        self.session.mount("http://", self._adapter)
        self._pools: dict[str, PlainPool] = {}

    def azure_transport(
        self, *, connect_seconds: float, read_seconds: float
    ) -> "RequestsTransport":
        """Give the Azure SDK's clients this client's session, context and pools.

        The timeouts go to the transport: a client would pass them on only to one of its own.

        Args:
            connect_seconds: for each connection that is opened.
            read_seconds: for each wait for data.
        """
        from azure.core.pipeline.transport import RequestsTransport  # noqa: PLC0415 - 60 ms

        return RequestsTransport(
            session=self.session,
            session_owner=False,
            connection_timeout=connect_seconds,
            read_timeout=read_seconds,
        )

    def get(self, url: str, *, headers: Mapping[str, str], deadline: float) -> Response:
        """Send one GET and read its whole answer by the deadline (of `time.monotonic`).

        The URL goes out as it is, so that what its maker encoded stays encoded.

        Raises:
            ValueError: if the request cannot be written so.
            ConnectionFailed: before or in the middle of the answer.
            DeadlineExceeded: when the deadline came first.
            ResponseTooLarge: past MAX_RESPONSE_BYTES.
        """
        return self._send("GET", url, headers, b"", deadline)

    def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, deadline: float
    ) -> Response:
        """Send one POST; for the rest as `get`."""
        sent = {**headers, "Content-Length": str(len(body))}
        return self._send("POST", url, sent, body, deadline)

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        deadline: float,
    ) -> Response:
        if time.monotonic() >= deadline:
            raise DeadlineExceeded
        try:
            pool, host, target = self._route(url)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise ConnectionFailed(type(error).__name__) from None
        # Compressed, a small answer could become a huge one.
        sent = {"Host": host, "Accept-Encoding": "identity", **headers}
        return pool.exchange(method, target, headers=sent, body=body, deadline=deadline)

    def _route(self, url: str) -> tuple[PlainPool, str, str]:
        """Find the pool that leads to a host, by way of the environment's proxy, if any.

        Host and target are given with it, as they go out. A URL's host is one of the settings'
        roots: in ASCII, and without a user's name.

        Once per host: requests works it out anew for every call, which costs as much as the call.
        """
        scheme, _, host, *_ = url.split("/", 3)
        origin = f"{scheme}//{host}"
        if origin not in self._pools:
            request = requests.Request("GET", url).prepare()
            pool = self._adapter.get_connection_with_tls_context(
                request, verify=True, proxies=requests.utils.get_environ_proxies(url)
            )
            assert isinstance(pool, PlainPool)  # noqa: S101 - see _POOL_CLASSES
            self._pools[origin] = pool
        pool = self._pools[origin]
        through_proxy = pool.proxy is not None and scheme == "http:"
        return pool, host, url if through_proxy else url[len(origin) :] or "/"
