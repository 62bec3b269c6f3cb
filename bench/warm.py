"""The cost of one link in the real worker, after a warm-up."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from bench.profile import AT_GRAPHS_PACE, CPU, profile
from bench.report import Goal, Report, Table, median, percentile, ratio
from bench.worker import Times, Worker
from bench.world import FLOOR, OURS, PARTS, PERSON, RIVAL, World, in_turns

MANY = 32
GRAPHS_PACE = 0.25
# Seconds until Graph answers, calls at a time, and seconds of each subject in each round.
CASES = ((0.0, 1, 1.0), (0.0, MANY, 1.0), (GRAPHS_PACE, MANY, 4.0))
_WARM_UP = 200  # calls

type Rounds = dict[str, list[Times]]


def measure(world: World, *, rounds: int, say: Callable[[str], None]) -> Report:
    """Start each subject's worker, and load the workers in turns."""
    tables, judged_goals = [], []
    with ExitStack() as running:
        workers = {
            subject.name: running.enter_context(Worker(subject, world))
            for subject in (*world.subjects, PERSON, *PARTS)
        }
        for worker in workers.values():
            worker.calls(at_once=MANY, count=_WARM_UP)
        for delay, at_once, seconds in CASES:
            world.delay(delay)
            judged = at_once == MANY
            count = 2 * rounds if judged else rounds
            found: Rounds = {name: [] for name in workers}
            for number in range(count):
                say(f"{at_once} at once, {delay * 1000:g} ms, round {number + 1} of {count}")
                for name, worker in in_turns(list(workers.items()), number):
                    found[name].append(worker.calls(at_once=at_once, seconds=seconds))
            tables.append(_table(found, delay=delay, at_once=at_once))
            if judged:
                judged_goals += goals(found, delay=delay)
            if delay:
                tables.append(
                    profile(
                        found,
                        lambda times: 1e3 * p99(times),
                        parts=AT_GRAPHS_PACE,
                        title=f"Where this app's p99 comes from: {MANY} at a time, {after(delay)}",
                        column="p99, ms",
                        digits=1,
                    )
                )
            elif judged:
                tables.append(
                    profile(
                        found,
                        lambda times: 1e6 * cpu(times),
                        parts=CPU,
                        title=f"Where this app's CPU goes: {MANY} at a time, {after(delay)}",
                        column="CPU, µs",
                    )
                )
        world.delay(0)
    return Report(name="warm", tables=tuple(tables), goals=tuple(judged_goals))


def cpu(times: Times) -> float:
    """Seconds of CPU per link."""
    return times.cpu / len(times.latencies)


def speed(times: Times) -> float:
    """Links per second."""
    return len(times.latencies) / times.wall


def p99(times: Times) -> float:
    """Seconds that 99 of 100 links do not exceed."""
    return percentile(times.latencies, 99)


def _table(found: Rounds, *, delay: float, at_once: int) -> Table:
    def row(name: str, mine: Sequence[Times]) -> tuple[str, ...]:
        return (
            name,
            f"{1e6 * median(map(cpu, mine)):.0f}",
            f"{ratio(mine, found[RIVAL], cpu):.2f}",
            f"{median(map(speed, mine)):.0f}",
            f"{ratio(mine, found[RIVAL], speed):.1f}",
            f"{1000 * median(percentile(times.latencies, 50) for times in mine):.1f}",
            f"{1000 * median(map(p99, mine)):.1f}",
            f"{ratio(mine, found[FLOOR], p99):.2f}",
        )

    return Table(
        title=title(at_once, delay),
        columns=("", "CPU, µs", "of sdk's", "links/s", "× sdk's", "p50, ms", "p99, ms", "of raw's"),
        rows=tuple(row(name, mine) for name, mine in found.items()),
    )


def title(at_once: int, delay: float) -> str:
    """Give the title of a case's table."""
    return f"Warm: {at_once} at a time, {after(delay)}"


def after(delay: float) -> str:
    """Say when Graph answers."""
    return f"Graph answers after {delay * 1000:g} ms" if delay else "Graph answers at once"


def goals(found: Rounds, *, delay: float) -> list[Goal]:
    """Make the goals for this delay in seconds, at MANY calls at a time."""
    ours = found[OURS]
    if delay == GRAPHS_PACE:
        return [
            Goal(
                text="links per second at Graph's pace, of a raw socket's,",
                found=ratio(ours, found[FLOOR], speed),
                limit=0.95,
                at_least=True,
            ),
            Goal(
                text="p99 at Graph's pace, of a raw socket's,",
                found=ratio(ours, found[FLOOR], p99),
                limit=1.10,
            ),
        ]
    if delay:
        return []
    return [
        Goal(
            text="CPU per link at 32 at a time, of msgraph-sdk's,",
            found=ratio(ours, found[RIVAL], cpu),
            limit=0.28,
        ),
        Goal(
            text="links per second at 32 at a time, of msgraph-sdk's,",
            found=ratio(ours, found[RIVAL], speed),
            limit=3.8,
            at_least=True,
        ),
    ]
