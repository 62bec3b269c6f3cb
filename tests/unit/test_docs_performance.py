"""docs/performance.md: its arithmetic, and the figures that it says are set."""

import json
import re
from pathlib import Path

import pytest

from bench.world import SUBJECTS
from dev.cli import BENCHES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
GRAPH_SECONDS, EXECUTIONS, GB_SECOND, MILLION = 0.25, 0.40, 0.000026, 1_000_000


def row(beginning: str) -> list[str]:
    """The cells of the table's line that begins like that."""
    (line,) = re.findall(rf"^\| {re.escape(beginning)}.*$", PAGE, re.MULTILINE)
    return [cell.strip() for cell in str(line).strip("|").split("|")]


@pytest.mark.parametrize("at_once", [6, 16, 32])
def test_the_price_of_a_million_links_is_worked_out(at_once: int) -> None:
    """From Graph's time, how many share it, and the list price."""
    _, seconds, small, large = row(f"{at_once} at a time")
    active = MILLION * GRAPH_SECONDS / at_once
    assert seconds == f"{active:,.0f}"
    assert small == f"${EXECUTIONS + 0.5 * active * GB_SECOND:.2f}"
    assert large == f"${EXECUTIONS + 2 * active * GB_SECOND:.2f}"


def test_a_single_call_is_paid_for_one_second() -> None:
    """The least time for which an instance is billed."""
    assert row("one by one")[1:] == ["1,000,000", "$13.40", "$52.40"]


def test_the_figures_are_those_that_are_set() -> None:
    """In the Bicep, host.json and the sample settings."""
    module = (ROOT / "infra" / "modules" / "function-app.bicep").read_text(encoding="utf-8")
    main = (ROOT / "infra" / "main.bicep").read_text(encoding="utf-8")
    queues = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))["extensions"]["queues"]
    sample = json.loads((ROOT / "local.settings.sample.json").read_text(encoding="utf-8"))

    assert f"var concurrency = {row('`perInstanceConcurrency`')[2]}\n" in module
    threads = row("`PYTHON_THREADPOOL_THREAD_COUNT`")[2]
    assert sample["Values"]["PYTHON_THREADPOOL_THREAD_COUNT"] == threads
    assert f"var threads = {threads}\n" in module
    sizes = f"{queues['batchSize']}, {queues['newBatchThreshold']}"
    assert row("`batchSize`, `newBatchThreshold`")[2] == sizes
    assert f"param instanceMemoryMB int = {row('`INSTANCE_MEMORY_MB`')[2]}\n" in main


@pytest.mark.parametrize("name", BENCHES)
def test_every_measurement_stands_on_the_page(name: str) -> None:
    """Between its markers, all from one run."""
    (held,) = re.findall(
        f"<!-- {name}: from here -->\n(.*?)<!-- {name}: to here -->", PAGE, re.DOTALL
    )
    assert "this app" in str(held)


def test_the_chart_shows_the_table_of_the_busiest_case() -> None:
    """The same subjects with the same figures, as the bench has written both."""
    chart = (ROOT / "docs" / "performance.svg").read_text(encoding="utf-8")
    table = PAGE.partition("**Warm: 32 at a time, Graph answers at once**")[2]
    for subject in SUBJECTS:
        (cpu,) = re.findall(rf"^\| {re.escape(subject.name)} \| (\d+) \|", table, re.MULTILINE)[:1]
        assert f">{subject.name}<" in chart
        assert f">{int(cpu):,} µs<" in chart
