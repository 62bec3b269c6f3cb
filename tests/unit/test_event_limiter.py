"""How often invalid settings and refusals are logged."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from shared.app import Application
from shared.core.telemetry import FAULTS_SECONDS, REFUSALS_SECONDS, Event, EventLimiter
from shared.diagnostics import api
from shared.handlers import deliveries, health, join_links, queue_messages, webhooks
from tests.unit.events import emitted
from tests.unit.fake_identity import Clock
from tests.unit.memory_queues import (
    START,
    MemoryQueues,
    ResolverOfOneMind,
    as_bytes,
    delivery,
    make_request,
)

FAULT = Event(
    event="settings.invalid", code="settings_invalid", note="GRAPH_VERSION: Must be v1.0."
)
REFUSED = Event(
    event="webhook.refused", trigger="webhook", code="signature_invalid", note="unknown_source"
)


@pytest.fixture
def clock(caplog: pytest.LogCaptureFixture) -> Clock:
    """Monotonic seconds that a test moves."""
    caplog.set_level("INFO")
    return Clock()


def occurrences(caplog: pytest.LogCaptureFixture) -> list[int]:
    """Give the number in each event, oldest first."""
    return [event["occurrences"] for event in emitted(caplog)]


def test_an_invalid_setting_is_logged_in_invocations_again_and_again(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Often enough for an alert that reads half an hour."""
    limiter = EventLimiter([FAULT], clock=clock)
    assert emitted(caplog) == []

    for _ in range(3):
        limiter.emit_due()
        clock.now += FAULTS_SECONDS / 3

    (told,) = emitted(caplog)
    assert (told["event"], told["note"]) == ("settings.invalid", FAULT.note)
    limiter.emit_due()
    assert len(emitted(caplog)) == 2
    assert FAULTS_SECONDS <= 30 * 60 / 3


def test_a_refusal_also_logs_invalid_settings(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be the only invocation."""
    EventLimiter([FAULT], clock=clock).emit_refusal(REFUSED)

    assert [event["event"] for event in emitted(caplog)] == ["webhook.refused", "settings.invalid"]


def test_the_first_refusal_is_logged_at_once_and_completely(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """An operator may be looking for it."""
    EventLimiter(clock=clock).emit_refusal(
        REFUSED._replace(client_request_id="mine", duration_ms=7)
    )

    (told,) = emitted(caplog)
    assert (told["occurrences"], told["clientRequestId"], told["durationMs"]) == (1, "mine", 7)


def test_a_flood_of_refusals_is_an_event_a_minute_with_their_number(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """So that anonymous callers cannot use up the log's daily quota."""
    limiter = EventLimiter(clock=clock)

    for _ in range(10_000):
        limiter.emit_refusal(REFUSED)
        clock.now += 0.025

    assert len(occurrences(caplog)) == 1 + 250 // REFUSALS_SECONDS
    clock.now += REFUSALS_SECONDS
    limiter.emit_due()
    assert sum(occurrences(caplog)) == 10_000


def test_refusals_of_different_kinds_are_counted_apart(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """By code, source and reason, which a caller cannot make up."""
    limiter = EventLimiter(clock=clock)
    kinds = [
        REFUSED,
        REFUSED._replace(source="cal", note="signature_differs"),
        REFUSED._replace(source="cal", note="timestamp_too_old"),
        REFUSED._replace(code="payload_too_large"),
    ]

    for kind in kinds * 3:
        limiter.emit_refusal(kind)

    assert occurrences(caplog) == [1] * 4
    clock.now += REFUSALS_SECONDS
    limiter.emit_due()
    assert occurrences(caplog)[4:] == [2] * 4


def test_counted_refusals_are_logged_by_the_next_invocation(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, and only if there were any."""
    limiter = EventLimiter(clock=clock)
    limiter.emit_refusal(REFUSED)
    limiter.emit_refusal(REFUSED)
    clock.now += REFUSALS_SECONDS

    for _ in range(3):
        limiter.emit_due()
        clock.now += REFUSALS_SECONDS

    assert occurrences(caplog) == [1, 1]


ROOT = Path(__file__).resolve().parents[2]
REQUEST = as_bytes(make_request())
FUNCTIONS: dict[str, Callable[[Application], object]] = {
    "join_link": lambda app: join_links.join_link(app, {}, REQUEST),
    "join_links": lambda app: join_links.join_links(app, {}, b'{"requests":[]}'),
    "request_join_link": lambda app: join_links.request_join_link(app, {}, REQUEST),
    "connection": lambda app: join_links.connection(app, {}),
    "webhooks": lambda app: webhooks.receive(app, "unknown", {}, b"{}"),
    "health": health.health,
    "diagnostics": lambda app: api.run(app, {}, b"{"),
    "diagnostics_page": api.page,
    "join_link_requests": lambda app: queue_messages.process(
        app.services(), delivery(REQUEST), now=lambda: START
    ),
    "join_link_requests_poison": lambda app: queue_messages.process_poison(
        app.services(), delivery(REQUEST), now=lambda: START
    ),
    "join_link_deliveries": lambda app: deliveries.process(
        app.services(), delivery(b"{}"), now=lambda: START
    ),
    "join_link_deliveries_poison": lambda app: deliveries.process_poison(
        app.services(), delivery(b"{}"), now=lambda: START
    ),
}


def test_every_function_is_in_the_table() -> None:
    """Whatever an app is used for, an invocation of that tells of the faults."""
    source = (ROOT / "function_app.py").read_text(encoding="utf-8")
    assert FUNCTIONS.keys() == set(re.findall(r'@app\.function_name\("(\w+)"\)', source))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_first_invocation_of_any_function_tells_of_a_faulty_source(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An app may get nothing but queue messages."""
    caplog.set_level("INFO")
    application = Application(
        {
            "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            "KEY_VAULT_URI": "https://unused.vault.azure.net",
            "WEBHOOK_SOURCES": json.dumps({"faulty": {"preset": "unknown", "secret": "s"}}),
        }
    )
    application._services = replace(
        application.services(), queues=MemoryQueues(), resolver=ResolverOfOneMind()
    )

    FUNCTIONS[name](application)

    told = [event for event in emitted(caplog) if event["event"] == "settings.invalid"]
    assert [event["source"] for event in told] == ["faulty"]
