"""Events: what alerts, the workbook and a person with a query read."""

import json
import logging
import subprocess
import sys

import pytest

from shared.core import telemetry
from shared.core.deadline import Deadline, RequestStats
from shared.core.errors import MeetingNotFound
from shared.core.telemetry import EVENTS, FIELDS, Event, emit, outcome_event
from tests.unit.events import emitted
from tests.unit.fake_identity import Clock


def test_the_names_of_the_fields_are_pinned() -> None:
    """Queries in other people's workbooks name them."""
    assert {
        "event",
        "trigger",
        "code",
        "source",
        "destination",
        "durationMs",
        "attempts",
        "graphCalls",
        "requestId",
        "graphRequestId",
        "graphClientRequestId",
        "graphDiagnostic",
        "clientRequestId",
        "note",
    } == FIELDS


def test_the_names_of_the_events_are_pinned() -> None:
    """As are the fields'."""
    assert {
        "join_link.accepted",
        "join_link.resolved",
        "join_link.failed",
        "join_link.retried",
        "join_link.dead_lettered",
        "delivery.succeeded",
        "delivery.retried",
        "delivery.dead_lettered",
        "webhook.accepted",
        "webhook.ignored",
        "webhook.refused",
        "settings.invalid",
    } == EVENTS


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (Event(event="join_link.resolved"), "INFO"),
        (Event(event="webhook.accepted"), "INFO"),
        (Event(event="join_link.retried", code="graph_throttled"), "WARNING"),
        (Event(event="delivery.retried", code="delivery_failed"), "WARNING"),
        (Event(event="delivery.dead_lettered", code="destination_gone"), "ERROR"),
        (Event(event="join_link.failed", code="meeting_not_found"), "ERROR"),
        (Event(event="settings.invalid", code="settings_invalid"), "ERROR"),
    ],
)
def test_an_event_is_one_json_object_in_one_record(
    caplog: pytest.LogCaptureFixture, event: Event, level: str
) -> None:
    """What is known is in it and nothing else, and the level says how bad it is."""
    caplog.set_level(logging.INFO)
    emit(event)
    (record,) = caplog.records
    assert record.levelname == level
    assert record.name == "virtual_appointment"
    members = json.loads(record.getMessage())
    known = {"event", "attempts", "graphCalls"} | ({"code"} if event.code else set())
    assert members.keys() == known
    assert members["event"] == event.event


def test_an_event_tells_what_a_request_cost() -> None:
    """Wall clock in milliseconds, calls to Graph, and Graph's own ids for its support."""
    clock = Clock()
    deadline = Deadline(seconds=10, clock=clock)
    clock.now += 0.1234
    stats = RequestStats()
    stats.graph_calls = 3
    stats.graph_request_id = "g"
    stats.graph_client_request_id = "c"
    stats.graph_diagnostic = "{}"
    stats.notes += ["one", "two"]

    event = outcome_event("http", None, deadline, stats, request_id="r", client_request_id="x")

    assert event == Event(
        event="join_link.resolved",
        trigger="http",
        duration_ms=123.4,
        attempts=1,
        graph_calls=3,
        request_id="r",
        graph_request_id="g",
        graph_client_request_id="c",
        graph_diagnostic="{}",
        client_request_id="x",
        note="one two",
    )


def test_an_error_makes_a_failure() -> None:
    """With its code, the source and the number of attempts."""
    deadline = Deadline(seconds=10)
    failed = outcome_event(
        "queue",
        MeetingNotFound("No."),
        deadline,
        RequestStats(),
        request_id="r",
        attempts=4,
        source="cal",
    )
    assert (failed.event, failed.code, failed.attempts, failed.source) == (
        "join_link.failed",
        "meeting_not_found",
        4,
        "cal",
    )


def test_a_line_break_cannot_forge_a_second_event(caplog: pytest.LogCaptureFixture) -> None:
    """JSON escapes it, as it does everything outside ASCII."""
    emit(Event(event="join_link.failed", code="x", note='a\n{"event":"join_link.resolved"}\u2028'))
    (event,) = emitted(caplog)
    assert event["event"] == "join_link.failed"
    assert caplog.records[0].getMessage().isascii()
    assert "\n" not in caplog.records[0].getMessage()


QUIET = """
import logging
from shared.core import telemetry
telemetry.configure_logging()
for name in ("azure", "azure.core.pipeline", "msal.token_cache", "urllib3"):
    assert logging.getLogger(name).getEffectiveLevel() == logging.WARNING, name
assert logging.getLogger("urllib3.connectionpool").getEffectiveLevel() == logging.WARNING
for name in ("urllib3.connection", "azure.identity._internal.decorators"):
    assert logging.getLogger(name).getEffectiveLevel() == logging.ERROR, name
record = logging.LogRecord("name", logging.INFO, "path", 1, "message", (), None)
assert (record.thread, record.process, record.processName, record.taskName) == (None,) * 4
"""


def test_the_log_is_spared() -> None:
    """A line or two of libraries for each call costs time and money, and may quote a URL."""
    subprocess.run([sys.executable, "-c", QUIET], check=True, timeout=30)  # noqa: S603 - ours


def test_a_deadline_counts_down_and_stops_at_zero() -> None:
    """By its clock."""
    clock = Clock()
    deadline = Deadline(seconds=10, clock=clock)
    clock.now += 4
    assert deadline.remaining() == 6
    clock.now += 7
    assert deadline.remaining() == 0
    assert deadline.elapsed_ms() == 11_000
    assert (
        telemetry.outcome_event("http", None, deadline, RequestStats(), request_id="r").duration_ms
        == 11_000
    )
