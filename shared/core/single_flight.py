"""Fetches a value once for all callers that need it: a token, a secret, signing keys.

Each fetch runs in its own thread. Callers wait for its value until their own deadlines, so a fetch
that hangs delays no caller past its deadline. A second fetch of the same value starts only

- for a later caller, if the deadline of a caller that waited has passed: the fetch may hang;
- for a caller that waited and has time left, if the fetch failed after the deadline of the caller
  that had started it: it may have failed for want of time.

The caller that started a fetch logs its failure, once. The host drops what is logged in a thread
that belongs to no invocation. So the thread runs in a copy of that caller's context, which names
the invocation, and what the fetch itself logs is kept.

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
from contextvars import copy_context
from typing import NamedTuple

from cachetools import LRUCache

from shared.core.deadline import Deadline
from shared.core.errors import NoAnswer, root_cause

_logger = logging.getLogger("virtual_appointment")
_MOST_ENDS = 1024
"""For how many keys the end of the last fetch is kept."""


class FetchFailed(NoAnswer):
    """There is no newer value. `reason` says why.

    Attributes:
        error: the exception of the fetch, or a TimeoutError if the fetch had not ended by the
            deadline. Do not raise it again: several threads hold the same object.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(root_cause(error))
        self.error = error


class _Flight[Value](NamedTuple):
    future: Future[Value]
    base: Value | None
    """The value when the fetch started. A fetch that ends late does not replace a newer value."""
    deadline: Deadline | None = None
    """Of the caller that started it and waits for it. None: `start` did, and nobody waits."""


class _Joined[Value](NamedTuple):
    """What a caller waits for: a fetch, or a result that is already there."""

    future: Future[Value]
    started: bool = False
    """Whether this caller started the fetch."""
    deadline: Deadline | None = None
    """Of the other caller that started the fetch, if one did and waits for it."""


class SingleFlight[Key: Hashable, Value]:
    """Values by key, each fetched by one thread at a time.

    Args:
        name: names the fetches in thread names and in the log.
        values: where the values are kept. It should be bounded where there can be many keys. A
            value is never None.
        clock: monotonic seconds.
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
        """When the last fetch ended or was given up, and the exception that it raised."""

    def get(self, key: Key) -> Value | None:
        """Give the stored value, however old. None: there is none."""
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
        """Give a value that is newer than `seen`.

        A newer stored value is returned at once. Otherwise this waits for the running fetch, or
        starts one.

        Args:
            key: the value's key.
            fetch: fetches the value, or raises any exception. It must limit its own time.
            seen: the value from `get` that the caller cannot use; None where there was none.
            deadline: how long to wait. Later callers do not wait for a fetch that took longer. Its
                value is still stored if no newer one is there when it comes.
            cool_down: seconds after the end of a fetch during which no other is started. Until
                then the stored value is returned, or the last failure raised again.

        Raises:
            FetchFailed: if there is no newer value.
        """
        while True:
            with self._lock:
                joined = self._join(key, fetch, seen, cool_down, deadline)
            try:
                error = joined.future.exception(timeout=deadline.remaining())
            except FutureTimeoutError:
                self._abandon(key, joined.future)
                error = TimeoutError()
            if error is None:
                return joined.future.result()
            if joined.started:
                self._report(error)
            elif joined.deadline and not joined.deadline.remaining() and deadline.remaining():
                continue  # it may have failed for want of time, and here there is some left
            raise FetchFailed(error) from None

    def start(
        self, key: Key, fetch: Callable[[], Value], *, seen: Value | None, cool_down: float = 0
    ) -> None:
        """Start a fetch as `fetch` does, and do not wait for it.

        If the fetch fails, the next caller that starts a fetch logs the failure.
        """
        with self._lock:
            _, last_failure = self._last_end(key)
            started = self._join(key, fetch, seen, cool_down, None).started
        if started and last_failure is not None:
            self._report(last_failure)

    def _join(
        self,
        key: Key,
        fetch: Callable[[], Value],
        seen: Value | None,
        cool_down: float,
        deadline: Deadline | None,
    ) -> _Joined[Value]:
        known = self._values.get(key)
        future: Future[Value] = Future()
        if known is not None and known is not seen:
            future.set_result(known)
            return _Joined(future)
        if key in self._flights:
            flight = self._flights[key]
            return _Joined(flight.future, deadline=flight.deadline)
        ended, failure = self._last_end(key)
        if self._clock() - ended < cool_down:
            if failure is not None:
                future.set_exception(failure)
                return _Joined(future)
            if known is not None:
                future.set_result(known)
                return _Joined(future)
        flight = self._flights[key] = _Flight(future, known, deadline)
        thread = threading.Thread(
            target=copy_context().run,
            args=(self._run, key, flight, fetch),
            name=self._name,
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError as error:  # no thread could start: the next caller must not wait for it
            del self._flights[key]
            future.set_exception(error)
        return _Joined(future, started=True)

    def _run(self, key: Key, flight: _Flight[Value], fetch: Callable[[], Value]) -> None:
        try:
            value = fetch()
        except BaseException as error:  # noqa: BLE001 - the waiting callers must get every exception
            # Its traceback would keep the fetch's local variables in memory.
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

    def _abandon(self, key: Key, future: Future[Value]) -> None:
        """Let no further caller wait for a fetch that hangs.

        Where there is a stored value, this counts as a failure, which starts the cool-down. Where
        there is none, the next caller starts a new fetch at once.
        """
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None and flight.future is future:
                del self._flights[key]
                if flight.base is not None:
                    self._ends[key] = self._clock(), TimeoutError()
