"""`python dev.py bench`: measure, show, keep as JSON; on request, put into the documents."""

import json
import os
import platform
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import burst, chart, cold, drain, warm
from bench.report import Report
from bench.world import OURS, ROOT, World
from dev.cli import BENCHES
from dev.errors import StartError
from dev.terminal import ticking

MEASUREMENTS = dict(zip(BENCHES, (cold, warm, burst, drain), strict=True))
ROUNDS = {"cold": 12, "warm": 5, "burst": 9, "drain": 1}
_PAGE = ROOT / "docs" / "performance.md"
_CHART = ROOT / "docs" / "performance.svg"
_KEPT = ROOT / ".dev" / "bench"
_NOT_HERE = "The benches read the clocks and memory of other processes as Linux shows them."


def bench(
    *, names: Sequence[str], rounds: int | None, publish: bool, beside: Path | None = None
) -> int:
    """Run the measurements that are named, all of them by default, and return an exit code.

    Args:
        names: Which.
        rounds: How often each subject has its turn; by default as often as a median needs.
        publish: Put tables and chart into docs/performance.md; needs all four.
        beside: Another version of this app to compare with: the folder where it is checked out.

    Raises:
        StartError: This is not Linux.
    """
    if sys.platform != "linux":
        raise StartError(_NOT_HERE)
    chosen = list(names or MEASUREMENTS)
    reports: list[Report] = []
    with World(beside=beside) as world:
        for name in chosen:
            print(f"== {name}", flush=True)
            with ticking():
                report = MEASUREMENTS[name].measure(world, rounds=rounds or ROUNDS[name], say=_say)
            print(f"\n{report.to_text()}\n", flush=True)
            reports.append(report)
    kept = _keep(reports)
    print(f"The same as JSON: {kept.relative_to(ROOT)}")
    if publish:
        _publish(reports)
        print(f"Written: {_PAGE.relative_to(ROOT)} and {_CHART.relative_to(ROOT)}")
    return 0


def _say(text: str) -> None:
    print(f"   {text}", flush=True)


def _keep(reports: Sequence[Report]) -> Path:
    """Write everything as JSON, beside what earlier runs have found."""
    _KEPT.mkdir(parents=True, exist_ok=True)
    path = _KEPT / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    whole = {**_machine(), "reports": [report.to_json() for report in reports]}
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _machine() -> dict[str, object]:
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
    }


def _publish(reports: Sequence[Report]) -> None:
    text = _PAGE.read_text(encoding="utf-8")
    for report in reports:
        text = put(text, report.name, report.to_markdown())
    machine = _machine()
    told = f"{machine['time']}, Python {machine['python']}, {machine['cores']} shared cores"
    text = put(text, "run", f"The run: {told} ({machine['machine']}).")
    _PAGE.write_text(text, encoding="utf-8")
    tables = [table for report in reports if report.name == "warm" for table in report.tables]
    (busy,) = (
        table for table in tables if table.title == "Warm: 32 at a time, Graph answers at once"
    )
    values = [(row[0], float(row[1])) for row in busy.rows]
    title = "CPU for one link in the worker, 32 at a time"
    _CHART.write_text(chart.bars(title, values, unit="µs", ours=OURS), encoding="utf-8")


def put(text: str, name: str, content: str) -> str:
    """Put content between a page's markers of a name.

    Raises:
        ValueError: The page has none.
    """
    begin, end = f"<!-- {name}: from here -->", f"<!-- {name}: to here -->"
    pattern = re.compile(f"({re.escape(begin)}\n).*?({re.escape(end)})", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"The page has no place for {name}.")
    return pattern.sub(lambda found: f"{found[1]}{content}\n{found[2]}", text)
