"""How long a request may take, and what it has cost."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Deadline:
    """The moment by which a response must be there. It is made when the request starts.

    Args:
        seconds: the time from now until that moment.
        clock: monotonic seconds.
    """

    seconds: float
    clock: Callable[[], float] = time.monotonic
    started: float = field(init=False)
    at: float = field(init=False)
    """The moment itself, in seconds of the clock."""

    def __post_init__(self) -> None:
        self.started = self.clock()
        self.at = self.started + self.seconds

    def remaining(self) -> float:
        """Give the seconds that are left, 0 after the deadline."""
        return max(0.0, self.at - self.clock())

    def elapsed_ms(self) -> float:
        """Give the milliseconds since the start, rounded to a tenth."""
        return round((self.clock() - self.started) * 1000, 1)

    def within(self, seconds: float) -> "Deadline":
        """Give the deadline of one step: in so many seconds, but never after this deadline."""
        return Deadline(seconds=min(seconds, self.remaining()), clock=self.clock)


@dataclass(slots=True)
class RequestStats:
    """What one request has cost, and the ids of its last call to Graph. Not thread-safe."""

    graph_calls: int = 0
    graph_request_id: str | None = None
    graph_client_request_id: str | None = None
    graph_diagnostic: str | None = None
    notes: list[str] = field(default_factory=list)
    """Codes for the note of the request's event, such as `organizer_differs_from_link`."""
