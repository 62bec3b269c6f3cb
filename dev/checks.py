"""The checks: what has to be true before a change lands."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Check:
    """One check: a module of Python, with its arguments, that exits 0 when all is well."""

    name: str
    command: tuple[str, ...]
    slow: bool = False


def _tests(name: str, *, slow: bool = False, processes: int = 0) -> Check:
    # A file stays in one process, and with it the app that its tests share.
    shared_out = (f"--numprocesses={processes}", "--dist=loadfile")
    return Check(name, ("pytest", "--quiet", *shared_out, f"tests/{name}"), slow=slow)


_CHECKS = (
    Check("format", ("ruff", "format", "--check", "--quiet", ".")),
    Check("lint", ("ruff", "check", "--quiet", ".")),
    Check("types", ("mypy", "--no-error-summary")),
    Check("types-dev.py", ("mypy", "--no-error-summary", "dev.py")),
    Check("types-scripts", ("mypy", "--no-error-summary", "--python-version", "3.10", "scripts")),
    _tests("unit", processes=2),
    _tests("worker"),
    _tests("integration", processes=3),
    _tests("infra"),
    _tests("connector"),
    _tests("browser", slow=True),
    Check("soak", ("dev", "soak", "--messages", "600", "--seconds", "480"), slow=True),
    Check("checkov", ("tests.infra.checkov",), slow=True),
    Check("schemathesis", ("tests.connector.schemathesis",), slow=True),
)
NAMES = tuple(check.name for check in _CHECKS)


def check(*, names: Sequence[str], everything: bool) -> int:
    """Run the checks, one after the other, and return an exit code.

    Args:
        names: Which; none means all that are not slow.
        everything: Whether to run the slow ones too.
    """
    if unknown := set(names) - set(NAMES):
        print(f"There is no check {', '.join(sorted(unknown))}. There are: {', '.join(NAMES)}.")
        return 2
    chosen = [
        check
        for check in _CHECKS
        if (check.name in names if names else everything or not check.slow)
    ]
    failed = [check.name for check in chosen if not _run(check)]
    print()
    for name in failed:
        print(f"failed: {name}   (again: python dev.py test {name})")
    print(f"checks: {len(chosen) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def _run(check: Check) -> bool:
    print(f"\n== {check.name}", flush=True)
    started = time.monotonic()
    command = [sys.executable, "-m", *check.command]
    passed = subprocess.run(command, cwd=_ROOT, check=False).returncode == 0
    print(
        f"   {'passed' if passed else 'FAILED'} in {time.monotonic() - started:.1f} s", flush=True
    )
    return passed
