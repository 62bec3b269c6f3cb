"""What is told now and then: faults of the settings, and refusals by their number."""

import pytest

from shared.core.telemetry import FAULTS_SECONDS, REFUSALS_SECONDS, Event, Reports
from tests.unit.events import emitted
from tests.unit.fake_identity import Clock

FAULT = Event(
    event="settings.invalid", code="settings_invalid", note="GRAPH_VERSION: Must be v1.0."
)
REFUSED = Event(
    event="webhook.refused", trigger="webhook", code="signature_invalid", note="unknown_source"
)


@pytest.fixture
def clock(caplog: pytest.LogCaptureFixture) -> Clock:
    """Seconds that only grow when a test says so."""
    caplog.set_level("INFO")
    return Clock()


def occurrences(caplog: pytest.LogCaptureFixture) -> list[int]:
    """Give the number in each event, oldest first."""
    return [event["occurrences"] for event in emitted(caplog)]


def test_a_fault_waits_for_an_invocation_and_is_told_as_long_as_it_lasts(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Often enough for an alert that looks at a quarter of an hour."""
    reports = Reports([FAULT], clock=clock)
    assert emitted(caplog) == []

    for _ in range(3):
        reports.emit_due()
        clock.now += FAULTS_SECONDS / 3

    (told,) = emitted(caplog)
    assert (told["event"], told["note"]) == ("settings.invalid", FAULT.note)
    reports.emit_due()
    assert len(emitted(caplog)) == 2
    assert FAULTS_SECONDS <= 15 * 60 / 3


def test_a_refusal_tells_of_faults_too(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """It may be the only invocation that there is."""
    Reports([FAULT], clock=clock).emit_refusal(REFUSED)

    assert [event["event"] for event in emitted(caplog)] == ["webhook.refused", "settings.invalid"]


def test_the_first_refusal_is_told_at_once_and_as_it_was(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody may be looking for it."""
    Reports(clock=clock).emit_refusal(REFUSED._replace(client_request_id="mine", duration_ms=7))

    (told,) = emitted(caplog)
    assert (told["occurrences"], told["clientRequestId"], told["durationMs"]) == (1, "mine", 7)


def test_a_flood_of_refusals_is_an_event_a_minute_with_their_number(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The day's log quota is not at the disposal of strangers."""
    reports = Reports(clock=clock)

    for _ in range(10_000):
        reports.emit_refusal(REFUSED)
        clock.now += 0.025

    assert len(occurrences(caplog)) == 1 + 250 // REFUSALS_SECONDS
    clock.now += REFUSALS_SECONDS
    reports.emit_due()
    assert sum(occurrences(caplog)) == 10_000


def test_refusals_of_different_kinds_are_counted_apart(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """By code, source and reason, none of which a stranger can make up."""
    reports = Reports(clock=clock)
    kinds = [
        REFUSED,
        REFUSED._replace(source="cal", note="signature_differs"),
        REFUSED._replace(source="cal", note="timestamp_too_old"),
        REFUSED._replace(code="payload_too_large"),
    ]

    for kind in kinds * 3:
        reports.emit_refusal(kind)

    assert occurrences(caplog) == [1] * 4
    clock.now += REFUSALS_SECONDS
    reports.emit_due()
    assert occurrences(caplog)[4:] == [2] * 4


def test_what_is_left_is_told_by_whatever_comes_next(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Once; and nothing is told of refusals that there were not."""
    reports = Reports(clock=clock)
    reports.emit_refusal(REFUSED)
    reports.emit_refusal(REFUSED)
    clock.now += REFUSALS_SECONDS

    for _ in range(3):
        reports.emit_due()
        clock.now += REFUSALS_SECONDS

    assert occurrences(caplog) == [1, 1]
