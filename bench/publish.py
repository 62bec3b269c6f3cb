"""`python -m bench.publish FILE`: put a run's file into bench/results, its values into the docs.

`python dev.py bench --publish` does the same at its end. Only this module writes the documents'
values, so that they are those of the run.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import chart
from bench.report import Goal, Table
from bench.warm import GRAPHS_PACE, MANY, title
from bench.world import BESIDE, FLOOR, OURS, PARTS, ROOT

PUBLISHED = ROOT / "bench" / "results" / "published.json"
PAGE = ROOT / "docs" / "performance.md"
CHART = ROOT / "docs" / "performance.svg"
DECISION = ROOT / "docs" / "decisions" / "0006-requests-by-public-interfaces.md"

_COLD = "Cold start: from the start of the process"
_BUSY = title(MANY, 0)
_AT_GRAPHS_PACE = title(MANY, GRAPHS_PACE)
_BURST = "Burst: the first {} calls of a cold process, at once"
_FORMER = "the former client"
_IN_PAGE = ("batch", "deliveries", "readers", "drain")
_CLIENTS = (OURS, BESIDE, "urllib3's urlopen", "requests, one context", "requests, plainly", FLOOR)
# A column of the page's table, and the run's table and column from which it comes.
_SIDE_BY_SIDE = (
    ("cold start, ms", _COLD, "first link, ms"),
    ("on disk", _COLD, "on disk"),
    ("CPU, µs", _BUSY, "CPU, µs"),
    ("links/s", _BUSY, "links/s"),
    ("links/s at 250 ms", _AT_GRAPHS_PACE, "links/s"),
    ("p99 at 250 ms", _AT_GRAPHS_PACE, "p99, ms"),
    ("32 first calls, ms", _BURST.format(32), "last link, ms"),
    ("100 first calls, ms", _BURST.format(100), "last link, ms"),
)
_OF_CLIENTS = (
    ("CPU, of msgraph-sdk's", _BUSY, "of sdk's"),
    ("links, times its", _BUSY, "× sdk's"),
    ("p99, of a raw socket's", _BUSY, "of raw's"),
    ("p99 at 250 ms, of its", _AT_GRAPHS_PACE, "of raw's"),
    ("32 first calls, of its", _BURST.format(32), "of raw's"),
    ("100 first calls, of its", _BURST.format(100), "of raw's"),
)

type Run = Mapping[str, Any]
"""A run in the JSON of `bench.run`."""


def publish(run: Run) -> list[Path]:
    """Write the run, the page with its chart, and the decision about the client if the run has it.

    Returns:
        The written files.
    """
    text = json.dumps(run, indent=1, ensure_ascii=False) + "\n"
    PUBLISHED.parent.mkdir(exist_ok=True)
    PUBLISHED.write_text(text, encoding="utf-8")
    CHART.write_text(draw(run), encoding="utf-8")
    written = [PUBLISHED, CHART, PAGE]
    _fill(PAGE, page_sections(run))
    if decided := decision_sections(run):
        _fill(DECISION, decided)
        written.append(DECISION)
    return written


def page_sections(run: Run) -> dict[str, str]:
    """Write the sections between the markers of docs/performance.md, by name."""
    tables = {table.title: table for table in _tables(run)}
    profiles = [tables[name] for name in tables if name.startswith("Where this app's")]
    names = [*tables[_COLD].rows, *tables[_BUSY].rows]
    parts = {part.name for part in PARTS}
    subjects = [
        name
        for name in dict.fromkeys(row[0] for row in names)
        if name != BESIDE and name not in parts
    ]
    others = [
        Table(**table).to_markdown()
        for report in run["reports"]
        if report["name"] in _IN_PAGE
        for table in report["tables"]
    ]
    return {
        "run": _of_run(run),
        "goals": _goals(run),
        "side by side": _pick(tables, subjects, _SIDE_BY_SIDE),
        "where it goes": "\n\n".join(table.to_markdown() for table in profiles),
        "others": "\n\n".join(others),
    }


def decision_sections(run: Run) -> dict[str, str]:
    """Write the sections of decision 0006, or none if the run lacks the former client."""
    tables = {table.title: table for table in _tables(run)}
    if all(row[0] != BESIDE for row in tables[_BUSY].rows):
        return {}
    table = _pick(tables, _CLIENTS, _OF_CLIENTS).replace(f"| {BESIDE} |", f"| {_FORMER} |")
    return {"bench": f"{table}\n\n{_of_run(run)}"}


def draw(run: Run) -> str:
    """Draw the chart."""
    left_out = {BESIDE, *(part.name for part in PARTS)}
    (busy,) = (table for table in _tables(run) if table.title == _BUSY)
    values = [(row[0], float(row[1])) for row in busy.rows if row[0] not in left_out]
    heading = f"CPU for one link in the worker, {MANY} at a time"
    return chart.bars(heading, values, unit="µs", ours=OURS)


def put(text: str, name: str, content: str) -> str:
    """Replace the text between a page's markers of a name.

    Raises:
        ValueError: The page has no such markers.
    """
    begin, end = f"<!-- {name}: from here -->", f"<!-- {name}: to here -->"
    pattern = re.compile(f"({re.escape(begin)}\n).*?({re.escape(end)})", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"The page has no place for {name}.")
    return pattern.sub(lambda found: f"{found[1]}{content}\n{found[2]}", text)


def _fill(page: Path, sections: Mapping[str, str]) -> None:
    text = page.read_text(encoding="utf-8")
    for name, content in sections.items():
        text = put(text, name, content)
    page.write_text(text, encoding="utf-8")


def _tables(run: Run) -> Iterator[Table]:
    for report in run["reports"]:
        for table in report["tables"]:
            yield Table(**table)


def _of_run(run: Run) -> str:
    rounds = ", ".join(f"{name} {count}" for name, count in run["rounds"].items())
    return (
        f"The run: {run['time']}, Python {run['python']}, {run['cores']} shared cores "
        f"({run['machine']}), load average before it {run['load']:.1f}.\nRounds: {rounds}."
    )


def _goals(run: Run) -> str:
    lines = ["| Figure | Found | Goal | |", "| --- | ---: | ---: | --- |"]
    for report in run["reports"]:
        for each in report["goals"]:
            goal = Goal(**{name: value for name, value in each.items() if name != "met"})
            verdict = goal.verdict if goal.is_met else f"**{goal.verdict}**"
            bound = "≥" if goal.at_least else "≤"
            figure = goal.text.rstrip(",")
            lines.append(f"| {figure} | {goal.found:.3g} | {bound} {goal.limit:g} | {verdict} |")
    return "\n".join(lines)


def _pick(
    tables: Mapping[str, Table],
    subjects: list[str] | tuple[str, ...],
    columns: tuple[tuple[str, str, str], ...],
) -> str:
    """Make one table of columns of several."""
    lines = [
        f"|  | {' | '.join(heading for heading, _, _ in columns)} |",
        f"| --- | {' | '.join('---:' for _ in columns)} |",
    ]
    for subject in subjects:
        cells = [_cell(tables[source], subject, column) for _, source, column in columns]
        lines.append(f"| {subject} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(table: Table, subject: str, column: str) -> str:
    place = tuple(table.columns).index(column)
    return next((row[place] for row in table.rows if row[0] == subject), "")


if __name__ == "__main__":
    for path in publish(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))):
        print(f"Written: {path.relative_to(ROOT)}")
