"""What is written after a try of a queue message, and in which order."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.core import errors
from shared.core.errors import ServiceError
from shared.handlers.processing import MessageNotCompleted
from shared.queues import messages
from shared.queues.client import DEAD_LETTERS, REQUESTS, RESULTS
from shared.queues.messages import MAX_DEQUEUE_COUNT
from tests.unit.events import emitted
from tests.unit.memory_queues import (
    COMPLETE,
    LINK,
    START,
    MemoryQueues,
    as_bytes,
    delivery,
    make_request,
    retried,
    run,
)

ROOT = Path(__file__).resolve().parents[2]
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_result_is_written_and_then_the_message_completed() -> None:
    """If nothing fails."""
    queues = MemoryQueues()

    run(queues, delivery(as_bytes(make_request())))

    assert queues.journal == [RESULTS, COMPLETE]
    event = queues.on(RESULTS)[0].json
    assert event["type"].endswith(".resolved")
    assert event["data"]["virtualAppointmentJoinWebUrl"] == LINK.virtual_appointment_join_web_url
    assert event["data"]["attempts"] == 1


def test_a_final_failure_is_written_and_then_the_message_completed() -> None:
    """The outcome says why, and there is no dead letter."""
    queues = MemoryQueues()

    run(queues, delivery(as_bytes(make_request())), errors.MeetingIdMalformed("No."))

    assert queues.journal == [RESULTS, COMPLETE]
    event = queues.on(RESULTS)[0].json
    assert (event["type"], event["data"]["code"]) == (
        "virtual-appointment.join-link.failed",
        "meeting_id_malformed",
    )


@pytest.mark.parametrize(
    ("error", "least", "most"),
    [
        (errors.MeetingNotFound("No."), 30, 30),
        (errors.AccessPolicyMissing("No."), 900, 900),
        (errors.GraphUnavailable("No."), 5, 10),
        (errors.GraphThrottled("No.", retry_after=77), 77, 85),
    ],
)
def test_a_later_try_is_written_with_its_delay_and_then_the_message_completed(
    error: ServiceError, least: float, most: float
) -> None:
    """As a new hidden message, so no thread waits."""
    queues = MemoryQueues()

    run(queues, delivery(as_bytes(make_request())), error)

    assert queues.journal == [REQUESTS, COMPLETE]
    assert least <= queues.on(REQUESTS)[0].delay <= most


def test_the_message_of_a_retry_holds_the_requests_history() -> None:
    """Attempts, first arrival, last error, caller, source and trace."""
    queues = MemoryQueues()
    request = make_request()
    event = {
        "specversion": "1.0",
        "type": "virtual-appointment.join-link.requested",
        "version": 1,
        "id": "cal-1",
        "source": "/virtual-appointment/webhooks/cal",
        "traceparent": TRACEPARENT,
        "data": request,
    }
    first = delivery(as_bytes(event), dequeue_count=2, age=60)

    run(queues, first, errors.GraphUnavailable("No."))
    resolver = run(queues, retried(queues))

    again = queues.on(REQUESTS)[0].json
    assert (again["version"], again["attempts"], again["repeats"]) == (1, 2, 1)
    assert (again["lasterror"], again["firstseen"]) == ("graph_unavailable", START - 60)
    assert again["data"] == request
    result = queues.on(RESULTS)[0].json
    assert result["source"] == "/virtual-appointment/webhooks/cal"
    assert result["traceparent"] == TRACEPARENT
    assert (result["data"]["attempts"], result["data"]["source"]) == (3, "cal")
    assert result["data"]["context"] == request["context"]
    assert resolver.requests[0].request_id == "booking-1"


def test_of_a_pasted_text_only_the_link_is_put_back() -> None:
    """The text around it may be about a patient, and long."""
    queues = MemoryQueues()
    short = "https://teams.microsoft.com/meet/2345678901234?p=AbC"
    pasted = f"Zoë Canary, Monday at ten\r\nJoin: {short}&anon=true".ljust(8192)
    request = make_request(joinWebUrl=pasted)
    del request["onlineMeetingId"]

    first = run(queues, delivery(as_bytes(request)), errors.GraphUnavailable("No."))
    again = run(queues, retried(queues))

    assert queues.on(REQUESTS)[0].json["data"] == {**request, "joinWebUrl": short}
    assert again.requests == first.requests


def test_alternatives_are_kept_in_retries_and_dead_letters() -> None:
    """And each try uses them."""
    alternatives = ({"joinMeetingId": "234567890123"}, {"userId": "b@c.example"})
    queues = MemoryQueues()
    body = messages.write_request(
        make_request(), request_id="booking-1", alternatives=alternatives
    ).encode()

    resolver = run(queues, delivery(body), errors.AccessPolicyMissing("No."))

    meetings = [
        (each.user_id, each.online_meeting_id) for each in resolver.requests[0].alternatives
    ]
    assert meetings == [
        (LINK.user_id, None),
        ("b@c.example", LINK.online_meeting_id),
        ("b@c.example", None),
    ]
    again = queues.on(REQUESTS)[0].text.encode()
    assert messages.decode(again).alternatives == alternatives
    run(queues, delivery(again, dequeue_count=MAX_DEQUEUE_COUNT), RuntimeError("a fault"))
    original = queues.on(DEAD_LETTERS)[0].json["original"]
    assert messages.decode(original.encode()).alternatives == alternatives


@pytest.mark.parametrize("wrap", [lambda text: text, base64.b64encode])
def test_a_request_without_an_id_keeps_the_one_it_was_given(wrap: Callable[[bytes], bytes]) -> None:
    """The id is a hash of the first message, not of the retry's."""
    queues = MemoryQueues()
    request = make_request()
    del request["requestId"]
    body = wrap(as_bytes(request))

    run(queues, delivery(body), errors.GraphUnavailable("No."))
    run(queues, retried(queues))

    assert queues.on(RESULTS)[0].json["id"] == messages.digest(body)


def test_the_largest_request_fits_into_the_message_that_tries_it_again() -> None:
    """With characters that are escaped sixfold, and 60,000 blanks around them."""
    queues = MemoryQueues()
    request = make_request(
        onlineMeetingId="ü" * 1024, userId=f"{'ü' * 200}@{'ü' * 100}", context="\x01" * 680
    )
    text = json.dumps(request, ensure_ascii=False)
    body = text.encode() + b" " * (64 * 1024 - len(text.encode()))

    run(queues, delivery(body), errors.GraphUnavailable("No."))

    again = queues.on(REQUESTS)[0]
    assert len(again.text) < 32 * 1024
    assert again.json["data"] == request


def test_an_error_that_an_operator_can_fix_is_logged_at_the_first_attempt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An alert after 24 hours would be too late for the booking."""
    run(
        MemoryQueues(), delivery(as_bytes(make_request())), errors.AccessPolicyMissing("No policy.")
    )

    (event,) = emitted(caplog)
    assert (event["event"], event["code"], event["attempts"]) == (
        "join_link.retried",
        "access_policy_missing",
        1,
    )


def test_not_found_is_final_after_three_more_tries() -> None:
    """An outcome is published, and no dead letter is written."""
    queues = MemoryQueues()
    message = delivery(as_bytes(make_request()))
    for _ in range(4):
        run(queues, message, errors.MeetingNotFound("No."))
        message = delivery(queues.written[-1].text.encode())

    assert [written.delay for written in queues.on(REQUESTS)] == [30, 120, 300]
    assert queues.on(RESULTS)[0].json["data"]["attempts"] == 4
    assert queues.on(DEAD_LETTERS) == []


def test_an_internal_error_is_left_to_the_hosts_retry() -> None:
    """The exception holds only the code, because a text may quote a link."""
    queues = MemoryQueues()

    for dequeue_count in range(1, MAX_DEQUEUE_COUNT):
        with pytest.raises(MessageNotCompleted, match=r"^internal_error$") as raised:
            run(
                queues,
                delivery(as_bytes(make_request()), dequeue_count=dequeue_count),
                RuntimeError("https://teams.example/secret"),
            )
        assert raised.value.__cause__ is None
        assert raised.value.__suppress_context__

    assert queues.journal == []


def test_the_number_of_deliveries_is_that_of_host_json() -> None:
    """The number is in two places."""
    host = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))

    assert host["extensions"]["queues"]["maxDequeueCount"] == MAX_DEQUEUE_COUNT


PATHS = {
    "resolved": (RESULTS, None),
    "failed": (RESULTS, errors.MeetingIdMalformed("No.")),
    "tried later": (REQUESTS, errors.GraphUnavailable("No.")),
}


@pytest.mark.parametrize("path", PATHS)
def test_a_message_stays_while_nothing_can_be_written(path: str) -> None:
    """On the last delivery it becomes a dead letter."""
    away, error = PATHS[path]
    queues = MemoryQueues(away)
    body = as_bytes(make_request())

    for dequeue_count in range(1, MAX_DEQUEUE_COUNT):
        with pytest.raises(MessageNotCompleted, match=r"^queue_unavailable$"):
            run(queues, delivery(body, dequeue_count=dequeue_count), error)
    assert queues.journal == []

    run(queues, delivery(body, dequeue_count=MAX_DEQUEUE_COUNT), error)
    assert queues.journal[-2:] == [DEAD_LETTERS, COMPLETE]
    assert queues.on(DEAD_LETTERS)[0].json["error"]["code"] == "queue_unavailable"


def test_each_request_of_a_list_becomes_its_own_message() -> None:
    """So none waits for another one, or fails with it."""
    queues = MemoryQueues()
    valid = make_request()
    invalid = make_request("booking-2", userId="nobody")
    unnamed = {name: value for name, value in make_request().items() if name != "requestId"}
    event = {"specversion": "1.0", "id": "event-1", "traceparent": TRACEPARENT, "data": unnamed}

    resolver = run(queues, delivery(as_bytes([valid, invalid, event, 7])))

    assert queues.journal == [RESULTS, RESULTS, REQUESTS, REQUESTS, COMPLETE]
    assert resolver.requests == []
    first, third = (messages.decode(one.text.encode()) for one in queues.on(REQUESTS))
    assert first.document.value == valid
    assert (third.document.value, third.traceparent) == (unnamed, TRACEPARENT)
    assert third.correlation.request_id == "event-1"
    second, fourth = (one.json for one in queues.on(RESULTS))
    assert (second["id"], second["data"]["code"]) == ("booking-2", "invalid_request")
    assert second["data"]["context"] == invalid["context"]
    assert (len(fourth["id"]), fourth["data"]["code"]) == (64, "invalid_request")


def test_a_list_of_the_apps_own_messages_keeps_their_alternatives() -> None:
    """An operator may put the originals of several dead letters back at once."""
    alternatives = ({"userId": "b@c.example"},)
    own = messages.write_request(make_request(), request_id="x", alternatives=alternatives)
    queues = MemoryQueues()

    run(queues, delivery(f"[{own}]".encode()))

    (again,) = queues.on(REQUESTS)
    assert messages.decode(again.text.encode()).alternatives == alternatives


def test_a_list_is_written_at_once() -> None:
    """All errors together, then all requests together: not one after the other."""
    queues = MemoryQueues()
    requests = [
        make_request(f"booking-{n}", userId=7 if n < 30 else LINK.user_id) for n in range(99)
    ]

    run(queues, delivery(as_bytes(requests)))

    assert queues.sizes == [30, 69]


def test_a_list_that_comes_again_has_the_same_requests() -> None:
    """If a write fails in between, readers de-duplicate by the request ids."""
    unnamed = {name: value for name, value in make_request().items() if name != "requestId"}
    message = delivery(as_bytes([unnamed, make_request()]))
    queues = MemoryQueues()

    def break_off(_: object) -> None:
        queues.away = {REQUESTS}

    queues.on_send = break_off
    with pytest.raises(MessageNotCompleted):
        run(queues, message)
    queues.away = set()
    queues.on_send = lambda _: None
    run(queues, message)

    ids = [messages.decode(one.text.encode()).correlation.request_id for one in queues.on(REQUESTS)]
    assert ids[0] == ids[1]
    assert ids[2] == "booking-1"


def test_no_request_of_a_list_is_queued_before_the_errors_are_published() -> None:
    """Else each of five deliveries would queue all of them again."""
    queues = MemoryQueues(RESULTS)
    body = as_bytes([make_request("a"), make_request("b", userId=7)])

    for dequeue_count in range(1, MAX_DEQUEUE_COUNT):
        with pytest.raises(MessageNotCompleted, match=r"^queue_unavailable$"):
            run(queues, delivery(body, dequeue_count=dequeue_count))
    assert queues.journal == []

    run(queues, delivery(body, dequeue_count=MAX_DEQUEUE_COUNT))
    assert queues.journal == [DEAD_LETTERS, DEAD_LETTERS, COMPLETE]


def test_on_the_last_delivery_each_request_of_a_list_becomes_a_dead_letter() -> None:
    """The whole list may not fit into one. None is told `.failed` but the one that is not valid.

    The others may have been put on the queue by an earlier delivery, and resolved.
    """
    queues = MemoryQueues(REQUESTS)
    requests = [make_request(f"booking-{n}", context='"' * 2000) for n in range(14)]
    requests.append({"requestId": "booking-14", "userId": 7})

    run(queues, delivery(as_bytes(requests), dequeue_count=MAX_DEQUEUE_COUNT))

    assert queues.journal == [RESULTS] + [DEAD_LETTERS] * 14 + [COMPLETE]
    (failed,) = queues.on(RESULTS)
    assert (failed.json["id"], failed.json["data"]["code"]) == ("booking-14", "invalid_request")
    letters = [one.json for one in queues.on(DEAD_LETTERS)]
    ids = [letter["error"]["requestId"] for letter in letters]
    assert ids == [f"booking-{n}" for n in range(14)]
    kept = [messages.decode(letter["original"].encode()).document.value for letter in letters]
    assert kept == requests[:14]


def test_queued_requests_of_a_list_get_no_dead_letter_with_the_rest() -> None:
    """On the last delivery, the queue fails after the first was written."""
    queues = MemoryQueues()
    requests = [
        make_request("a"),
        make_request("b", userId=7),
        make_request("c"),
        make_request("d"),
    ]

    def break_off(_: object) -> None:
        if queues.journal == [RESULTS, REQUESTS]:
            queues.away = {REQUESTS}

    queues.on_send = break_off
    run(queues, delivery(as_bytes(requests), dequeue_count=MAX_DEQUEUE_COUNT))

    assert [one.json["id"] for one in queues.on(REQUESTS)] == ["a"]
    assert [one.json["id"] for one in queues.on(RESULTS)] == ["b"]
    letters = [one.json["error"]["requestId"] for one in queues.on(DEAD_LETTERS)]
    assert letters == ["c", "d"]


def test_a_message_that_is_not_json_gets_an_outcome_under_the_id_that_can_be_read() -> None:
    """And a dead letter. So whoever waits for the booking learns of it."""
    queues = MemoryQueues()

    run(queues, delivery(b'{"requestId": "booking-1", "context": "Say "hello""}'))

    assert queues.journal == [RESULTS, DEAD_LETTERS, COMPLETE]
    (told,) = queues.on(RESULTS)
    assert (told.json["id"], told.json["data"]["code"]) == ("booking-1", "invalid_request")
    assert queues.on(DEAD_LETTERS)[0].json["error"]["requestId"] == "booking-1"
