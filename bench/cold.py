"""From the start of the process to the first link, in the real worker."""

import resource
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bench.report import Goal, Report, Table, median, ratio
from bench.worker import Worker, check_link
from bench.world import OURS, PLAIN, RIVAL, ROOT, SUBJECTS, Subject, World, in_turns

_IMPORT = "import time:"  # the beginning of each line of -X importtime
_MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Start:
    """One cold start, in seconds and bytes."""

    loaded: float
    first_link: float
    cpu: float
    memory: int


def measure(world: World, *, rounds: int, say: Callable[[str], None]) -> Report:
    """Start each subject this many times, in turns."""
    starts: dict[str, list[Start]] = {subject.name: [] for subject in world.subjects}
    for number in range(-1, rounds):  # the first round only fills the file cache
        say(f"cold start, round {number + 1} of {rounds}")
        for subject in in_turns(world.subjects, number):
            start = _start(subject, world)
            if number >= 0:
                starts[subject.name].append(start)
    say("counting modules and bytes")
    rows = tuple(_row(subject, starts, world) for subject in world.subjects)
    columns = ("", "first link, ms", "of msgraph-sdk", "loaded, ms", "CPU, ms", "MB", "modules")
    table = Table(
        title="Cold start: from the start of the process", columns=(*columns, "on disk"), rows=rows
    )
    profile = _profile(world.python(SUBJECTS[0]), rounds=rounds, say=say)
    return Report(name="cold", tables=(table, profile), goals=_goals(starts, world))


def _goals(starts: dict[str, list[Start]], world: World) -> tuple[Goal, ...]:
    def against(other: str) -> float:
        return ratio(starts[OURS], starts[other], lambda start: start.first_link)

    return (
        Goal(
            text="first link after a cold start, of msgraph-sdk's time,",
            found=against(RIVAL),
            limit=0.62,
        ),
        Goal(
            text="first link after a cold start, of the same packages' plainly used,",
            found=against(PLAIN),
            limit=1.10,
        ),
        Goal(
            text="installed, MB,",
            found=_installed(world.python(SUBJECTS[0])) / _MEGABYTE,
            limit=31,
        ),
    )


def _start(subject: Subject, world: World) -> Start:
    with Worker(subject, world) as worker:
        check_link(worker.call().result())
        now = time.perf_counter()
        return Start(
            loaded=worker.ready - worker.started,
            first_link=now - worker.started,
            cpu=worker.cpu(),
            memory=worker.peak_memory(),
        )


def _row(subject: Subject, starts: dict[str, list[Start]], world: World) -> tuple[str, ...]:
    mine: Sequence[Start] = starts[subject.name]
    return (
        subject.name,
        f"{1000 * median(start.first_link for start in mine):.0f}",
        f"{ratio(mine, starts[RIVAL], lambda start: start.first_link):.2f}",
        f"{1000 * median(start.loaded for start in mine):.0f}",
        f"{1000 * median(start.cpu for start in mine):.0f}",
        f"{median(start.memory for start in mine) / _MEGABYTE:.0f}",
        f"{_modules(subject, world)}",
        f"{_installed(world.python(subject)) / _MEGABYTE:.0f} MB",
    )


_IMPORTS = (
    ("the worker's library and azure.functions", "import azure_functions_runtime, azure.functions"),
    ("requests", "import requests"),
    ("azure-identity", "import azure.identity"),
    ("the app's own modules, and its settings", "import function_app"),
)
_MSAL = "msal, in azure-identity's place"


def _profile(python: Path, *, rounds: int, say: Callable[[str], None]) -> Table:
    """Split a cold start's CPU, by importing a little more in each process."""
    programs = {
        name: "\n".join(line for _, line in _IMPORTS[: place + 1])
        for place, (name, _) in enumerate(_IMPORTS)
    }
    programs[_MSAL] = f"{programs['requests']}\nimport msal"
    spent: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(rounds):
        say(f"what is imported, round {number + 1} of {rounds}")
        for name, program in in_turns(list(programs.items()), number):
            spent[name].append(_cpu(python, program))
    rows = [(_IMPORTS[0][0], spent[_IMPORTS[0][0]])]
    for less, more in (*pairwise(name for name, _ in _IMPORTS), ("requests", _MSAL)):
        rows.append((more, [b - a for a, b in zip(spent[less], spent[more], strict=True)]))
    return Table(
        title="Where this app's cold start goes",
        columns=("imported", "CPU, ms"),
        rows=tuple((name, f"{1000 * median(seconds):.0f}") for name, seconds in rows),
    )


def _cpu(python: Path, program: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    settings = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}
    program += "\nimport os; os._exit(0)"  # without the interpreter's clean-up
    subprocess.run([str(python), "-c", program], cwd=ROOT, env=settings, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _modules(subject: Subject, world: World) -> int:
    """Count the modules imported up to the first link."""
    with Worker(subject, world, settings={"PYTHONPROFILEIMPORTTIME": "1"}) as worker:
        check_link(worker.call().result())
        time.sleep(0.5)  # for the last lines to arrive
        return sum(line.message.startswith(_IMPORT) for line in worker.lines)


def _installed(python: Path) -> int:
    """Add up the size of an environment's packages, except pip."""
    (packages,) = python.parents[1].glob("lib/python*/site-packages")
    return sum(
        path.stat().st_size
        for path in packages.rglob("*")
        if path.is_file() and not path.relative_to(packages).parts[0].startswith("pip")
    )
