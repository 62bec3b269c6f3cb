import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core import errors
from shared.core.errors import CODES, Retry, ServiceError
from shared.core.retry_after import MAX_SECONDS
from shared.queues.retry_policy import (
    FEW_DELAYS,
    LEAST_TRIES,
    LONGEST_DELAY,
    OPERATOR_DELAY,
    SHORTEST_DELAY,
    End,
    History,
    plan,
)

NOW = 1_800_000_000.0
DAY = 24 * 3600.0
TRIED_AGAIN = [code for code in CODES.values() if code.retry not in (Retry.NEVER, Retry.HOST)]


def lowest(low: float, _high: float) -> float:
    """Draw the lower bound."""
    return low


def highest(_low: float, high: float) -> float:
    """Draw the upper bound."""
    return high


def history(error: ServiceError, *, attempts: int = 1, repeats: int = 1, age: float = 0) -> History:
    """Make the history of a request whose last tries ended in this error."""
    return History(attempts=attempts, repeats=repeats, last_error=error.code, first_seen=NOW - age)


def delay(
    error: ServiceError,
    past: History | None = None,
    *,
    draw: object = lowest,
    retry_seconds: float = DAY,
) -> float | End:
    """Plan from here."""
    return plan(
        error,
        past or history(error),
        now=NOW,
        retry_seconds=retry_seconds,
        draw=draw,  # type: ignore[arg-type]  # one of the two above
    )


@pytest.mark.parametrize("error", [errors.MeetingNotFound, errors.UserNotFound])
def test_not_found_gets_three_more_tries_within_ten_minutes(
    error: type[ServiceError],
) -> None:
    """Graph does not find a new meeting at once. A deleted one must not be tried for a day."""
    plans = [delay(error(""), history(error(""), attempts=n, repeats=n)) for n in range(1, 5)]

    assert plans == [*FEW_DELAYS, End.FINAL]
    assert sum(FEW_DELAYS) < 600


def test_an_unexpected_response_gets_three_tries_in_all() -> None:
    """It may be temporary. After three it counts as an answer."""
    error = errors.GraphUnexpected("")

    plans = [delay(error, history(error, attempts=n, repeats=n)) for n in range(1, 4)]

    assert plans == [*FEW_DELAYS[:2], End.FINAL]


def test_the_few_tries_are_counted_from_the_error_they_are_for() -> None:
    """An outage before it does not count."""
    error = errors.MeetingNotFound("")

    assert delay(error, history(error, attempts=40, repeats=1)) == FEW_DELAYS[0]


def test_an_error_that_an_operator_can_fix_is_tried_every_15_minutes() -> None:
    """For as long as the retry hours last."""
    error = errors.AccessPolicyMissing("")

    assert {delay(error, history(error, attempts=n, age=n * 900.0)) for n in range(1, 95)} == {
        OPERATOR_DELAY
    }


def test_back_off_doubles_from_5_seconds_to_15_minutes_with_full_jitter() -> None:
    """The bounds between which the delay is drawn."""
    error = errors.GraphUnavailable("")

    bounds = [
        (
            delay(error, history(error, attempts=n)),
            delay(error, history(error, attempts=n), draw=highest),
        )
        for n in (1, 2, 3, 7, 8, 1000)
    ]

    assert bounds == [(5, 10), (5, 20), (5, 40), (5, 640), (5, 900), (5, 900)]


def test_retry_after_is_kept_and_spread_by_a_tenth() -> None:
    """Messages that were throttled together must not come back together."""
    error = errors.GraphThrottled("", retry_after=600)

    assert (delay(error), delay(error, draw=highest)) == (600, 660)


def test_a_retry_after_shorter_than_the_back_off_does_not_shorten_it() -> None:
    """`Retry-After: 0` for a day must not cause a call each second."""
    error = errors.GraphThrottled("", retry_after=0)

    assert delay(error, history(error, attempts=8), draw=highest) == LONGEST_DELAY
    assert delay(error) == SHORTEST_DELAY


def test_a_wait_is_capped_at_a_day() -> None:
    """Storage hides a message for a week at most, and nobody waits that long."""
    error = errors.GraphThrottled("", retry_after=DAY * 30)

    assert delay(error, retry_seconds=DAY * 7) == MAX_SECONDS


@pytest.mark.parametrize("error", TRIED_AGAIN)
def test_after_its_hours_nothing_is_tried_again(error: type[ServiceError]) -> None:
    """Not even once more. The last try is before the end."""
    late = history(error(""), attempts=LEAST_TRIES, age=DAY)

    assert delay(error(""), late) is End.TIME_SPENT


@pytest.mark.parametrize("error", TRIED_AGAIN)
def test_within_its_hours_a_request_is_tried_again(error: type[ServiceError]) -> None:
    """The delay decides, to the second."""
    wait = delay(error(""))
    assert isinstance(wait, float)

    just = history(error(""), attempts=LEAST_TRIES, age=DAY - wait)
    assert delay(error(""), just, draw=lowest) == wait


def test_a_message_that_waited_for_the_app_still_gets_its_tries() -> None:
    """After two days of a stopped app, one throttled call must not make dead letters."""
    error = errors.GraphUnavailable("")
    plans = [
        delay(error, history(error, attempts=n, age=2 * DAY)) for n in range(1, LEAST_TRIES + 1)
    ]

    assert plans[-1] is End.TIME_SPENT
    assert End.TIME_SPENT not in plans[:-1]


def test_a_delay_past_the_retry_hours_ends_the_tries() -> None:
    """Who sets one hour wants an outcome in about one hour."""
    error = errors.GraphThrottled("", retry_after=DAY)

    assert delay(error, retry_seconds=3600) is End.TIME_SPENT


@pytest.mark.parametrize("error", [code for code in CODES.values() if code not in TRIED_AGAIN])
def test_the_queue_tries_nothing_else_again(error: type[ServiceError]) -> None:
    """Other errors have no delay, even with a Retry-After."""
    assert delay(error("")) is End.FINAL


@given(
    error=st.sampled_from(TRIED_AGAIN),
    attempts=st.integers(1, 10**6),
    retry_after=st.none() | st.floats(0, 1e9),
    seed=st.integers(),
)
def test_every_delay_is_between_5_seconds_and_a_day(
    error: type[ServiceError], attempts: int, retry_after: float | None, seed: int
) -> None:
    """For each Retry-After and each history."""
    fault = error("", retry_after=retry_after)
    past = history(fault, attempts=attempts)

    wait = delay(fault, past, draw=random.Random(seed).uniform, retry_seconds=7 * DAY)

    assert isinstance(wait, float)
    assert SHORTEST_DELAY <= wait <= MAX_SECONDS


def test_a_history_counts_tries_and_repeats() -> None:
    """Tries that ended with the process count as well. A new error starts its own count."""
    away, throttled = errors.GraphUnavailable(""), errors.GraphThrottled("")

    first = History().after(away, dequeues=1, inserted_on=NOW)
    third = first.after(away, dequeues=2, inserted_on=NOW + 60)
    fourth = third.after(throttled, dequeues=1, inserted_on=NOW + 120)

    assert first == history(away)
    assert third == history(away, attempts=3, repeats=2)
    assert fourth == history(throttled, attempts=4, repeats=1)


def test_a_first_arrival_in_the_future_is_ignored() -> None:
    """Otherwise the message would be tried for ever."""
    forged = History(attempts=1, repeats=1, last_error="graph_throttled", first_seen=NOW + DAY)

    assert forged.arrived(NOW) == NOW
