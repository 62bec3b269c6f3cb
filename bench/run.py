"""`python dev.py bench`: measure, print, write JSON, and publish on request."""

import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import batch, burst, cold, deliveries, drain, readers, warm
from bench.publish import publish as publish_run
from bench.report import Report
from bench.world import ROOT, World
from dev.cli import BENCHES
from dev.errors import StartError
from dev.terminal import ticking

MEASUREMENTS = dict(
    zip(BENCHES, (cold, warm, batch, burst, deliveries, readers, drain), strict=True)
)
ROUNDS = {
    "cold": 12,
    "warm": 4,
    "batch": 9,
    "burst": 9,
    "deliveries": 3,
    "readers": 9,
    "drain": 1,
}
_KEPT = ROOT / ".dev" / "bench"
_NOT_HERE = "The benches read the clocks and memory of other processes as Linux shows them."
_NOT_WHOLE = "Only a run of all measurements can be published: leave out their names."


def bench(
    *, names: Sequence[str], rounds: int | None, publish: bool, beside: Path | None = None
) -> int:
    """Run the named measurements, by default all, and return an exit code.

    Args:
        names: The measurements' names.
        rounds: The rounds for each subject, by default as many as a median needs.
        publish: Write the run to bench/results, and its values into the documents.
        beside: The folder of another version of this app, to compare with.

    Raises:
        StartError: This is not Linux, or only a part is to be published.
    """
    if sys.platform != "linux":
        raise StartError(_NOT_HERE)
    if publish and names:
        raise StartError(_NOT_WHOLE)
    chosen = {name: rounds or ROUNDS[name] for name in names or MEASUREMENTS}
    machine = _machine()
    reports: list[Report] = []
    with World(beside=beside) as world:
        for name, turns in chosen.items():
            print(f"== {name}", flush=True)
            with ticking():
                report = MEASUREMENTS[name].measure(world, rounds=turns, say=_say)
            print(f"\n{report.to_text()}\n", flush=True)
            reports.append(report)
    goals = [goal for report in reports for goal in report.goals]
    if goals:
        print(f"{sum(goal.is_met for goal in goals)} of {len(goals)} goals are met.")
    run = {
        **machine,
        "rounds": chosen,
        "reports": [report.to_json() for report in reports],
    }
    print(f"The same as JSON: {_keep(run).relative_to(ROOT)}")
    if publish:
        for path in publish_run(run):
            print(f"Written: {path.relative_to(ROOT)}")
    return 0


def _say(text: str) -> None:
    print(f"   {text}", flush=True)


def _keep(run: Mapping[str, object]) -> Path:
    """Write the run as JSON, beside earlier runs."""
    _KEPT.mkdir(parents=True, exist_ok=True)
    path = _KEPT / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    path.write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _machine() -> dict[str, object]:
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "load": os.getloadavg()[0],
    }
