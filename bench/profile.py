"""Where a figure of this app comes from, by the differences between subjects in the same rounds."""

from collections.abc import Callable, Mapping, Sequence

from bench.report import Table, median
from bench.world import FLOOR, NOTHING, OURS, URLLIB3, WITHOUT_DEADLINE, WITHOUT_EVENT

type Part = tuple[str, str, str | None]
"""A part's name, a subject that has it, and one that lacks it; None: the subject is the part."""

_EVENT: Part = ("the event of the outcome", OURS, WITHOUT_EVENT)
_DEADLINE: Part = ("the deadline of each wait", OURS, WITHOUT_DEADLINE)
_URLLIB3: Part = ("urllib3 and azure-identity in its place", URLLIB3, FLOOR)
_WORKER: Part = ("the worker: a call in, an answer out", NOTHING, None)
CPU: Sequence[Part] = (
    _WORKER,
    ("an exchange over TLS, as small as can be", FLOOR, NOTHING),
    _URLLIB3,
    _EVENT,
    _DEADLINE,
)
AT_GRAPHS_PACE: Sequence[Part] = (
    # A function that calls nobody does not wait for Graph, so it is no part of this one.
    ("Graph, the worker, and an exchange over TLS, as small as can be", FLOOR, None),
    _URLLIB3,
    _EVENT,
    _DEADLINE,
)
FIRST_CALLS: Sequence[Part] = (
    _WORKER,
    ("the token, and 32 connections over TLS, each with one exchange", FLOOR, NOTHING),
    # urllib3's own subject opens fewer connections, so it is no part of this one.
    _EVENT,
    _DEADLINE,
)


def profile[Value](
    found: Mapping[str, Sequence[Value]],
    cost: Callable[[Value], float],
    *,
    parts: Sequence[Part],
    title: str,
    column: str,
    digits: int = 0,
) -> Table:
    """Split this app's figure into parts and a rest.

    Args:
        found: The values of each subject, one for each round.
        cost: Gives the figure of one round, in the column's unit.
        parts: The parts.
        title: The table's title.
        column: The column's heading.
        digits: The digits after the decimal point.
    """

    def of(one: str, other: str | None) -> float:
        if other is None:
            return median(map(cost, found[one]))
        pairs = zip(found[one], found[other], strict=True)
        return median(cost(mine) - cost(theirs) for mine, theirs in pairs)

    rows = [(name, of(one, other)) for name, one, other in parts]
    whole = of(OURS, None)
    rows += [("the rest", whole - sum(value for _, value in rows)), ("all of it", whole)]
    return Table(
        title=title,
        columns=("part", column),
        rows=tuple((name, f"{value:.{digits}f}") for name, value in rows),
    )
