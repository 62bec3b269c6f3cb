"""The checks that a change must pass."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from dev import processes
from dev.terminal import dim, green, is_coloured, red, ticking

_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Check:
    """One check: a Python module with its arguments. Exit code 0 means that it passed.

    A silent check prints nothing while it runs. One with `beside` leaves a core free, so it runs
    beside those after it, and what it prints is shown at its end.
    """

    name: str
    command: tuple[str, ...]
    slow: bool = False
    silent: bool = False
    beside: bool = False


def _tests(name: str, *, slow: bool = False, processes: int = 0) -> Check:
    # A file's tests run in one process, because they share an app. The order is pytest's.
    shared_out = (f"--numprocesses={processes}", "--dist=loadfile", "--no-loadscope-reorder")
    return Check(name, ("pytest", "--quiet", *shared_out, f"tests/{name}"), slow=slow)


def _ruff(name: str, *arguments: str) -> Check:
    return Check(name, ("ruff", *arguments, "--quiet", "."), silent=True)


def _types(name: str, *arguments: str) -> Check:
    # mypy prints colours on any terminal, even with NO_COLOR.
    plain = () if is_coloured() else ("--no-color-output",)
    return Check(name, ("mypy", "--no-error-summary", *plain, *arguments), silent=True)


_QUICK_BENCHES = ("cold", "batch", "burst", "deliveries", "readers")  # a minute and a half
# Who reads a log looks for the last closing line of pytest: it must not be the browser's, whose
# tests are all skipped where there is none.
_CHECKS = (
    _ruff("format", "format", "--check"),
    _ruff("lint", "check"),
    _types("types"),
    _types("types-dev.py", "dev.py"),
    _types("types-scripts", "--python-version", "3.10", "scripts"),
    Check("layers", ("dev.layers",)),
    _tests("browser", slow=True),
    _tests("worker"),
    _tests("infra"),
    _tests("connector"),
    _tests("unit", processes=2),
    _tests("integration", processes=3),
    Check("bench", ("dev", "bench", *_QUICK_BENCHES, "--rounds", "1"), slow=True),
    Check("soak", ("dev", "soak", "--messages", "600", "--seconds", "480"), slow=True, beside=True),
    Check("schemathesis", ("tests.connector.schemathesis",), slow=True, beside=True),
    Check("costs", ("tests.unit.hostile_shapes",), slow=True),
    Check("checkov", ("tests.infra.checkov",), slow=True),
    Check("generated-client", ("tests.connector.generated_client",), slow=True),
)
NAMES = tuple(check.name for check in _CHECKS)
SLOW = tuple(check.name for check in _CHECKS if check.slow)


def check(*, names: Sequence[str], everything: bool) -> int:
    """Run the checks, and return an exit code.

    They run one after the other, but for those that run beside the next ones.

    Args:
        names: The checks to run, of NAMES. An empty list means all that are not slow.
        everything: Whether to run the slow checks as well.
    """
    chosen = [
        check
        for check in _CHECKS
        if (check.name in names if names else everything or not check.slow)
    ]
    failed = []
    with ExitStack() as stack:
        started = {}
        for check in chosen:
            if check.beside and check != chosen[-1]:
                started[check.name] = stack.enter_context(_beside(check))
            elif not _run(check):
                failed.append(check.name)
        failed += [name for name, end in started.items() if not end()]
    print()
    for name in failed:
        print(f"failed: {name}   (again: python dev.py test {name})")
    told = f"checks: {len(chosen) - len(failed)} passed, {len(failed)} failed"
    print(red(told) if failed else green(told))
    return 1 if failed else 0


@contextmanager
def _beside(check: Check) -> Iterator[Callable[[], bool]]:
    """Start a check. Give a function that waits for its end and says whether it passed."""
    print(f"\n== {check.name}: runs beside the next ones", flush=True)
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output,
        processes.beside(*check.command, folder=_ROOT, output=output) as process,
    ):

        def end() -> bool:
            print(f"\n== {check.name}", flush=True)
            with ticking():
                passed = process.wait() == 0
            output.seek(0)
            print(output.read(), end="")
            return _told("beside the others", passed=passed)

        yield end


def _run(check: Check) -> bool:
    print(f"\n== {check.name}", flush=True)
    began = time.monotonic()
    with ticking() if check.silent else nullcontext():
        passed = processes.run(*check.command, folder=_ROOT) == 0
    return _told(f"in {time.monotonic() - began:.1f} s", passed=passed)


def _told(how: str, *, passed: bool) -> bool:
    told = green("passed") if passed else red("FAILED")
    print(f"   {told} {dim(how)}", flush=True)
    return passed
