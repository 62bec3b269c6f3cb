"""Calls a function for an HTTP request, and makes its response, by the host's rules."""

import base64
import hmac
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote

from werkzeug.http import dump_cookie

from dev.host import wire
from dev.host.dispatcher import Dispatcher
from dev.host.errors import InvocationError
from dev.host.functions import Function
from dev.host.http_server import Request, Response
from dev.host.logs import Logs
from dev.host.routes import RouteTable
from dev.host.worker_process import Value

HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
# The server sets these, not a function.
HOP_BY_HOP = {"connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"}
SAME_SITE = {1: "Lax", 2: "Strict", 3: "None"}


class UnusableResponse(Exception):
    """A function returned a value that cannot be sent over HTTP."""


@dataclass(frozen=True, kw_only=True)
class AccessKeys:
    """The access keys, as in Azure.

    Attributes:
        master: The key for all functions.
        host: The key for all functions of level `function`.
        functions: The keys of single functions, by function.
    """

    master: str = field(repr=False)
    host: str = field(repr=False)
    functions: Mapping[str, str] = field(repr=False)

    def open(self, function: Function, given: str) -> bool:
        """Say whether a key is valid for a function."""
        level = str(function.trigger.get("authLevel") or "function").lower()
        if level == "anonymous":
            return True
        keys = [self.master]
        if level == "function":
            keys += [self.host, self.functions.get(function.name, "")]
        # All keys are compared, so that the time shows nothing.
        matches = [hmac.compare_digest(key.encode(), given.encode()) for key in keys if key]
        return any(matches)


class HttpTriggers:
    """Answers requests with the app's HTTP functions."""

    def __init__(
        self, *, routes: RouteTable, keys: AccessKeys, dispatcher: Dispatcher, logs: Logs
    ) -> None:
        self._routes = routes
        self._keys = keys
        self._dispatcher = dispatcher
        self._logs = logs

    def respond(self, request: Request) -> Response:
        """Answer one request. It raises no error for any function."""
        path, _, query_string = request.target.partition("?")
        found = self._routes.find(method=request.method, path=path)
        if not found:
            return Response(status=404)
        function, parameters = found
        query = _query(query_string)
        key = request.headers.get("x-functions-key") or _code(query)
        if not self._keys.open(function, key):
            return Response(status=401)
        http = {
            "method": request.method,
            "url": f"http://{request.headers.get('host', 'localhost')}{request.target}",
            "headers": request.headers,
            "query": {name: value for name, value in query.items() if value},
            "params": parameters,
            "body": wire.encode_bytes(request.body) if request.body else None,
        }
        future = self._dispatcher.run(
            function,
            inputs={function.trigger["name"]: {"http": http}},
            reason="This function was programmatically called via the host APIs.",
            traceparent=request.headers.get("traceparent", ""),
            tracestate=request.headers.get("tracestate", ""),
        )
        return self._response(function, future)

    def _response(self, function: Function, future: Future[Value]) -> Response:
        try:
            return _from_value(future.result())
        except InvocationError:
            return Response(status=500)  # the dispatcher has logged it
        except UnusableResponse as error:
            self._logs.write("ERROR", f"Host.Function.{function.name}", str(error))
            return Response(status=500)


def _query(text: str) -> dict[str, str]:
    query: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        query[name] = f"{query[name]},{value}" if name in query else value
    return query


def _code(query: Mapping[str, str]) -> str:
    return next((value for name, value in query.items() if name.lower() == "code"), "")


def _from_value(value: Value) -> Response:
    if value is None:
        return Response(status=204)
    ((kind, content),) = value.items()
    if kind == "http":
        return _from_http(content)
    media_type = "application/json" if kind == "json" else "text/plain"
    return Response(
        status=200,
        headers=[("Content-Type", f"{media_type}; charset=utf-8")],
        body=_bytes(value),
    )


def _from_http(http: Mapping[str, Any]) -> Response:
    status = http["status_code"]
    if not 200 <= status <= 999:
        raise UnusableResponse(f"The function returned the status {status}.")
    headers = [(name, value) for name, value in http["headers"].items() if _is_own(name)]
    headers += [("Set-Cookie", _cookie(cookie)) for cookie in http["cookies"]]
    _check(headers)
    return Response(status=status, headers=headers, body=_bytes(http["body"]))


def _is_own(name: str) -> bool:
    return name.lower() not in HOP_BY_HOP


def _check(headers: Iterable[tuple[str, str]]) -> None:
    for name, value in headers:
        if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
            raise UnusableResponse(
                f"The function returned a header {name!r} with characters that none may have."
            )


def _bytes(value: Value) -> bytes:
    if value is None:
        return b""
    ((kind, content),) = value.items()
    return base64.b64decode(content) if kind == "bytes" else str(content).encode()


def _cookie(cookie: Mapping[str, Any]) -> str:
    return dump_cookie(
        cookie["name"],
        quote(cookie["value"], safe=""),
        max_age=None if cookie["max_age"] is None else int(cookie["max_age"]),
        expires=cookie["expires"],
        sync_expires=False,
        path=cookie["path"] or "/",
        domain=cookie["domain"] or None,
        secure=bool(cookie["secure"]),
        httponly=bool(cookie["http_only"]),
        samesite=SAME_SITE.get(cookie["same_site"]),
    )
