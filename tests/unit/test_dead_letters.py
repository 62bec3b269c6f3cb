"""Dead letters: their members, and that they always fit into a queue message."""

import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import CODES, GraphUnavailable, ServiceError
from shared.core.strict_json import FieldError
from shared.queues.dead_letters import MOST_ORIGINAL, DeadLetter, Reason, restorable
from shared.queues.messages import decode, read
from tests.unit.memory_queues import as_bytes, make_request

MESSAGE_BYTES = 64 * 1024
FAULT = FieldError("/ü" * 50, "ü" * 200)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
RETRIED = {
    "specversion": "1.0",
    "type": "virtual-appointment.join-link.requested",
    "version": 1,
    "id": "cal-1",
    "source": "/virtual-appointment/webhooks/cal",
    "traceparent": TRACEPARENT,
    "attempts": 9,
    "repeats": 1,
    "lasterror": "graph_throttled",
    "firstseen": 1_800_000_000.5,
    "data": make_request(),
}


def dead_letter(
    original: bytes = b"{}",
    *,
    error: ServiceError | None = None,
    request_id: str | None = "booking-1",
) -> DeadLetter:
    """Make one."""
    return DeadLetter(
        reason=Reason.RETRY_TIME_SPENT,
        error=error or GraphUnavailable("Away.", fix="Wait."),
        request_id=request_id,
        original=original,
        message_id="5f0c5c0e-0000-4000-8000-000000000000",
        dequeue_count=1,
        first_seen=1_800_000_000.5,
        attempts=97,
        traceparent=TRACEPARENT,
    )


def written(letter: DeadLetter) -> dict[str, Any]:
    """Write it as a message, and read it as an operator's command does."""
    text = letter.to_message()
    assert text.isascii()
    members: dict[str, Any] = json.loads(text)
    return members


def original(letter: dict[str, Any]) -> bytes:
    """Give its content."""
    text: str | None = letter.get("original")
    return base64.b64decode(letter["originalBase64"]) if text is None else text.encode()


def test_a_dead_letter_holds_the_reason_the_error_and_the_original() -> None:
    """Everything that is needed to fix the cause and to replay the message."""
    body = as_bytes(make_request())

    assert written(dead_letter(body)) == {
        "reason": "retry_time_spent",
        "queue": "join-link-requests",
        "destination": None,
        "error": {
            "type": "urn:virtual-appointment:graph_unavailable",
            "title": "Microsoft Graph is not available",
            "status": 503,
            "detail": "Away.",
            "code": "graph_unavailable",
            "requestId": "booking-1",
            "fix": "Wait.",
        },
        "original": body.decode(),
        "originalLength": len(body),
        "originalSha256": hashlib.sha256(body).hexdigest(),
        "messageId": "5f0c5c0e-0000-4000-8000-000000000000",
        "dequeueCount": 1,
        "firstSeen": "2027-01-15T08:00:00.500000+00:00",
        "attempts": 97,
        "traceparent": TRACEPARENT,
    }


def test_of_an_original_that_is_too_long_the_beginning_is_kept() -> None:
    """With the length and hash of the whole, so that it is not taken for complete."""
    body = b"x" * 60_000

    letter = written(dead_letter(body))

    assert original(letter) == body[: MOST_ORIGINAL // 4 * 3]
    assert "original" not in letter
    assert letter["originalLength"] == 60_000
    assert letter["originalSha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("error", CODES.values())
def test_a_dead_letter_fits_into_a_message(error: type[ServiceError]) -> None:
    """Even for the largest message, with texts far longer than any of this app."""
    fault = error("x" * 2000, fix="ü" * 1000, graph_request_id="g" * 512, field_errors=[FAULT] * 20)

    text = dead_letter(b"\xff" * MESSAGE_BYTES, error=fault, request_id="x" * 128).to_message()

    assert len(text) <= MESSAGE_BYTES


def test_a_dead_letter_does_not_show_its_original() -> None:
    """It holds a Teams link."""
    assert "onlineMeetingId" not in repr(dead_letter(as_bytes(make_request())))


@pytest.mark.parametrize("body", [b"\xff" * 30_000, b"\x01" * 30_000])
def test_an_original_that_is_not_text_or_too_long_when_escaped_is_kept_in_base64(
    body: bytes,
) -> None:
    """Complete, if it fits in that form."""
    letter = written(dead_letter(body))

    assert "original" not in letter
    assert original(letter) == body


@pytest.mark.parametrize(
    "body",
    [
        as_bytes(make_request()),
        base64.b64encode(as_bytes(make_request())),
        as_bytes({"eventType": "x", "id": "booking-1", "data": make_request()}),
    ],
)
def test_a_valid_request_is_kept_as_it_was_read(body: bytes) -> None:
    """In the same form for each form of message, and with the same id."""
    again = decode(restorable(body, decode(body)))

    assert again.document.value == make_request()
    assert read(body).correlation == read(restorable(body, decode(body))).correlation


def test_a_message_that_was_tried_before_is_kept_without_its_history() -> None:
    """A replay starts anew, with the same id, source and trace."""
    body = as_bytes(RETRIED)

    again = decode(restorable(body, decode(body)))

    assert again.history.attempts == 0
    assert again.document.value == make_request()
    assert (again.default_request_id, again.source, again.traceparent) == (
        "cal-1",
        "cal",
        TRACEPARENT,
    )


def test_a_message_with_many_blanks_is_kept_without_them() -> None:
    """So that it can be replayed. Its id stays the same."""
    request = make_request()
    del request["requestId"]
    body = as_bytes(request) + b" " * 60_000

    kept = restorable(body, decode(body))

    assert len(kept) < 1000
    assert decode(kept).document.value == request
    assert decode(kept).default_request_id == decode(body).default_request_id


@pytest.mark.parametrize(
    "body", [b'{"userId":"a","userId":"b"}', b'{"specversion":"1.0","subject":"x","data":[]}']
)
def test_an_invalid_message_is_kept_unchanged(body: bytes) -> None:
    """Written again, it could lose what is wrong with it."""
    body += b" " * 40_000

    assert restorable(body, decode(body)) == body


def test_of_a_pasted_text_only_the_link_is_kept() -> None:
    """A replay is the same request, with the same id."""
    short = "https://teams.microsoft.com/meet/2345678901234?p=AbC"
    request = {"userId": make_request()["userId"], "joinWebUrl": f"Zoë Canary\n<{short}>"}
    body = as_bytes(request)

    kept = decode(restorable(body, decode(body)))

    assert kept.document.value == {**request, "joinWebUrl": short}
    assert kept.default_request_id == decode(body).default_request_id


@given(st.binary(max_size=300))
def test_an_unreadable_message_is_kept_unchanged(body: bytes) -> None:
    """With all its bytes."""
    kept = restorable(body, read(body).incoming)

    letter = written(dead_letter(kept, request_id=None))

    assert original(letter) == body
    assert "requestId" not in letter["error"]
