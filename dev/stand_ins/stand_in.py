"""The common part of all HTTP stand-ins: serving, recording, and orders."""

import io
import socket
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from dev.stand_ins import listener
from dev.stand_ins.certificates import TlsFiles
from dev.stand_ins.messages import (
    Call,
    CallLog,
    MalformedRequestError,
    RefusedError,
    Request,
    Response,
)

type Condition = Callable[[Call], bool]
type Fault = Callable[[Exchange], None]


class Exchange:
    """One request and the connection that waits for its answer, for a fault to act on.

    Attributes:
        call: The request.
        closing: Whether the connection ends with this answer.
    """

    def __init__(
        self, *, stand_in: "StandIn", request: Request, call: Call, connection: socket.socket
    ) -> None:
        self.call = call
        self.closing = request.headers.get("connection", "").lower() == "close"
        self._stand_in = stand_in
        self._request = request
        self._connection = connection

    def respond(self) -> Response:
        """The answer that the stand-in gives when nothing is wrong."""
        try:
            return self._stand_in.respond(self._request)
        except RefusedError as error:
            return self.refuse(error)

    def refuse(self, error: RefusedError) -> Response:
        """An error in the service's format."""
        return self._stand_in.refuse(self._request, error)

    def send(self, answer: Response) -> None:
        """Send a whole answer."""
        self.begin(answer)
        self.write(answer.head(length=len(answer.body)) + answer.body)

    def begin(self, answer: Response) -> None:
        """Record an answer's status, before a caller can see it."""
        self._stand_in.log.answered(self.call, answer.status)

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._connection.sendall(data)

    def hold(self, seconds: float | None = None) -> None:
        """Wait until the time is over, or the stand-in releases its held calls.

        Raises:
            ConnectionAbortedError: The stand-in has been stopped.
        """
        self._stand_in.hold(seconds)

    def reset(self) -> None:
        """End the connection as after the peer's crash."""
        listener.reset(self._connection)
        self.closing = True


@dataclass
class _Order:
    fault: Fault
    times: int | None
    when: Condition | None


class StandIn(ABC):
    """A small HTTP server that stands in for one service.

    Args:
        name: The threads' name.
        tls: Its certificate, or None for plain HTTP.

    Attributes:
        log: The calls to it.
    """

    def __init__(self, *, name: str, tls: TlsFiles | None = None) -> None:
        self.log = CallLog()
        self._listener = listener.Listener(
            serve=self._serve, name=name, tls=None if tls is None else _context(tls)
        )
        self._lock = threading.Lock()
        self._orders: list[_Order] = []
        self._held: set[threading.Event] = set()

    @abstractmethod
    def respond(self, request: Request) -> Response:
        """Answer a request as the service would.

        Raises:
            RefusedError: The service would refuse it.
        """

    @abstractmethod
    def refuse(self, request: Request, error: RefusedError) -> Response:
        """An error in the service's format."""

    @property
    def port(self) -> int:
        """The port of 127.0.0.1 that it listens on."""
        return self._listener.port

    @property
    def url(self) -> str:
        """Its root, which replaces the service's, where it speaks plain HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def calls(self) -> list[Call]:
        """The requests in order."""
        return self.log.select()

    def count(self, when: Condition | None = None) -> int:
        """The number of requests: all, or those that satisfy a condition."""
        return len(self.log.select(when))

    def clear(self) -> None:
        """Delete the record of calls."""
        self.log.clear()

    def order(self, fault: Fault, *, times: int = 1, when: Condition | None = None) -> None:
        """Answer the next calls with a fault, after the orders given before.

        Args:
            fault: The fault in place of the right answer.
            times: The number of calls.
            when: The condition for a call, or None for each call.
        """
        with self._lock:
            self._orders.append(_Order(fault, times, when))

    def always(self, fault: Fault, *, when: Condition | None = None) -> None:
        """As `order`, for each later call for which there is no `order`."""
        with self._lock:
            self._orders.append(_Order(fault, None, when))

    def clear_orders(self) -> None:
        """Give right answers again. Held calls stay held."""
        with self._lock:
            self._orders.clear()

    @property
    def held(self) -> int:
        """The number of held calls."""
        with self._lock:
            return len(self._held)

    def hold(self, seconds: float | None) -> None:
        """Wait until the time is over, or held calls are released.

        Raises:
            ConnectionAbortedError: It has been stopped.
        """
        released = threading.Event()
        with self._lock:
            self._held.add(released)
        if not self._listener.stopping:
            released.wait(seconds)
        with self._lock:
            self._held.discard(released)
        if self._listener.stopping:
            raise ConnectionAbortedError

    def release(self) -> None:
        """Release all held calls, which are then answered."""
        with self._lock:
            held = list(self._held)
        for released in held:
            released.set()

    def start(self) -> None:
        """Listen."""
        self._listener.start()

    def stop(self) -> None:
        """Stop, end all connections, and wait for all threads."""
        self._listener.stop(then=self.release)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            while (request := self._read(stream, connection)) is not None:
                exchange = Exchange(
                    stand_in=self,
                    request=request,
                    call=self.log.add(request),
                    connection=connection,
                )
                fault = self._next_fault(exchange.call)
                if fault is None:
                    exchange.send(exchange.respond())
                else:
                    fault(exchange)
                if exchange.closing:
                    return

    def _read(self, stream: io.BufferedIOBase, connection: socket.socket) -> Request | None:
        try:
            return Request.read(stream)
        except MalformedRequestError:
            connection.sendall(Response(400).head(length=None))
            return None

    def _next_fault(self, call: Call) -> Fault | None:
        with self._lock:
            for order in sorted(self._orders, key=lambda order: order.times is None):
                if order.when is None or order.when(call):
                    if order.times is not None:
                        order.times -= 1
                        if order.times == 0:
                            self._orders.remove(order)
                    return order.fault
        return None


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate)
    return context
