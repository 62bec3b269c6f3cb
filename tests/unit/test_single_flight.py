"""One fetch at a time for each key: which callers wait, and what is stored."""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest
from cachetools import LRUCache

from shared.core.deadline import Deadline
from shared.core.single_flight import FetchFailed, SingleFlight
from tests.unit.at_once import at_once
from tests.unit.fake_identity import Clock


class Value:
    """A fetched value, which is equal only to itself."""


class Source:
    """Counts the fetches, and holds or fails them as a test says.

    Attributes:
        brought: the values, in order.
        failure: what a fetch raises, if anything.
        gate: closed (cleared), it holds the fetches that begin meanwhile.
    """

    def __init__(self) -> None:
        self.brought: list[Value] = []
        self.failure: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.begun = 0

    def __call__(self) -> Value:
        """Return a new value."""
        self.begun += 1
        gate, failure = self.gate, self.failure
        gate.wait(10)
        if failure is not None:
            raise failure
        value = Value()
        self.brought.append(value)
        return value

    def hold(self) -> threading.Event:
        """Hold the fetches that begin from now on; the event lets them go."""
        self.gate = threading.Event()
        return self.gate

    def let_pass(self) -> None:
        """Let later fetches pass. Held fetches stay held."""
        self.gate = threading.Event()
        self.gate.set()


@pytest.fixture
def clock() -> Clock:
    """A clock that a test moves."""
    return Clock(0)


@pytest.fixture
def flights(clock: Clock) -> SingleFlight[str, Value]:
    """Without any value yet."""
    return SingleFlight(name="fetch-under-test", clock=clock)


@pytest.fixture
def source() -> Source:
    """Where values come from."""
    return Source()


def fetch(
    flights: SingleFlight[str, Value],
    source: Callable[[], Value],
    *,
    key: str = "a",
    seen: Value | None = None,
    seconds: float = 5,
    cool_down: float = 0,
) -> Value:
    """Fetch with so much time."""
    return flights.fetch(
        key, source, seen=seen, deadline=Deadline(seconds=seconds), cool_down=cool_down
    )


def end_all() -> None:
    """Wait until every fetch has ended."""
    for thread in threading.enumerate():
        if thread.name == "fetch-under-test":
            thread.join(5)


def test_many_callers_share_one_fetch(flights: SingleFlight[str, Value], source: Source) -> None:
    """All of them get its value."""
    values = at_once(32, lambda: fetch(flights, source), failure=FetchFailed)
    assert set(values) == {flights.get("a")}
    assert source.begun == 1


def test_each_key_is_fetched_by_itself(flights: SingleFlight[str, Value], source: Source) -> None:
    """A fetch does not wait for another key's."""
    gate = source.hold()
    flights.start("a", source, seen=None)
    source.let_pass()
    value = fetch(flights, source, key="b")
    gate.set()
    end_all()
    assert (flights.get("b"), flights.get("a")) == (value, source.brought[1])


def test_a_newer_value_than_the_one_that_was_seen_is_given_at_once(
    flights: SingleFlight[str, Value], source: Source
) -> None:
    """A caller that has seen an older value starts no fetch."""
    value = fetch(flights, source)
    assert fetch(flights, source, seen=None) is value
    assert source.begun == 1
    newer = fetch(flights, source, seen=value)
    assert fetch(flights, source, seen=value) is newer
    assert source.begun == 2


def test_each_caller_gets_its_own_error_with_the_cause(
    flights: SingleFlight[str, Value], source: Source
) -> None:
    """Several threads that raise one exception would mix their tracebacks."""

    def fail() -> Value:
        try:
            raise ConnectionRefusedError("canary")
        except OSError as error:
            raise ValueError("canary") from error

    failures = at_once(8, lambda: fetch(flights, fail), failure=FetchFailed)

    assert len({id(failure) for failure in failures}) == 8
    assert {getattr(failure, "reason", None) for failure in failures} == {"ConnectionRefusedError"}
    assert "canary" not in repr(failures) + "".join(map(str, failures))
    for failure in failures:
        assert isinstance(failure, FetchFailed)
        assert isinstance(failure.error, ValueError)
        assert failure.error.__traceback__ is None
        assert failure.__cause__ is None


def test_without_a_cool_down_the_next_caller_fetches_again(
    flights: SingleFlight[str, Value], source: Source
) -> None:
    """After a failure."""
    source.failure = OSError()
    with pytest.raises(FetchFailed):
        fetch(flights, source)
    source.failure = None
    assert fetch(flights, source) is source.brought[0]


def test_during_the_cool_down_the_failure_is_raised_again(
    flights: SingleFlight[str, Value], source: Source, clock: Clock
) -> None:
    """For any number of callers. After it, one fetches again."""
    source.failure = OSError()
    failures = at_once(32, lambda: fetch(flights, source, cool_down=5), failure=FetchFailed)
    assert {type(failure) for failure in failures} == {FetchFailed}
    source.failure = None
    clock.now = 4.9
    with pytest.raises(FetchFailed) as raised:
        fetch(flights, source, cool_down=5)
    assert raised.value.reason == "OSError"
    assert source.begun == 1
    clock.now = 5
    assert fetch(flights, source, cool_down=5) is source.brought[0]


def test_during_the_cool_down_the_stored_value_is_given(
    flights: SingleFlight[str, Value], source: Source, clock: Clock
) -> None:
    """It has just been fetched."""
    value = fetch(flights, source)
    clock.now = 59
    assert fetch(flights, source, seen=value, cool_down=60) is value
    flights.start("a", source, seen=value, cool_down=60)
    assert source.begun == 1
    clock.now = 60
    assert fetch(flights, source, seen=value, cool_down=60) is not value


def test_the_cool_down_begins_when_a_fetch_ends(
    flights: SingleFlight[str, Value], source: Source, clock: Clock
) -> None:
    """So a long fetch is not followed by another one at once."""
    gate, source.failure = source.hold(), OSError()
    flights.start("a", source, seen=None)
    clock.now = 100
    gate.set()
    end_all()
    with pytest.raises(FetchFailed):
        fetch(flights, source, cool_down=5)
    assert source.begun == 1


def test_an_endless_cool_down_joins_a_fetch_and_starts_none(
    flights: SingleFlight[str, Value], source: Source
) -> None:
    """For callers that may only wait for another caller's fetch."""
    value = fetch(flights, source)
    gate = source.hold()
    flights.start("a", source, seen=value)
    threading.Timer(0.1, gate.set).start()
    newer = fetch(flights, source, seen=value, cool_down=math.inf)
    assert newer is source.brought[1]
    assert fetch(flights, source, seen=newer, cool_down=math.inf) is newer


def test_a_fetch_that_hangs_delays_only_its_own_callers(
    flights: SingleFlight[str, Value], source: Source
) -> None:
    """The next caller's fetch succeeds while the old one still hangs."""
    gate = source.hold()
    failures = at_once(8, lambda: fetch(flights, source, seconds=0.2), failure=FetchFailed)
    assert {getattr(failure, "reason", None) for failure in failures} == {"TimeoutError"}
    assert source.begun == 1

    source.let_pass()
    value = fetch(flights, source)

    assert (source.begun, source.brought) == (2, [value])
    gate.set()
    end_all()
    assert flights.get("a") is value, "what came late replaces nothing newer"


def test_a_late_value_is_stored_if_there_is_no_newer_one(
    flights: SingleFlight[str, Value], source: Source
) -> None:
    """Otherwise an endpoint slower than the deadline would never be of use."""
    gate = source.hold()
    with pytest.raises(FetchFailed):
        fetch(flights, source, seconds=0)
    gate.set()
    end_all()
    assert fetch(flights, source) is source.brought[0]
    assert source.begun == 1


def test_with_a_stored_value_a_timeout_starts_the_cool_down(
    flights: SingleFlight[str, Value], source: Source, clock: Clock
) -> None:
    """Callers use the stored value and need not wait."""
    value = fetch(flights, source)
    clock.now = 30
    gate = source.hold()
    for _ in range(3):
        with pytest.raises(FetchFailed) as raised:
            fetch(flights, source, seen=value, seconds=0, cool_down=30)
        assert raised.value.reason == "TimeoutError"
    assert source.begun == 2
    gate.set()


def test_without_a_stored_value_a_timeout_starts_no_cool_down(
    flights: SingleFlight[str, Value], source: Source
) -> None:
    """The next caller fetches at once."""
    gate = source.hold()
    with pytest.raises(FetchFailed):
        fetch(flights, source, seconds=0, cool_down=30)
    source.let_pass()
    assert fetch(flights, source, cool_down=30) is source.brought[0]
    gate.set()


def test_a_late_failure_does_not_replace_the_end_of_a_newer_fetch(
    flights: SingleFlight[str, Value], source: Source
) -> None:
    """The newer fetch's end counts."""
    gate, source.failure = source.hold(), OSError()
    with pytest.raises(FetchFailed):
        fetch(flights, source, seconds=0)
    source.failure = None
    source.let_pass()
    value = fetch(flights, source)
    gate.set()
    end_all()
    assert fetch(flights, source, seen=value, cool_down=5) is value


def test_a_waiter_with_time_left_fetches_again_after_anothers_deadline(
    flights: SingleFlight[str, Value], source: Source, clock: Clock
) -> None:
    """The fetch had its starter's deadline, which was earlier."""
    assert outlast(flights, source, clock, moved_to=61) is source.brought[0]
    assert source.begun == 2


def test_a_waiter_gets_the_failure_of_a_fetch_that_had_enough_time(
    flights: SingleFlight[str, Value], source: Source, clock: Clock
) -> None:
    """Another fetch would fail as well."""
    assert isinstance(outlast(flights, source, clock, moved_to=59), FetchFailed)
    assert source.begun == 1


def test_a_waiter_without_time_left_does_not_fetch_again(
    flights: SingleFlight[str, Value], source: Source, clock: Clock
) -> None:
    """Its own deadline is over as well."""
    assert isinstance(outlast(flights, source, clock, moved_to=601), FetchFailed)
    assert source.begun == 1


def outlast(
    flights: SingleFlight[str, Value], source: Source, clock: Clock, *, moved_to: float
) -> Value | FetchFailed:
    """Start a fetch with a minute's time, wait for it with ten, and let it fail at this time.

    A second fetch would succeed. Gives what the second caller gets.
    """
    waiting = threading.Event()

    def patient_clock() -> float:
        """It is asked when the second caller has joined the fetch."""
        waiting.set()
        return clock.now

    patient = Deadline(seconds=600, clock=patient_clock)
    waiting.clear()
    gate, source.failure = source.hold(), OSError()

    def ask(deadline: Deadline) -> Value | FetchFailed:
        try:
            return flights.fetch("a", source, seen=None, deadline=deadline)
        except FetchFailed as failure:
            return failure

    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(ask, Deadline(seconds=60, clock=lambda: clock.now))
        while not source.begun:
            time.sleep(0.01)
        second = callers.submit(ask, patient)
        waiting.wait(10)
        source.failure = None
        source.let_pass()
        clock.now = moved_to
        gate.set()
        assert isinstance(first.result(), FetchFailed)
        return second.result()


def test_a_fetch_runs_in_the_context_of_the_caller_who_started_it(
    flights: SingleFlight[str, Value], caplog: pytest.LogCaptureFixture
) -> None:
    """The context says to which invocation a log record belongs."""
    invocation: ContextVar[str] = ContextVar("invocation", default="")
    inner: SingleFlight[str, Value] = SingleFlight(name="inner fetch")
    seen: list[str] = []

    def fail() -> Value:
        seen.append(invocation.get())
        raise OSError

    invocation.set("invocation-1")
    with pytest.raises(FetchFailed):
        fetch(flights, lambda: fetch(inner, fail))

    assert seen == ["invocation-1"]
    assert caplog.messages == [
        "The inner fetch failed: OSError",
        "The fetch-under-test failed: OSError",
    ]


def test_a_failure_is_logged_once_by_the_caller_who_started_the_fetch(
    flights: SingleFlight[str, Value], source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    """The host drops records of threads without an invocation."""
    source.failure = OSError("canary")
    at_once(16, lambda: fetch(flights, source, cool_down=5), failure=FetchFailed)
    assert source.begun == 1
    (record,) = caplog.records
    assert record.getMessage() == "The fetch-under-test failed: OSError"
    assert record.threadName != "fetch-under-test"


def test_a_fetch_that_was_given_up_is_logged(
    flights: SingleFlight[str, Value], source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    """It may end later, when nobody waits."""
    gate = source.hold()
    with pytest.raises(FetchFailed):
        fetch(flights, source, seconds=0)
    gate.set()
    end_all()
    assert caplog.messages == ["The fetch-under-test failed: TimeoutError"]


def test_a_failure_that_nobody_waited_for_is_logged_by_the_next_fetch(
    flights: SingleFlight[str, Value],
    source: Source,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once in the cool-down, so that the log stays short."""
    source.failure = OSError()
    for _ in range(3):
        flights.start("a", source, seen=None, cool_down=30)
        end_all()
    assert caplog.messages == []
    clock.now = 30
    for _ in range(3):
        flights.start("a", source, seen=None, cool_down=30)
        end_all()
    assert caplog.messages == ["The fetch-under-test failed: OSError"]


def test_start_does_not_wait(flights: SingleFlight[str, Value], source: Source) -> None:
    """The stored value is used meanwhile. A second start starts nothing."""
    gate = source.hold()
    flights.start("a", source, seen=None)
    flights.start("a", source, seen=None)
    assert flights.get("a") is None
    gate.set()
    end_all()
    assert [flights.get("a")] == source.brought


def test_if_no_thread_can_start_no_caller_waits(
    flights: SingleFlight[str, Value], source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next caller tries again."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        with pytest.raises(FetchFailed) as raised:
            fetch(flights, source)
    assert raised.value.reason == "RuntimeError"
    assert fetch(flights, source) is source.brought[0]


def test_values_may_be_kept_in_a_bounded_mapping(clock: Clock, source: Source) -> None:
    """A removed value is fetched again."""
    flights: SingleFlight[str, Value] = SingleFlight(
        name="fetch-under-test", values=LRUCache(1), clock=clock
    )
    first = fetch(flights, source, key="a")
    fetch(flights, source, key="b")
    assert flights.get("a") is None
    assert fetch(flights, source, key="a", seen=first, cool_down=60) is source.brought[2]
