"""The app's own envelope for requests on the request queue."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import CODES
from shared.queues import messages
from shared.queues.messages import decode
from shared.queues.retry_policy import History
from tests.unit.memory_queues import make_request

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PAST = History(attempts=3, repeats=2, last_error="graph_throttled", first_seen=1_800_000_000.25)


def envelope(**members: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON is anything
    """Write one, read it as JSON, and change it."""
    text = messages.write_request(make_request(), request_id="booking-1", history=PAST)
    return {**json.loads(text), **members}


def read(event: dict[str, Any]) -> History:
    """Decode a message, and give its history."""
    return decode(json.dumps(event).encode()).history


@given(
    attempts=st.integers(1, 10**6),
    first_seen=st.floats(0, 1e10),
    last_error=st.sampled_from(sorted(CODES)),
    source=st.none() | st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    traceparent=st.none() | st.just(TRACEPARENT),
)
def test_a_written_request_is_read_back_completely(
    attempts: int, first_seen: float, last_error: str, source: str | None, traceparent: str | None
) -> None:
    """Completely, by the same decoder as other messages."""
    past = History(attempts=attempts, repeats=1, last_error=last_error, first_seen=first_seen)

    text = messages.write_request(
        make_request(), request_id="booking-1", source=source, traceparent=traceparent, history=past
    )
    incoming = decode(text.encode())

    assert incoming.document.value == make_request()
    assert incoming.document.field_errors == ()
    assert incoming.default_request_id == "booking-1"
    assert (incoming.source, incoming.traceparent, incoming.history) == (source, traceparent, past)


def test_without_a_history_none_is_written() -> None:
    """A webhook's request has not been tried."""
    text = messages.write_request(make_request(), request_id="booking-1", source="cal")

    assert decode(text.encode()).history == History()
    assert "attempts" not in json.loads(text)


@pytest.mark.parametrize(
    "members",
    [
        {"attempts": 0},
        {"attempts": -1},
        {"attempts": 1},
        {"attempts": 10**12},
        {"attempts": "3"},
        {"attempts": None},
        {"repeats": 0},
        {"repeats": 4},
        {"lasterror": "no_such_code"},
        {"lasterror": None},
        {"firstseen": "yesterday"},
        {"firstseen": None},
        {"firstseen": -1},
        {"firstseen": -9e15},
        {"type": "booking"},
    ],
)
def test_a_malformed_history_is_ignored(members: dict[str, Any]) -> None:
    """Whoever may write to the queue may write anything."""
    assert read(envelope()) == PAST
    assert read(envelope(**members)) == History()


@pytest.mark.parametrize(
    "members",
    [
        {"source": "/flow"},
        {"source": "/virtual-appointment/queue"},
        {"source": "/virtual-appointment/webhooks/"},
        {"source": "/virtual-appointment/webhooks/a b"},
        {"source": 1},
        {"type": "booking", "source": "/virtual-appointment/webhooks/cal"},
    ],
)
def test_a_source_is_read_only_from_the_apps_own_envelope(members: dict[str, Any]) -> None:
    """Workflows have no source."""
    assert decode(json.dumps(envelope(**members)).encode()).source is None
