"""How long a request may take, and what it cost."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Deadline:
    """The moment by which an answer has to be there.

    Args:
        seconds: from now until then.
        clock: seconds that only grow.
    """

    seconds: float
    clock: Callable[[], float] = time.monotonic
    started: float = field(init=False)
    at: float = field(init=False)
    """The moment itself, by the clock."""

    def __post_init__(self) -> None:
        self.started = self.clock()
        self.at = self.started + self.seconds

    def remaining(self) -> float:
        """Seconds left; 0 when the time is spent."""
        return max(0.0, self.at - self.clock())

    def elapsed_ms(self) -> float:
        """Milliseconds since the start, to a tenth."""
        return round((self.clock() - self.started) * 1000, 1)

    def within(self, seconds: float) -> "Deadline":
        """Give the deadline of a part: so many seconds from now, but not past this one."""
        return Deadline(seconds=min(seconds, self.remaining()), clock=self.clock)


@dataclass(slots=True)
class RequestStats:
    """What one request has cost, and the ids of its last call. Belongs to one thread."""

    graph_calls: int = 0
    graph_request_id: str | None = None
    graph_client_request_id: str | None = None
    graph_diagnostic: str | None = None
    notes: list[str] = field(default_factory=list)
