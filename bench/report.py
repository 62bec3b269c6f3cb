"""The results of a measurement: tables for the terminal and for the documents, and JSON."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dev.terminal import green, red


@dataclass(frozen=True, kw_only=True)
class Table:
    """Values in a row for each subject. The first column is its name."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def to_text(self) -> str:
        """Format it for a terminal."""
        widths = [max(map(len, cells)) for cells in zip(self.columns, *self.rows, strict=True)]
        lines = [self.title, ""]
        for row in (self.columns, *self.rows):
            first, *others = zip(row, widths, strict=True)
            cells = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    def to_markdown(self) -> str:
        """Format it as Markdown."""
        ruler = ["---", *("---:" for _ in self.columns[1:])]
        lines = [f"| {' | '.join(row)} |" for row in (self.columns, ruler, *self.rows)]
        return f"**{self.title}**\n\n" + "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A value with a limit.

    Args:
        text: What is measured.
        found: The value.
        limit: The greatest or smallest value allowed.
        at_least: Whether the limit is the smallest value.
    """

    text: str
    found: float
    limit: float
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the value is within the limit."""
        return self.found >= self.limit if self.at_least else self.found <= self.limit

    @property
    def verdict(self) -> str:
        """Say whether it is met, or by how much it is missed."""
        return "met" if self.is_met else f"missed by {abs(self.found / self.limit - 1):.1%}"

    def to_text(self) -> str:
        """Format it in one line."""
        verdict = green(self.verdict) if self.is_met else red(self.verdict)
        bound = "at least" if self.at_least else "at most"
        return f"   {verdict}: {self.text} {self.found:.3g} ({bound} {self.limit:g})"


@dataclass(frozen=True, kw_only=True)
class Report:
    """The results of one measurement."""

    name: str
    tables: tuple[Table, ...]
    goals: tuple[Goal, ...] = ()

    def to_text(self) -> str:
        """Format it for a terminal."""
        parts = [table.to_text() for table in self.tables]
        return "\n\n".join([*parts, "\n".join(goal.to_text() for goal in self.goals)]).rstrip()

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON. Each goal also has whether it is met."""
        goals = [{**asdict(goal), "met": goal.is_met} for goal in self.goals]
        return {**asdict(self), "goals": goals}


def median(values: Iterable[float]) -> float:
    """Give the median."""
    return statistics.median(values)


def percentile(values: Sequence[float], percent: int) -> float:
    """Give the value that this percentage of the values does not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def ratio[Round](
    ours: Sequence[Round], theirs: Sequence[Round], figure: Callable[[Round], float]
) -> float:
    """Give the median of the ratios in each round, in which both were measured."""
    pairs = zip(ours, theirs, strict=True)
    return median(figure(one) / figure(other) for one, other in pairs)
