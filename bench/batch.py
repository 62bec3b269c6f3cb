"""A hundred links by one call of `join-links`, compared with as many calls of `join-link`."""

from collections.abc import Callable
from functools import partial

from bench.report import Goal, Report, Table, median, ratio
from bench.warm import GRAPHS_PACE, MANY
from bench.worker import Times, Worker, check_link, http_request
from bench.world import MEETING_ID, SUBJECTS, USER_ID, World, in_turns

LINKS = 100
_ONE, _SINGLE = "one join-links", f"{LINKS} join-link, {MANY} at a time"
_WARM_UP = 3  # of each way


def measure(world: World, *, rounds: int, say: Callable[[str], None]) -> Report:
    """Get the same number of links in both ways, in turns."""
    # Each link is of another meeting, because equal requests are sent once.
    members = {
        "requests": [
            {"userId": USER_ID, "onlineMeetingId": f"{MEETING_ID}{number}"}
            for number in range(LINKS)
        ]
    }
    inputs = {"req": http_request("join-links", members)}
    found: dict[str, list[Times]] = {_ONE: [], _SINGLE: []}
    with Worker(SUBJECTS[0], world) as worker:
        ways: dict[str, Callable[[], Times]] = {
            _ONE: lambda: worker.calls(
                at_once=1,
                count=1,
                call=lambda: worker.invoke("join_links", inputs),
                check=partial(check_link, count=LINKS),
            ),
            _SINGLE: lambda: worker.calls(at_once=MANY, count=LINKS),
        }
        for _ in range(_WARM_UP):
            for way in ways.values():
                way()
        world.delay(GRAPHS_PACE)
        for number in range(rounds):
            say(f"{LINKS} links in both ways, round {number + 1} of {rounds}")
            for name, way in in_turns(list(ways.items()), number):
                found[name].append(way())
        world.delay(0)
    one, single = found[_ONE], found[_SINGLE]
    rows = tuple(
        (
            name,
            f"{1000 * median(map(_wall, mine)):.0f}",
            f"{ratio(mine, single, _wall):.2f}",
            f"{1000 * median(map(_cpu, mine)):.0f}",
            f"{ratio(mine, single, _cpu):.2f}",
        )
        for name, mine in found.items()
    )
    columns = ("", "all links, ms", "of single calls", "CPU, ms", "of single calls")
    goals = tuple(
        Goal(
            text=f"{LINKS} links by one join-links, of single calls' {name},",
            found=ratio(one, single, figure),
            limit=limit,
        )
        for name, figure, limit in (("time", _wall, 0.5), ("CPU", _cpu, 0.4))
    )
    title = f"Batch: {LINKS} links, Graph answers after {GRAPHS_PACE * 1000:g} ms"
    return Report(
        name="batch", tables=(Table(title=title, columns=columns, rows=rows),), goals=goals
    )


def _wall(times: Times) -> float:
    return times.wall


def _cpu(times: Times) -> float:
    return times.cpu
