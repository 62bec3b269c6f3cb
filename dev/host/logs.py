"""Keeps the log lines of the host and its worker."""

import contextlib
import datetime as dt
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One log record of the worker (as the host gets it over gRPC) or of the host.

    Attributes:
        level: `DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`.
        logger: The Python logger's name; `Host.…` for the host's own lines, and
            `Worker.Output` for what the app printed.
        message: The text, with a record's exception and stack.
        invocation_id: The invocation that it belongs to, or an empty text.
        time: When it reached the host.
    """

    level: str
    logger: str
    message: str
    invocation_id: str = ""
    time: dt.datetime = field(default_factory=_now)

    def __str__(self) -> str:
        invocation = f" [{self.invocation_id[:8]}]" if self.invocation_id else ""
        clock = f"{self.time:%H:%M:%S}.{self.time.microsecond // 1000:03d}"
        return f"[{clock}] {self.level:<7} {self.logger}{invocation} {self.message}"


class Logs:
    """The last lines, in order, from any thread.

    Args:
        on_line: Is called with each line, in the line's own thread. Its exceptions are ignored,
            because a closed terminal must not stop the host.
        capacity: How many lines are kept.
    """

    def __init__(
        self, *, on_line: Callable[[LogLine], None] | None, capacity: int = 50_000
    ) -> None:
        self._on_line = on_line
        self._lines: deque[LogLine] = deque(maxlen=capacity)
        self._lock = threading.Lock()

    def add(self, line: LogLine) -> None:
        """Keep a line and pass it on."""
        with self._lock:
            self._lines.append(line)
        if self._on_line:
            with contextlib.suppress(Exception):
                self._on_line(line)

    def write(self, level: str, logger: str, message: str, *, invocation_id: str = "") -> None:
        """Keep a line of the host's own."""
        self.add(LogLine(level=level, logger=logger, message=message, invocation_id=invocation_id))

    def lines(self) -> list[LogLine]:
        """Return the kept lines, oldest first."""
        with self._lock:
            return list(self._lines)

    def end(self, *, count: int = 20) -> str:
        """Return the last lines as text, for an error message."""
        return "\n".join(str(line) for line in self.lines()[-count:])
