"""The stand-ins' HTTP: requests, responses, and the log of calls."""

import http.client
import io
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any, Self

import jwt

_SECRET_HEADERS = frozenset({"authorization", "x-identity-header"})
_LONGEST_LINE = 65536


class MalformedRequestError(Exception):
    """The bytes on the connection are not an HTTP request that a stand-in accepts."""


class RefusedError(Exception):
    """The service refuses a request.

    Args:
        status: The HTTP status.
        code: The service's error code, or empty.
        message: Its text.
        headers: Further headers.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


@dataclass(frozen=True)
class Request:
    """A request as it came over the connection.

    Attributes:
        method: Such as GET.
        target: Path and query, still percent-encoded.
        headers: The headers, by name in lower case. Repeated ones are joined by a comma.
        body: The body, or empty.
    """

    method: str
    target: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    body: bytes = field(repr=False, default=b"")

    @classmethod
    def read(cls, stream: io.BufferedIOBase) -> Self | None:
        """Read the next request. None if the caller has closed its side.

        Raises:
            MalformedRequestError: It is not an HTTP request, or has no length.
        """
        line = stream.readline(_LONGEST_LINE)
        if not line:
            return None
        try:
            method, target, _version = line.decode("ascii").split()
            message = http.client.parse_headers(stream)
            headers = {
                name.lower(): ", ".join(message.get_all(name, failobj=[])) for name in message
            }
            length = int(headers.get("content-length", 0))
        except (ValueError, http.client.HTTPException) as error:
            raise MalformedRequestError from error
        if length < 0 or "transfer-encoding" in headers:
            raise MalformedRequestError
        return cls(method, target, headers, stream.read(length))

    @property
    def path(self) -> str:
        """The path, still percent-encoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query, still percent-encoded."""
        return self.target.partition("?")[2]

    @property
    def bearer(self) -> str:
        """The token in the Authorization header, or empty."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""


@dataclass(frozen=True)
class Response:
    """The response to a request.

    Attributes:
        status: The HTTP status.
        body: The body's bytes.
        headers: All but Content-Length, Date and Connection.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, status: int, value: object, headers: Mapping[str, str] | None = None) -> Self:
        """Make a response whose body is a value's JSON."""
        body = json.dumps(value).encode()
        return cls(status, body, {"Content-Type": "application/json", **(headers or {})})

    def head(self, *, length: int | None) -> bytes:
        """Give the status line and headers as bytes.

        Args:
            length: The Content-Length; None for a body that ends with the connection.
        """
        framing = {"Connection": "close"} if length is None else {"Content-Length": str(length)}
        headers = {"Date": formatdate(usegmt=True), **self.headers, **framing}
        lines = [f"HTTP/1.1 {self.status} {http.client.responses.get(self.status, 'Other')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclass(frozen=True)
class Call:
    """The record of a request.

    Attributes:
        number: Its number, counted from 1 since the stand-in started.
        request: The request, with `[redacted]` for the values of secret headers.
        claims: The unverified claims of its bearer token, or empty.
        received: When it came, in seconds of the monotonic clock.
        status: The status of its response; None before the response.
    """

    number: int
    request: Request
    claims: Mapping[str, Any] = field(repr=False)
    received: float
    status: int | None = None

    @property
    def method(self) -> str:
        """Such as GET."""
        return self.request.method

    @property
    def path(self) -> str:
        """The path, still percent-encoded."""
        return self.request.path

    @property
    def query(self) -> str:
        """The query, still percent-encoded."""
        return self.request.query

    @property
    def headers(self) -> Mapping[str, str]:
        """The request's headers, by name in lower case."""
        return self.request.headers

    @property
    def client_request_id(self) -> str | None:
        """The client request id that the caller sent."""
        return self.headers.get("client-request-id")


class CallLog:
    """The calls to one stand-in, in the order of their arrival."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[int, Call] = {}
        self._count = 0

    def add(self, request: Request) -> Call:
        """Record a new request."""
        headers = {
            name: "[redacted]" if name in _SECRET_HEADERS else value
            for name, value in request.headers.items()
        }
        claims = _claims(request.bearer)
        with self._lock:
            self._count += 1
            call = Call(self._count, replace(request, headers=headers), claims, time.monotonic())
            self._calls[call.number] = call
        return call

    def answered(self, call: Call, status: int) -> None:
        """Record a call's response."""
        with self._lock:
            if call.number in self._calls:  # the log was not cleared meanwhile
                self._calls[call.number] = replace(call, status=status)

    def select(self, when: Callable[[Call], bool] | None = None) -> list[Call]:
        """Give the calls that meet a condition, or all of them."""
        with self._lock:
            calls = list(self._calls.values())
        return [call for call in calls if when is None or when(call)]

    def clear(self) -> None:
        """Remove all calls."""
        with self._lock:
            self._calls.clear()


def _claims(token: str) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return {}
    return claims
