"""The benches' arithmetic and output."""

import asyncio
import json
from xml.etree import ElementTree as ET

import pytest

from bench import warm
from bench.batch import LINKS
from bench.chart import bars
from bench.profile import CPU, profile
from bench.publish import put
from bench.report import Goal, Report, Table, percentile, ratio
from bench.run import MEASUREMENTS, ROUNDS, bench
from bench.server import Control, Counts, Graph
from bench.worker import Times, WrongResponse, check_link
from bench.world import FLOOR, NOTHING, OURS, RIVAL, URLLIB3, WITHOUT_DEADLINE, WITHOUT_EVENT
from dev.cli import BENCHES
from dev.errors import StartError

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
    """In the terminal and in the JSON alike."""
    assert goal.is_met is met
    assert ("missed" in goal.to_text()) is not met
    (kept,) = Report(name="warm", tables=(), goals=(goal,)).to_json()["goals"]
    assert (kept["met"], kept["found"], kept["limit"]) == (met, goal.found, goal.limit)


def test_a_missed_goal_says_by_how_much() -> None:
    """As a share of its limit, whether that is a most or a least."""
    most = Goal(text="of the rival's CPU", found=0.21, limit=0.2)
    least = Goal(text="times its links", found=4.5, limit=5, at_least=True)
    assert (most.verdict, least.verdict) == ("missed by 5.0%", "missed by 10.0%")
    assert "missed by 5.0%" in most.to_text()


def test_a_table_for_the_terminal_is_in_columns() -> None:
    """Names to the left, figures to the right."""
    assert TABLE.to_text().splitlines()[2:] == [
        "          CPU, µs",
        "this app      968",
        "raw             5",
    ]


def test_a_table_is_markdown_and_plain_json() -> None:
    """The page and the file hold the same figures."""
    assert "| this app | 968 |" in TABLE.to_markdown()
    kept = Report(name="warm", tables=(TABLE,)).to_json()
    assert kept["tables"][0]["rows"] == (("this app", "968"), ("raw", "5"))


def test_published_text_is_put_between_its_markers() -> None:
    """The old text there is replaced, and the rest stays."""
    page = "a\n<!-- warm: from here -->\nold\n<!-- warm: to here -->\nb\n"
    assert put(page, "warm", "new") == page.replace("old", "new")
    with pytest.raises(ValueError, match="no place for cold"):
        put(page, "cold", "new")


def test_the_chart_is_xml_with_a_bar_for_each_value() -> None:
    """Names are escaped, ours is highlighted, and a screen reader gets the title."""
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
def test_a_response_without_a_link_is_an_error(value: dict[str, object] | None) -> None:
    """A subject that fails quickly would win."""
    with pytest.raises(WrongResponse):
        check_link(value)


def test_a_missing_link_of_a_batch_is_an_error() -> None:
    """A batch that gives fewer would win as well."""
    body = "https://visit.teams.microsoft.com/ " * (LINKS - 1)
    value = {"http": {"status_code": 200, "body": {"string": body}}}
    check_link(value, count=LINKS - 1)
    with pytest.raises(WrongResponse):
        check_link(value, count=LINKS)


def test_every_measurement_has_a_name_and_a_number_of_rounds() -> None:
    """What the command offers is there."""
    assert set(BENCHES) == set(MEASUREMENTS) == set(ROUNDS)


def test_only_a_run_of_all_measurements_is_published() -> None:
    """Else the page would show figures of several runs."""
    with pytest.raises(StartError, match="all measurements"):
        bench(names=["warm"], rounds=1, publish=True)


def rounds(cpu: float, links: int = 100) -> list[Times]:
    """Two rounds of links that took so many seconds of CPU each."""
    return [Times(wall=1.0, cpu=cpu * links, latencies=(0.25,) * links)] * 2


FOUND = {
    OURS: rounds(0.0009),
    RIVAL: rounds(0.0030),
    URLLIB3: rounds(0.0007),
    FLOOR: rounds(0.0005),
    NOTHING: rounds(0.0003),
    WITHOUT_EVENT: rounds(0.00085),
    WITHOUT_DEADLINE: rounds(0.00087),
}


def test_the_parts_of_the_cpu_add_up_to_a_links_cost() -> None:
    """The parts are differences of measurements in the same rounds. The remainder is the rest."""

    def microseconds(times: Times) -> float:
        return 1e6 * warm.cpu(times)

    table = profile(FOUND, microseconds, parts=CPU, title="", column="CPU, µs")
    assert [int(cell) for _, cell in table.rows] == [300, 200, 200, 50, 30, 120, 900]


def test_the_warm_path_has_goals_with_and_without_graphs_delay() -> None:
    """By the limits that are set for each."""
    at_once = warm.goals(FOUND, delay=0.0)
    assert [goal.found for goal in at_once] == pytest.approx([0.3, 1.0])
    assert [goal.limit for goal in at_once] == [0.28, 3.8]
    at_graphs_pace = warm.goals(FOUND, delay=warm.GRAPHS_PACE)
    assert [(goal.limit, goal.at_least) for goal in at_graphs_pace] == [(0.95, True), (1.10, False)]


class Wire(asyncio.Transport):
    """Keeps what the server sends."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        self.sent += data

    def is_closing(self) -> bool:
        """It never is."""
        return False


def post(target: str, body: bytes, headers: str = "") -> bytes:
    """Write a POST."""
    head = f"POST {target} HTTP/1.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def test_the_far_end_gives_a_link_for_each_request_of_a_batch() -> None:
    """However the request comes in; each counts as a call to Graph."""
    counts, wire = Counts(), Wire()
    graph = Graph(counts)
    graph.connection_made(wire)
    batch = json.dumps({"requests": [{"id": "1"}, {"id": "2"}]}).encode()
    whole = post("/v1.0/$batch", batch)
    graph.data_received(whole[:-5])
    assert wire.sent == b""
    graph.data_received(whole[-5:])
    responses = json.loads(wire.sent.partition(b"\r\n\r\n")[2])["responses"]
    assert [(each["id"], each["status"]) for each in responses] == [("1", 200), ("2", 200)]
    assert counts.graph == 2


def test_the_far_end_counts_only_signed_deliveries() -> None:
    """What came without a signature is no delivery."""
    counts = Counts()
    graph = Graph(counts)
    graph.connection_made(Wire())
    graph.data_received(post("/hook", b"{}") + post("/hook", b"{}", "Webhook-Signature: v1,x\r\n"))
    assert counts.deliveries == 1


def test_the_far_end_counts_exchanges_and_publishes_the_keys() -> None:
    """As Entra does, for the person whose meetings are asked for."""
    counts, wire = Counts(), Wire()
    control = Control(counts, b'{"keys":[]}')
    control.connection_made(wire)
    control.data_received(b"GET /T/discovery/v2.0/keys HTTP/1.1\r\n\r\n")
    control.data_received(post("/T/oauth2/v2.0/token", b"grant_type=x"))
    assert b'{"keys":[]}' in wire.sent
    assert b'"access_token"' in wire.sent
    assert counts.exchanges == 1
