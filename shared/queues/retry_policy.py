"""Decides when a request or delivery is tried again, from its error and its history.

Nothing waits here: a delayed retry is a hidden queue message.
"""

import enum
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from shared.core.errors import CODES, Retry, ServiceError
from shared.core.retry_after import MAX_SECONDS
from shared.core.strict_json import Json

SHORTEST_DELAY = 5.0
LONGEST_DELAY = 15 * 60.0
OPERATOR_DELAY = 15 * 60.0
FEW_DELAYS = (30.0, 120.0, 300.0)
"""The delays for `Retry.FEW` in seconds, ten minutes in all: by then Graph finds a new meeting."""
LEAST_TRIES = 5
"""How often a message is tried at least, even if its hours passed while the app was stopped."""
_MOST_ATTEMPTS = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The earlier tries of a request or delivery. Each message that tries it again holds it.

    Attributes:
        attempts: How often it was tried.
        repeats: How many of the last tries in a row ended in the same error.
        last_error: That error's code.
        first_seen: When it first arrived, in seconds since the epoch; None before its first try.
    """

    attempts: int = 0
    repeats: int = 0
    last_error: str | None = None
    first_seen: float | None = None

    @classmethod
    def from_members(cls, members: Mapping[str, Json]) -> Self:
        """Read the history from a message's members. Invalid members give an empty history."""
        match members:
            case {
                "attempts": int(attempts),
                "repeats": int(repeats),
                "lasterror": str() | None as last_error,
                "firstseen": (int() | float()) as first_seen,
            } if 0 <= first_seen < math.inf:
                tried = 1 <= repeats <= attempts <= _MOST_ATTEMPTS and last_error in CODES
                if tried or (attempts, repeats, last_error) == (0, 0, None):
                    return cls(
                        attempts=attempts,
                        repeats=repeats,
                        last_error=last_error,
                        first_seen=first_seen,
                    )
        return cls()

    def to_members(self) -> dict[str, Json]:
        """Give the history as members of a message."""
        return {
            "attempts": self.attempts,
            "repeats": self.repeats,
            "lasterror": self.last_error,
            "firstseen": self.first_seen,
        }

    def arrived(self, inserted_on: float) -> float:
        """Give the time when the request first arrived, in seconds since the epoch.

        It is never later than `inserted_on`, the time when this message was put on the queue.
        """
        return inserted_on if self.first_seen is None else min(self.first_seen, inserted_on)

    def after(self, error: ServiceError, *, dequeues: int, inserted_on: float) -> "History":
        """Give the history with the try that has just failed.

        Args:
            error: the error of this try.
            dequeues: how often the host has given out this message. Tries that ended with the
                process count as well.
            inserted_on: when this message was put on the queue, in seconds since the epoch.
        """
        return History(
            attempts=self.attempts + dequeues,
            repeats=self.repeats + 1 if error.code == self.last_error else 1,
            last_error=error.code,
            first_seen=self.arrived(inserted_on),
        )


class End(enum.Enum):
    """Why a request is not tried again."""

    FINAL = "another try would say the same"
    TIME_SPENT = "the time for retries is over"


def plan(
    error: ServiceError,
    history: History,
    *,
    now: float,
    retry_seconds: float,
    draw: Callable[[float, float], float],
) -> float | End:
    """Decide when a request or delivery is tried again after an error.

    Args:
        error: the error, whose `retry` is FEW, OPERATOR or BACK_OFF.
        history: the history, including this try.
        now: seconds since the epoch.
        retry_seconds: how long after its arrival a request is tried (QUEUE_RETRY_HOURS).
        draw: draws a random number between two bounds.

    Returns:
        The seconds until the next try, at most retry_after.MAX_SECONDS; or why there is none.
    """
    match error.retry:
        case Retry.FEW:
            if history.repeats >= error.few_tries:
                return End.FINAL
            delay = FEW_DELAYS[history.repeats - 1]
        case Retry.OPERATOR:
            delay = OPERATOR_DELAY
        case Retry.BACK_OFF:
            delay = _back_off(error, history.attempts, draw)
        case _:
            return End.FINAL
    late = now + delay > history.arrived(now) + retry_seconds
    if late and (history.attempts >= LEAST_TRIES or delay > LONGEST_DELAY):
        return End.TIME_SPENT
    return delay


def _back_off(error: ServiceError, attempts: int, draw: Callable[[float, float], float]) -> float:
    """Give the back-off in seconds: exponential with full jitter, but not less than Retry-After.

    A Retry-After is made up to a tenth longer, so that messages do not come back together.

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    doublings = min(attempts, 10)  # with more, the longest delay is reached anyway
    delay = draw(SHORTEST_DELAY, min(LONGEST_DELAY, SHORTEST_DELAY * 2**doublings))
    if error.retry_after is None:
        return delay
    asked = error.retry_after + draw(0, error.retry_after / 10)
    return max(delay, min(asked, MAX_SECONDS))
