"""Messages that become dead letters, and what is written before."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core import errors
from shared.handlers.processing import MessageNotCompleted
from shared.handlers.queue_messages import process_poison
from shared.queues import messages
from shared.queues.client import DEAD_LETTERS, REQUESTS, RESULTS
from shared.queues.messages import MAX_DEQUEUE_COUNT, QueueMessage
from tests.unit.events import emitted
from tests.unit.memory_queues import (
    COMPLETE,
    START,
    MemoryQueues,
    as_bytes,
    delivery,
    make_request,
    run,
)


def test_an_undecodable_message_becomes_a_dead_letter_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without a request id, no outcome is published."""
    queues = MemoryQueues()

    run(queues, delivery(b"hello"))

    assert queues.journal == [DEAD_LETTERS, COMPLETE]
    letter = queues.on(DEAD_LETTERS)[0].json
    assert letter["reason"] == "undecodable"
    assert letter["error"]["code"] == "invalid_request"
    assert letter["original"] == "hello"
    (event,) = emitted(caplog)
    assert (event["event"], event["note"]) == ("join_link.dead_lettered", "undecodable")


def test_an_undecodable_message_in_an_envelope_gets_an_outcome_as_well() -> None:
    """The envelope's id is the request's id."""
    queues = MemoryQueues()

    run(queues, delivery(as_bytes({"specversion": "1.0", "id": "event-1", "data": "hello"})))

    assert queues.journal == [RESULTS, DEAD_LETTERS, COMPLETE]
    assert queues.on(RESULTS)[0].json["id"] == "event-1"


@pytest.mark.parametrize("rest", [b",", b"," + b"[" * 40_000])
def test_a_broken_message_with_a_long_number_gets_an_outcome_as_well(rest: bytes) -> None:
    """Its request id is found as in any broken message."""
    queues = MemoryQueues()
    number = b"9" * 5_000

    run(queues, delivery(b'{"requestId":"booking-1","context":%s%s' % (number, rest)))

    assert queues.journal == [RESULTS, DEAD_LETTERS, COMPLETE]
    assert queues.on(RESULTS)[0].json["id"] == "booking-1"


def outlived() -> QueueMessage:
    """Make a message that has been tried for two days."""
    envelope = {
        "specversion": "1.0",
        "type": "virtual-appointment.join-link.requested",
        "version": 1,
        "id": "booking-1",
        "source": "/virtual-appointment/queue",
        "attempts": 99,
        "repeats": 99,
        "lasterror": "permission_missing",
        "firstseen": START - 2 * 24 * 3600,
        "data": make_request(),
    }
    return delivery(as_bytes(envelope))


def test_after_the_retry_time_outcome_and_dead_letter_are_written_then_the_message_is_completed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The outcome comes first, because readers drop a second one by its id.

    A second dead letter would be replayed twice.
    """
    queues = MemoryQueues()

    run(queues, outlived(), errors.PermissionMissing("No role.", fix="Grant it."))

    assert queues.journal == [RESULTS, DEAD_LETTERS, COMPLETE]
    assert queues.on(RESULTS)[0].json["data"]["code"] == "permission_missing"
    letter = queues.on(DEAD_LETTERS)[0].json
    assert (letter["reason"], letter["attempts"]) == ("retry_time_spent", 100)
    assert letter["error"]["fix"] == "Grant it."
    assert letter["firstSeen"] == "2027-01-13T08:00:00+00:00"
    assert [event["event"] for event in emitted(caplog)] == [
        "join_link.failed",
        "join_link.dead_lettered",
    ]


def test_a_replayed_dead_letter_has_all_its_retry_hours_again() -> None:
    """Its history starts anew."""
    queues = MemoryQueues()
    run(queues, outlived(), errors.PermissionMissing("No role."))
    original = str(queues.on(DEAD_LETTERS)[0].json["original"])

    replayed = MemoryQueues()
    run(replayed, delivery(original.encode()), errors.PermissionMissing("No role."))

    assert replayed.on(REQUESTS)[0].json["attempts"] == 1
    assert replayed.on(REQUESTS)[0].json["id"] == "booking-1"


def test_on_the_last_delivery_an_internal_error_becomes_an_outcome_and_a_dead_letter() -> None:
    """The host would move the message to the poison queue, without a reason."""
    queues = MemoryQueues()
    last = delivery(as_bytes(make_request()), dequeue_count=MAX_DEQUEUE_COUNT)

    run(queues, last, RuntimeError("a fault"))

    assert queues.journal == [RESULTS, DEAD_LETTERS, COMPLETE]
    letter = queues.on(DEAD_LETTERS)[0].json
    assert (letter["reason"], letter["dequeueCount"]) == ("failed_on_last_delivery", 5)
    assert letter["error"]["code"] == "internal_error"


@pytest.mark.parametrize("away", [RESULTS, DEAD_LETTERS])
def test_a_message_is_not_completed_until_outcome_and_dead_letter_are_written(away: str) -> None:
    """While another delivery follows, one of them is not enough."""
    queues = MemoryQueues(away)

    with pytest.raises(MessageNotCompleted):
        run(queues, outlived(), errors.PermissionMissing("No role."))

    assert COMPLETE not in queues.journal
    assert DEAD_LETTERS not in queues.journal


def test_without_its_dead_letter_even_the_last_delivery_is_not_completed() -> None:
    """The host then moves the message to the poison queue."""
    queues = MemoryQueues(RESULTS, REQUESTS, DEAD_LETTERS)

    with pytest.raises(MessageNotCompleted, match=r"^queue_unavailable$"):
        run(queues, delivery(as_bytes(make_request()), dequeue_count=MAX_DEQUEUE_COUNT))


def test_a_poison_message_becomes_an_outcome_and_a_dead_letter(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The host had given it out five times."""
    queues = MemoryQueues()

    resolver = run(queues, outlived(), action=process_poison)

    assert resolver.requests == []
    assert queues.journal == [RESULTS, DEAD_LETTERS, COMPLETE]
    assert queues.on(RESULTS)[0].json["id"] == "booking-1"
    letter = queues.on(DEAD_LETTERS)[0].json
    assert (letter["reason"], letter["attempts"]) == ("host_gave_up", 104)
    assert letter["error"]["requestId"] == "booking-1"
    assert [(event["event"], event.get("note")) for event in emitted(caplog)] == [
        ("join_link.failed", None),
        ("join_link.dead_lettered", "host_gave_up"),
    ]


def test_each_request_of_a_poisoned_list_becomes_a_dead_letter() -> None:
    """Some of them may be on the queue already, or answered."""
    queues = MemoryQueues()

    run(queues, delivery(as_bytes([make_request("a"), {}])), action=process_poison)

    assert queues.journal == [DEAD_LETTERS, DEAD_LETTERS, COMPLETE]


def test_an_unreadable_poison_message_becomes_a_dead_letter() -> None:
    """No outcome can be published."""
    queues = MemoryQueues()

    run(queues, delivery(b"\x00\xff"), action=process_poison)

    assert queues.journal == [DEAD_LETTERS, COMPLETE]


BODIES = st.one_of(
    st.binary(max_size=200),
    st.text().map(lambda text: json.dumps(text).encode()),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(as_bytes),
    st.fixed_dictionaries(
        {
            "specversion": st.just("1.0"),
            "type": st.just("virtual-appointment.join-link.requested"),
            "version": st.sampled_from([1, 2, "1", None]),
        },
        optional={
            name: st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.booleans())
            for name in ("id", "source", "attempts", "repeats", "lasterror", "firstseen", "data")
        },
    ).map(as_bytes),
    st.fixed_dictionaries(
        {
            "specversion": st.just("1.0"),
            "type": st.just("virtual-appointment.join-link.requested"),
            "version": st.just(1),
            "attempts": st.integers(),
            "repeats": st.just(1),
            "lasterror": st.just("graph_timeout"),
            "firstseen": st.integers() | st.floats(),
            "data": st.none() | st.just(make_request()),
        }
    ).map(as_bytes),
    st.just(b"[" * 65536),
    st.just(b'{"a":' * 13000),
)


@given(BODIES)
def test_no_content_makes_processing_a_poison_message_fail(body: bytes) -> None:
    """The poison queue has no poison queue: the message would come back for ever."""
    queues = MemoryQueues()

    run(queues, delivery(body), action=process_poison)

    assert queues.journal[-2:] == [DEAD_LETTERS, COMPLETE]


@given(BODIES)
def test_each_message_leads_to_an_outcome_another_try_or_a_dead_letter(body: bytes) -> None:
    """For any content."""
    queues = MemoryQueues()

    try:
        run(queues, delivery(body))
    except MessageNotCompleted:  # from a later version: it comes again, and in the end is kept
        assert queues.journal == []
        run(queues, delivery(body, dequeue_count=MAX_DEQUEUE_COUNT))

    assert len(queues.journal) >= 2


def test_a_later_versions_message_is_left_to_that_version_and_then_kept_unchanged() -> None:
    """During a deployment or a rollback both versions read the queue."""
    body = as_bytes(
        {
            "specversion": "1.0",
            "type": "virtual-appointment.join-link.requested",
            "version": 2,
            "id": "booking-1",
            "data": {"something": "new"},
        }
    )
    queues = MemoryQueues()

    for dequeue_count in range(1, MAX_DEQUEUE_COUNT):
        with pytest.raises(MessageNotCompleted):
            run(queues, delivery(body, dequeue_count=dequeue_count))
    assert queues.journal == []
    run(queues, delivery(body, dequeue_count=MAX_DEQUEUE_COUNT))

    letter = queues.on(DEAD_LETTERS)[0].json
    assert (letter["reason"], letter["error"]["requestId"]) == (
        "failed_on_last_delivery",
        "booking-1",
    )
    assert "later version" in letter["error"]["fix"]
    assert letter["original"].encode() == body


def test_while_nothing_can_be_written_a_poison_message_stays() -> None:
    """It comes back when its lease ends. From the fifth time on, its outcome is not needed."""
    queues = MemoryQueues(RESULTS)
    body = as_bytes(make_request())

    with pytest.raises(MessageNotCompleted, match=r"^queue_unavailable$"):
        run(queues, delivery(body), action=process_poison)
    assert queues.journal == []

    run(queues, delivery(body, dequeue_count=MAX_DEQUEUE_COUNT), action=process_poison)
    assert queues.journal == [DEAD_LETTERS, COMPLETE]


def test_without_its_dead_letter_a_poison_message_stays() -> None:
    """It comes back when its lease ends, as often as it takes."""
    queues = MemoryQueues(DEAD_LETTERS)

    for dequeue_count in (1, MAX_DEQUEUE_COUNT, MAX_DEQUEUE_COUNT + 1):
        with pytest.raises(MessageNotCompleted, match=r"^queue_unavailable$"):
            run(
                queues,
                delivery(as_bytes(make_request()), dequeue_count=dequeue_count),
                action=process_poison,
            )
    assert DEAD_LETTERS not in queues.journal
    assert COMPLETE not in queues.journal


def test_a_message_that_breaks_the_decoder_is_kept_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in the decoder would affect each message of its kind."""

    def broken(_: bytes) -> Any:  # noqa: ANN401 - it never returns
        raise RecursionError("https://teams.example/secret")

    monkeypatch.setattr(messages, "decode", broken)
    queues = MemoryQueues()

    run(queues, delivery(b"{}"))

    assert queues.on(DEAD_LETTERS)[0].json["reason"] == "undecodable"
    assert "secret" not in caplog.text + queues.written[0].text
