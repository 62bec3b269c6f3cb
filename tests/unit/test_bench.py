"""The benches' own arithmetic, and what they write."""

from xml.etree import ElementTree as ET

import pytest

from bench.chart import bars
from bench.report import Goal, Report, Table, percentile, ratio
from bench.run import MEASUREMENTS, ROUNDS, put
from bench.worker import WrongResponse, check
from dev.cli import BENCHES

TABLE = Table(title="Warm", columns=("", "CPU, µs"), rows=(("this app", "968"), ("raw", "5")))


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """Not of the medians: a round in which the machine was slow for both counts like any other."""
    assert ratio([1.0, 10.0, 3.0], [2.0, 40.0, 3.0], lambda value: value) == 0.5


def test_a_percentile_lies_among_the_values() -> None:
    """The 99th of a hundred equal steps."""
    assert percentile([float(value) for value in range(101)], 99) == 99


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        (Goal(text="of the rival's CPU", found=0.2, limit=0.2), True),
        (Goal(text="of the rival's CPU", found=0.21, limit=0.2), False),
        (Goal(text="times its links", found=5.1, limit=5, at_least=True), True),
        (Goal(text="times its links", found=4.9, limit=5, at_least=True), False),
    ],
)
def test_a_goal_is_met_at_its_limit_and_missed_past_it(goal: Goal, met: bool) -> None:
    """In the terminal and on the page alike."""
    assert goal.is_met is met
    assert ("missed" in goal.to_text(), "missed" in goal.to_markdown()) == (not met, not met)


def test_a_table_for_the_terminal_is_in_columns() -> None:
    """Names to the left, figures to the right."""
    assert TABLE.to_text().splitlines()[2:] == [
        "          CPU, µs",
        "this app      968",
        "raw             5",
    ]


def test_a_report_is_a_table_of_markdown_and_plain_json() -> None:
    """The page and the file hold the same figures."""
    report = Report(name="warm", tables=(TABLE,))
    assert "| this app | 968 |" in report.to_markdown()
    assert report.to_json()["tables"][0]["rows"] == (("this app", "968"), ("raw", "5"))


def test_a_report_goes_between_the_markers_of_its_name() -> None:
    """What stood there goes; what stands elsewhere stays."""
    page = "a\n<!-- warm: from here -->\nold\n<!-- warm: to here -->\nb\n"
    assert put(page, "warm", "new") == page.replace("old", "new")
    with pytest.raises(ValueError, match="no place for cold"):
        put(page, "cold", "new")


def test_the_chart_is_xml_with_a_bar_for_each_value() -> None:
    """Names are escaped, ours stands out, and it can be read out."""
    drawn = bars("a & b", [("ours <1>", 2.0), ("raw", 1.0)], unit="µs", ours="ours <1>")
    svg = ET.fromstring(drawn)  # noqa: S314 - our own
    fills = [bar.get("fill") for bar in svg.iter("{http://www.w3.org/2000/svg}rect")]
    texts = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert svg.get("aria-label") == "a & b"
    assert len(fills) == 3
    assert len(set(fills)) == 3
    assert texts == ["a & b", "ours <1>", "2 µs", "raw", "1 µs"]


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"http": {"status_code": 503, "body": {"string": "https://visit.teams.microsoft.com/"}}},
        {"http": {"status_code": 200, "body": {"string": "no link"}}},
        {"http": {"status_code": 200, "body": None}},
    ],
)
def test_what_gives_no_link_is_not_measured(value: dict[str, object] | None) -> None:
    """A subject that fails quickly would win."""
    with pytest.raises(WrongResponse):
        check(value)


def test_every_measurement_has_a_name_and_a_number_of_rounds() -> None:
    """What the command offers is there."""
    assert set(BENCHES) == set(MEASUREMENTS) == set(ROUNDS)
