"""Events, which alerts, the workbook and operators' queries read."""

import hashlib
import json
import logging
import subprocess
import sys

import pytest

from shared.core import telemetry
from shared.core.deadline import Deadline, RequestStats
from shared.core.errors import InvalidRequest, MeetingNotFound
from shared.core.strict_json import FieldError
from shared.core.telemetry import (
    EVENTS,
    FIELDS,
    MEMBERS_OF_A_REQUEST,
    Event,
    emit,
    outcome_event,
)
from shared.meetings import models
from tests.unit.events import emitted
from tests.unit.fake_identity import Clock


def test_the_names_of_the_fields_are_pinned() -> None:
    """Operators' own queries use them."""
    assert {
        "event",
        "trigger",
        "code",
        "source",
        "destination",
        "caller",
        "durationMs",
        "attempts",
        "graphCalls",
        "requestId",
        "graphRequestId",
        "graphClientRequestId",
        "graphDiagnostic",
        "clientRequestId",
        "pointers",
        "occurrences",
        "note",
    } == FIELDS


def test_the_names_of_the_events_are_pinned() -> None:
    """For the same reason."""
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
        (Event(event="webhook.refused", code="signature_invalid"), "WARNING"),
        (Event(event="join_link.failed", code="invalid_request"), "WARNING"),
        (Event(event="join_link.failed", code="unauthorized"), "WARNING"),
        (Event(event="join_link.failed", code="meeting_not_found"), "WARNING"),
        (Event(event="join_link.failed", code="graph_refused"), "ERROR"),
        (Event(event="join_link.failed", code="access_policy_missing"), "ERROR"),
        (Event(event="join_link.dead_lettered", code="invalid_request"), "ERROR"),
        (Event(event="settings.invalid", code="settings_invalid"), "ERROR"),
    ],
)
def test_an_event_is_one_json_object_in_one_record(
    caplog: pytest.LogCaptureFixture, event: Event, level: str
) -> None:
    """It holds only known values, and its level says how severe it is."""
    caplog.set_level(logging.INFO)
    emit(event)
    (record,) = caplog.records
    assert record.levelname == level
    assert record.name == "virtual_appointment"
    members = json.loads(record.getMessage())
    known = {"event", "attempts", "graphCalls"} | ({"code"} if event.code else set())
    assert members.keys() == known
    assert members["event"] == event.event


def test_an_event_holds_what_a_request_cost() -> None:
    """Milliseconds, calls to Graph, and Graph's ids for Microsoft's support."""
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


def test_an_error_makes_a_failed_event() -> None:
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


def test_field_errors_are_logged_by_the_members_of_a_request() -> None:
    """No other name is logged, because it could be a link or a patient's."""
    faults = [
        FieldError("/userId", "Missing."),
        FieldError("/data/joinWebUrl", "Of an envelope on the queue."),
        FieldError("/context/Zoë Meyer/0", "Nested too deeply."),
        FieldError("/https:~1~1teams.microsoft.com~1meet~11", "There is no such member."),
        FieldError("/Zoë", "There is no such member."),
        FieldError("", "The whole."),
    ]
    failed = outcome_event(
        "http",
        InvalidRequest("No.", field_errors=faults),
        Deadline(seconds=10),
        RequestStats(),
        request_id="r",
    )

    assert failed.pointers == ("/?", "/context", "/joinWebUrl", "/userId")


def test_the_names_that_a_pointer_may_show_are_those_of_a_request() -> None:
    """And the name of a list of requests."""
    assert models._MEMBERS | {"requests"} == MEMBERS_OF_A_REQUEST


@pytest.mark.parametrize(
    "plain",
    ["", "booking-42", "cal-9f86d081884c7d65", "urn:uuid:5f0c5c0e-0000-4000-8000-0", "a.b_c~d+e=="],
)
def test_an_ordinary_id_is_logged_unchanged(caplog: pytest.LogCaptureFixture, plain: str) -> None:
    """Operators search for it."""
    caplog.set_level(logging.INFO)
    emit(Event(event="join_link.resolved", request_id=plain, client_request_id=plain))
    (event,) = emitted(caplog)
    assert (event["requestId"], event["clientRequestId"]) == (plain, plain)


@pytest.mark.parametrize(
    "odd",
    [
        "https://teams.microsoft.com/meet/1?p=x",
        "teams.microsoft.com/meet/1?p=x",
        "https%3a%2f%2fteams.microsoft.com",
        "zoe@example.org",
        "a,b",
    ],
)
def test_an_id_that_could_be_something_else_is_logged_as_its_digest(
    caplog: pytest.LogCaptureFixture, odd: str
) -> None:
    """Such as a link or an address. Whoever knows the id can compute the digest."""
    caplog.set_level(logging.INFO)
    emit(Event(event="join_link.resolved", request_id=odd, client_request_id=odd))
    (event,) = emitted(caplog)
    digest = f"sha256-{hashlib.sha256(odd.encode()).hexdigest()[:32]}"
    assert (event["requestId"], event["clientRequestId"]) == (digest, digest)
    assert odd not in caplog.text


def test_a_line_break_cannot_forge_a_second_event(caplog: pytest.LogCaptureFixture) -> None:
    """JSON escapes it, and all characters outside ASCII."""
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


def test_libraries_log_no_line_for_each_call() -> None:
    """It would cost time and money, and may quote a URL."""
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
