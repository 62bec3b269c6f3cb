"""HTTP as the stand-ins see it: what is asked, what is answered, and what is kept of it."""

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
    """What came over the connection is no HTTP request that a stand-in takes."""


class RefusedError(Exception):
    """The service refuses a request.

    Args:
        status: The HTTP status.
        code: The service's own code, empty where it has none.
        message: Its text.
        headers: Headers beyond those that each error has.
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
        headers: Their names in lower case; those given twice are joined by a comma.
        body: Empty where there is none.
    """

    method: str
    target: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    body: bytes = field(repr=False, default=b"")

    @classmethod
    def read(cls, stream: io.BufferedIOBase) -> Self | None:
        """Read the next request, or None where the caller has said all it has to say.

        Raises:
            MalformedRequestError: It is none, or its length is not told.
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
        """The token of the Authorization header, empty where there is none."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""


@dataclass(frozen=True)
class Response:
    """What a request is answered with.

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
        """An answer whose body is a value's JSON."""
        body = json.dumps(value).encode()
        return cls(status, body, {"Content-Type": "application/json", **(headers or {})})

    def head(self, *, length: int | None) -> bytes:
        """Status line and headers as bytes.

        Args:
            length: The Content-Length to give; None for a body that ends with the connection.
        """
        framing = {"Connection": "close"} if length is None else {"Content-Length": str(length)}
        headers = {"Date": formatdate(usegmt=True), **self.headers, **framing}
        lines = [f"HTTP/1.1 {self.status} {http.client.responses.get(self.status, 'Other')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclass(frozen=True)
class Call:
    """What is kept of a request.

    Attributes:
        number: Counted from 1 since the stand-in started.
        request: The request, with `[redacted]` for the values of secret headers.
        claims: What its bearer token claims, unchecked; empty where there is none to read.
        received: When it came, in seconds of the monotonic clock.
        status: What it was answered with; None while it was not.
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
        """Their names in lower case."""
        return self.request.headers

    @property
    def client_request_id(self) -> str | None:
        """The id that the caller gave it."""
        return self.headers.get("client-request-id")


class CallLog:
    """The calls to one stand-in, in the order of their arrival."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[int, Call] = {}
        self._count = 0

    def add(self, request: Request) -> Call:
        """Keep a request that has just come."""
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
        """Note what a call is answered with."""
        with self._lock:
            if call.number in self._calls:  # not cleared since
                self._calls[call.number] = replace(call, status=status)

    def select(self, when: Callable[[Call], bool] | None = None) -> list[Call]:
        """The calls that satisfy a condition, or all of them."""
        with self._lock:
            calls = list(self._calls.values())
        return [call for call in calls if when is None or when(call)]

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._calls.clear()


def _claims(token: str) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return {}
    return claims
