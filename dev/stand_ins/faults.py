"""The faults that a test can order from any stand-in.

A fault is called with the exchange, and answers instead of the stand-in:

    graph.order(Delay(2))
    identity_endpoint.always(Status(500))
    key_vault.order(Reset(), times=3, when=lambda call: call.method == "GET")
"""

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from dev.stand_ins.messages import RefusedError, Response
from dev.stand_ins.stand_in import Exchange, Fault

_CHUNK = 65536


def answer_well(exchange: Exchange) -> None:
    """Answer as the stand-in does, without a fault."""
    exchange.send(exchange.respond())


@dataclass(frozen=True)
class Delay:
    """Answer late.

    Attributes:
        seconds: The delay.
        then: The fault after the delay; none by default.
    """

    seconds: float
    then: Fault = answer_well

    def __call__(self, exchange: Exchange) -> None:
        """Wait, then answer."""
        exchange.hold(self.seconds)
        self.then(exchange)


@dataclass(frozen=True)
class Hang:
    """Do not answer until the stand-in releases held requests. If it stops, never answer."""

    def __call__(self, exchange: Exchange) -> None:
        """Wait, then answer without a fault."""
        exchange.hold()
        answer_well(exchange)


@dataclass(frozen=True)
class Status:
    """Answer with an error status, in the service's own shape."""

    status: int
    code: str = ""
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, exchange: Exchange) -> None:
        """Refuse."""
        error = RefusedError(self.status, self.code, self.message, self.headers)
        exchange.send(exchange.refuse(error))


@dataclass(frozen=True)
class Reset:
    """Reset the connection before answering."""

    def __call__(self, exchange: Exchange) -> None:
        """Reset."""
        exchange.reset()


@dataclass(frozen=True)
class Close:
    """Close the connection normally, but without a response."""

    def __call__(self, exchange: Exchange) -> None:
        """Close."""
        exchange.closing = True


@dataclass(frozen=True)
class CutBody:
    """Announce the whole body, send half of it, and end the connection.

    Attributes:
        reset: Whether the connection is reset instead of closed.
    """

    reset: bool = True

    def __call__(self, exchange: Exchange) -> None:
        """Send half of the response."""
        answer = exchange.respond()
        exchange.begin(answer)
        exchange.write(answer.head(length=len(answer.body)))
        exchange.write(answer.body[: len(answer.body) // 2])
        exchange.closing = True
        if self.reset:
            exchange.reset()


@dataclass(frozen=True)
class Drip:
    """Answer without a fault, but one byte at a time.

    Attributes:
        interval: Seconds between two bytes.
        part: The part that is sent slowly. The rest is sent at once.
    """

    interval: float
    part: Literal["head", "body"] = "body"

    def __call__(self, exchange: Exchange) -> None:
        """Answer slowly."""
        answer = exchange.respond()
        exchange.begin(answer)
        head = answer.head(length=len(answer.body))
        if self.part == "head":
            self._drip(exchange, head)
            exchange.write(answer.body)
        else:
            exchange.write(head)
            self._drip(exchange, answer.body)

    def _drip(self, exchange: Exchange, data: bytes) -> None:
        for byte in data:
            exchange.write(bytes([byte]))
            exchange.hold(self.interval)


@dataclass(frozen=True)
class Body:
    """Answer each request with these bytes."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"

    def __call__(self, exchange: Exchange) -> None:
        """Answer with them."""
        exchange.send(Response(self.status, self.body, {"Content-Type": self.content_type}))


NOT_JSON = Body(b"<!doctype html><title>Gateway</title><p>Something else", content_type="text/html")
NOT_JSON_AS_JSON = Body(b'{"value": "https://')
EMPTY_BODY = Body(b"")


@dataclass(frozen=True)
class Huge:
    """Answer with valid JSON of this many bytes and a little more.

    Attributes:
        size: The size in bytes.
        announced: Whether there is a Content-Length. Otherwise the body ends with the connection.
    """

    size: int
    announced: bool = True

    def __call__(self, exchange: Exchange) -> None:
        """Send the long response."""
        start, end = b'{"value":"', b'"}'
        answer = Response(200, headers={"Content-Type": "application/json"})
        exchange.begin(answer)
        exchange.closing = exchange.closing or not self.announced
        whole = len(start) + self.size + len(end)
        exchange.write(answer.head(length=whole if self.announced else None) + start)
        for sent in range(0, self.size, _CHUNK):
            exchange.write(b"x" * min(_CHUNK, self.size - sent))
        exchange.write(end)


@dataclass(frozen=True)
class Redirect:
    """Redirect the caller to another address."""

    location: str
    status: int = 302

    def __call__(self, exchange: Exchange) -> None:
        """Redirect."""
        exchange.send(Response(self.status, headers={"Location": self.location}))


class Random:
    """Do one of these faults now and then, for soak runs: `always(Random(...))`.

    Args:
        rate: The share of calls with a fault, from 0 to 1.
        faults: The faults, which are equally likely.
        seed: The same seed gives the same sequence.
    """

    def __init__(self, *, rate: float, faults: Sequence[Fault], seed: int) -> None:
        self._rate = rate
        self._faults = faults
        self._random = random.Random(seed)  # noqa: S311 - not for security
        self._lock = threading.Lock()

    def __call__(self, exchange: Exchange) -> None:
        """Answer with a fault, or without."""
        self._choose()(exchange)

    def _choose(self) -> Callable[[Exchange], None]:
        with self._lock:  # two threads must not use the same step of the sequence
            if self._random.random() >= self._rate:
                return answer_well
            return self._random.choice(self._faults)
