"""HTTPS by `requests`, driven for a process with many threads.

One `ssl.SSLContext` serves all connections: by default requests loads the bundle of certificate
authorities again for every new one, which costs 24 ms of CPU each. One pool, as large as the
number of threads. A call ends at its deadline however slowly an answer trickles in. Redirects are
not followed: a token goes to the host it was asked for and to no other.
"""

import http.client
import io
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import certifi
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection

MAX_ANSWER_BYTES = 1024 * 1024
_CHUNK = 64 * 1024
_CA_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class ConnectionLost(Exception):
    """No connection, or it broke before the whole answer was there."""


class TimeSpent(Exception):
    """The deadline came first."""


class AnswerTooLarge(Exception):
    """The answer is longer than any that makes sense; the rest was not read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, whole."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


_thread = threading.local()


def _seconds_until(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("the time is spent")
    return remaining


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
            self._sock.settimeout(_seconds_until(deadline))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(sock, *args, **kwargs)
        buffered: Any = self.fp
        self.fp = io.BufferedReader(_DeadlineReader(sock, buffered.detach()))


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


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOL_CLASSES = {"http": _PlainPool, "https": _TlsPool}


class _SharedContextAdapter(HTTPAdapter):
    """Gives every connection the one context, and decides nothing about it per request."""

    def __init__(self, context: ssl.SSLContext, *, pool_size: int) -> None:
        self._context = context
        super().__init__(pool_connections=4, pool_maxsize=pool_size)

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


class Transport:
    """The process's one way out.

    Args:
        pool_size: connections kept; no fewer than there are threads.
        ca_bundle: certificate authorities to trust instead of requests' own; a file or a folder.

    Raises:
        OSError: if those cannot be read.
    """

    def __init__(self, *, pool_size: int, ca_bundle: str | None = None) -> None:
        if ca_bundle is not None and os.path.isdir(ca_bundle):  # noqa: PTH112 - as it came
            context = ssl.create_default_context(capath=ca_bundle)
        else:
            context = ssl.create_default_context(cafile=ca_bundle or certifi.where())
        self._adapter = _SharedContextAdapter(context, pool_size=pool_size)
        self.session = requests.Session()
        """For libraries that take one (azure-core); same context, same pools."""
        self.session.mount("https://", self._adapter)
        self.session.mount("http://", self._adapter)
        self._proxies: dict[str, dict[str, str]] = {}

    def get(self, url: str, *, headers: Mapping[str, str], deadline: float) -> Answer:
        """Send one GET and read its whole answer by the deadline (of `time.monotonic`).

        The URL goes out as it is, so that what its maker encoded stays encoded.

        Raises:
            ConnectionLost: before or in the middle of the answer.
            TimeSpent: when the deadline came first.
            AnswerTooLarge: past MAX_ANSWER_BYTES.
        """
        return self._send("GET", url, headers, None, deadline)

    def post(self, url: str, *, headers: Mapping[str, str], body: bytes, deadline: float) -> Answer:
        """Send one POST; for the rest as `get`."""
        sent = {**headers, "Content-Length": str(len(body))}
        return self._send("POST", url, sent, body, deadline)

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        deadline: float,
    ) -> Answer:
        request = requests.PreparedRequest()
        request.method, request.url = method, url
        request.headers = CaseInsensitiveDict(headers)
        request.body = body
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeSpent
        _thread.deadline = deadline
        try:
            response = self._adapter.send(
                request, stream=True, timeout=remaining, proxies=self._proxies_for(url)
            )
            try:
                return Answer(response.status_code, response.headers, _whole_body(response.raw))
            except BaseException:
                response.close()  # what is left of the answer must not meet the next caller
                raise
        except (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError):
            raise TimeSpent from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            if time.monotonic() >= deadline:
                raise TimeSpent from None
            raise ConnectionLost(type(error).__name__) from None
        finally:
            _thread.deadline = None

    def _proxies_for(self, url: str) -> dict[str, str]:
        """Find the environment's proxy for a host, once: it is dear to look up."""
        host = url.split("/", 3)[2]
        if host not in self._proxies:
            self._proxies[host] = requests.utils.get_environ_proxies(url)
        return self._proxies[host]


def _whole_body(raw: urllib3.BaseHTTPResponse) -> bytes:
    if raw.length_remaining is None and not raw.chunked:
        # It would end with the connection, as an answer does that broke off.
        raise ConnectionLost("the answer does not say where it ends")
    body = bytearray()
    while chunk := raw.read(_CHUNK, decode_content=False):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise AnswerTooLarge
    return bytes(body)


def default_ca_bundle(environment: Mapping[str, str] = os.environ) -> str | None:
    """Name the bundle that the environment asks requests to use, if any."""
    return next(filter(None, map(environment.get, _CA_BUNDLES)), None)


def without_ca_bundle(environment: Mapping[str, str]) -> dict[str, str]:
    """Give the environment as it would be if it asked for no bundle."""
    return {name: value for name, value in environment.items() if name not in _CA_BUNDLES}
