"""What one request may use up, and what it has used."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Budget:
    """Wall-clock time for one request, and a count of what it cost. Belongs to one thread.

    Args:
        seconds: from now until the answer has to be there.
        tries: how often one call to Graph may be made in all.
    """

    seconds: float
    tries: int = 4
    clock: Callable[[], float] = time.monotonic
    graph_calls: int = field(default=0, init=False)
    graph_request_id: str | None = field(default=None, init=False)
    graph_client_request_id: str | None = field(default=None, init=False)
    graph_diagnostic: str | None = field(default=None, init=False)
    notes: list[str] = field(default_factory=list, init=False)
    started: float = field(init=False)
    deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()
        self.deadline = self.started + self.seconds

    def remaining(self) -> float:
        """Seconds left; 0 when the time is spent."""
        return max(0.0, self.deadline - self.clock())

    def part(self) -> "Budget":
        """Give a budget over the same time to one of several requests answered together."""
        part = Budget(seconds=self.seconds, tries=self.tries, clock=self.clock)
        part.started, part.deadline = self.started, self.deadline
        return part

    def elapsed_ms(self) -> float:
        """Milliseconds since the start, to a tenth."""
        return round((self.clock() - self.started) * 1000, 1)
