"""One fetch at a time for each thing that many callers need: a token, a secret, signing keys.

A fetch has a thread of its own, and those who need its value wait for it as long as their deadlines
let them. So one that hangs holds up nobody past their time; and once somebody has given it up, the
next caller starts another.

Each failure is logged once, by the caller who started the fetch: what is logged in a thread that
belongs to no invocation never arrives.

    tokens: SingleFlight[str, Token] = SingleFlight(name="token request")
    token = tokens.get(scope)
    if token is None or token.expires_on < now:
        token = tokens.fetch(scope, ask_for_token, seen=token, deadline=deadline, cool_down=5)
"""

import logging
import threading
import time
from collections.abc import Callable, Hashable, MutableMapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import NamedTuple

from cachetools import LRUCache

from shared.core.deadline import Deadline
from shared.core.errors import NoAnswer, root_cause

_logger = logging.getLogger("virtual_appointment")
_MOST_ENDS = 1024
"""Of so many keys it is remembered how their last fetch ended."""


class FetchFailed(NoAnswer):
    """There is no newer value; `reason` says why.

    Attributes:
        error: what the fetch raised, to be looked at and not raised again, since others have it
            too; a TimeoutError where it had not ended by the deadline.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(root_cause(error))
        self.error = error


class _Flight[Value](NamedTuple):
    future: Future[Value]
    base: Value | None
    """What was known when it started: a newer value is not replaced by what comes late."""


class SingleFlight[Key: Hashable, Value]:
    """Values by key, each fetched by one thread at a time.

    Args:
        name: of the fetches, for their threads and the log.
        values: where the values are kept; one that is bounded, where the keys are many. A value
            is never None.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        *,
        name: str,
        values: MutableMapping[Key, Value] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._values: MutableMapping[Key, Value] = {} if values is None else values
        self._flights: dict[Key, _Flight[Value]] = {}
        self._ends: MutableMapping[Key, tuple[float, BaseException | None]] = LRUCache(_MOST_ENDS)
        """When the last fetch ended, or was given up, and what it raised."""

    def get(self, key: Key) -> Value | None:
        """Give the value at hand, however old."""
        with self._lock:
            return self._values.get(key)

    def fetch(
        self,
        key: Key,
        fetch: Callable[[], Value],
        *,
        seen: Value | None,
        deadline: Deadline,
        cool_down: float = 0,
    ) -> Value:
        """Give a newer value than the one that was seen.

        It is at hand, or there is a fetch under way to wait for, or a new one is started.

        Args:
            key: of the value.
            fetch: brings it, or raises whatever it may. The time it takes is for it to limit.
            seen: what does not do, as it came from here.
            deadline: how long to wait. A fetch that takes longer is given up by all who come
                later, though its value is kept, should it come while there is none newer.
            cool_down: seconds after the end of the last fetch in which none is started. The value
                at hand is given then, or the last fetch's failure told again.

        Raises:
            FetchFailed: if there is none.
        """
        with self._lock:
            future, started = self._join(key, fetch, seen, cool_down)
        try:
            error = future.exception(timeout=deadline.remaining())
        except FutureTimeoutError:
            self._give_up(key, future)
            error = TimeoutError()
        if error is None:
            return future.result()
        if started:
            self._report(error)
        raise FetchFailed(error) from None

    def start(
        self, key: Key, fetch: Callable[[], Value], *, seen: Value | None, cool_down: float = 0
    ) -> None:
        """See to it that there will be a newer value, without waiting; for the rest as `fetch`.

        Where that fails it is logged by the next one who starts a fetch.
        """
        with self._lock:
            _, last_failure = self._last_end(key)
            _, started = self._join(key, fetch, seen, cool_down)
        if started and last_failure is not None:
            self._report(last_failure)

    def _join(
        self, key: Key, fetch: Callable[[], Value], seen: Value | None, cool_down: float
    ) -> tuple[Future[Value], bool]:
        """Give what to wait for, and whether this has started it."""
        known = self._values.get(key)
        future: Future[Value] = Future()
        if known is not None and known is not seen:
            future.set_result(known)
            return future, False
        if key in self._flights:
            return self._flights[key].future, False
        ended, failure = self._last_end(key)
        if self._clock() - ended < cool_down:
            if failure is not None:
                future.set_exception(failure)
                return future, False
            if known is not None:
                future.set_result(known)
                return future, False
        flight = self._flights[key] = _Flight(future, known)
        thread = threading.Thread(
            target=self._run, args=(key, flight, fetch), name=self._name, daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # no thread to be had: the next caller must not wait for it
            del self._flights[key]
            future.set_exception(error)
        return future, True

    def _run(self, key: Key, flight: _Flight[Value], fetch: Callable[[], Value]) -> None:
        try:
            value = fetch()
        except BaseException as error:  # noqa: BLE001 - whatever it was, who waits must hear of it
            # Its traceback would keep alive what the fetch had in hand.
            self._end(key, flight, error.with_traceback(None))
            flight.future.set_exception(error)
            return
        with self._lock:
            known = self._values.get(key)
            if known is None or known is flight.base:
                self._values[key] = value
        self._end(key, flight, None)
        flight.future.set_result(value)

    def _end(self, key: Key, flight: _Flight[Value], error: BaseException | None) -> None:
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]
                self._ends[key] = self._clock(), error

    def _last_end(self, key: Key) -> tuple[float, BaseException | None]:
        return self._ends.get(key, (float("-inf"), None))

    def _report(self, error: BaseException) -> None:
        _logger.warning("The %s failed: %s", self._name, root_cause(error))

    def _give_up(self, key: Key, future: Future[Value]) -> None:
        """Let nobody else wait for a fetch that hangs, since it costs each of them their time.

        Where there is a value to go on with, that counts as a failure for the cool-down. Where
        there is none, the next caller tries again.
        """
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None and flight.future is future:
                del self._flights[key]
                if flight.base is not None:
                    self._ends[key] = self._clock(), TimeoutError()
