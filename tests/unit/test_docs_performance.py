"""docs/performance.md: its arithmetic, and the figures that it says are set."""

import json
import math
import re
from pathlib import Path

import pytest

from bench.publish import DECISION, PUBLISHED, decision_sections, draw, page_sections, put
from bench.world import SUBJECTS
from dev.cli import BENCHES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
RUN = json.loads(PUBLISHED.read_text(encoding="utf-8"))
GRAPH_SECONDS, EXECUTIONS, GB_SECOND, MILLION = 0.25, 0.40, 0.000026, 1_000_000
GRAPH_A_SECOND, EVENT_BYTES = 13_000, 1_000
SCALE = (
    *("links per second |", "calls under way", "links in a month", "active seconds in it"),
    *("Flex Consumption, 2,048 MB", "logs |", "logs, at $2.30", "organizers", "share of Graph"),
)


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


def test_the_page_holds_the_figures_of_the_published_run() -> None:
    """As the bench writes them, and no others."""
    for name, content in page_sections(RUN).items():
        assert put(PAGE, name, content) == PAGE, name
    assert (ROOT / "docs" / "performance.svg").read_text(encoding="utf-8") == draw(RUN)


def test_the_clients_decision_holds_the_figures_of_the_published_run() -> None:
    """The former client was in the same run."""
    decision = DECISION.read_text(encoding="utf-8")
    assert decision_sections(RUN)
    for name, content in decision_sections(RUN).items():
        assert put(decision, name, content) == decision


def test_the_published_run_is_one_of_all_measurements() -> None:
    """With every subject and every goal."""
    assert [report["name"] for report in RUN["reports"]] == list(BENCHES)
    compared = page_sections(RUN)["side by side"]
    for subject in SUBJECTS:
        assert f"| {subject.name} |" in compared
    assert sum(len(report["goals"]) for report in RUN["reports"]) == 15


@pytest.mark.parametrize(("place", "an_hour"), list(enumerate([10, 1_000, 100_000], 1)))
def test_the_scale_on_paper_is_worked_out(place: int, an_hour: int) -> None:
    """From the same prices, a month of 30 days, and the limits that the page names."""
    month = 30 * 24 * an_hour
    a_second = an_hour / 3600
    busy = min(month, 30 * 24 * 3600)  # at least a second for each call, or always
    told = {name: row(name)[place] for name in SCALE}

    assert float(told["links per second |"]) == pytest.approx(a_second, rel=0.1)
    under_way = float(told["calls under way"])
    assert under_way == pytest.approx(GRAPH_SECONDS * a_second, abs=0.06 if place > 1 else 0.001)
    assert told["links in a month"] == f"{month:,}"
    assert told["active seconds in it"] == f"{busy:,}"
    price = EXECUTIONS * month / MILLION + 2 * busy * GB_SECOND
    assert told["Flex Consumption, 2,048 MB"] == f"${price:.2f}"
    gigabytes = month * EVENT_BYTES / 1e9
    assert float(told["logs |"].removesuffix(" GB")) == pytest.approx(gigabytes, rel=0.03)
    assert told["logs, at $2.30"] == f"${2.30 * gigabytes:.2f}"
    assert told["organizers"] == f"{math.ceil(month / 2_000):,}"
    share = 100 * a_second / GRAPH_A_SECOND
    assert float(told["share of Graph"].removesuffix(" %")) == pytest.approx(share, rel=0.1)


def test_an_instance_gives_as_many_links_as_its_calls_and_graphs_pace_let_it() -> None:
    """And as many instances as the Bicep allows stay below Graph's limit for one app."""
    main = (ROOT / "infra" / "main.bicep").read_text(encoding="utf-8")
    links = int(int(row("`perInstanceConcurrency`")[2]) / GRAPH_SECONDS)
    (most,) = re.findall(r"param maximumInstanceCount int = (\d+)", main)
    flat = " ".join(PAGE.split())
    assert f"= {links} links per second" in flat
    assert f"allows {most} instances" in flat
    assert f"which is {links * int(most):,}" in flat
    assert links * int(most) < GRAPH_A_SECOND
    assert "param dailyLogQuotaGb int = 1\n" in main
    assert "`DAILY_LOG_QUOTA_GB`, 1 by default" in PAGE
