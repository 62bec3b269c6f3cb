"""Each request that the app accepts can be put back, kept and read again unchanged."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scripts import dead_letters as script
from shared.core import errors, strict_json
from shared.core.errors import ServiceError
from shared.core.strict_json import Document, Json
from shared.handlers.processing import MessageNotCompleted
from shared.handlers.queue_messages import process_poison
from shared.meetings.models import Correlation, JoinRequest
from shared.queues import messages
from shared.queues.client import DEAD_LETTERS, REQUESTS, RESULTS
from shared.queues.messages import MAX_DEQUEUE_COUNT
from shared.queues.retry_policy import History
from tests.unit.memory_queues import LINK, MemoryQueues, as_bytes, delivery, make_request, run

MESSAGE_BYTES = 64 * 1024
DEEP = json.loads("[" * 31 + "]" * 31)
LONGEST_LINK = "https://teams.microsoft.com/meet/2345678901234?p=".ljust(2048, "x")
EXPENSIVE = ['"', "\\", "/", "\x7f", "ü", "\u2028", "\ufffe", "\N{GRINNING FACE}"]
"""Characters that get longer with each time they are written."""

CONTEXTS = st.one_of(
    st.just(DEEP),
    st.just("\x7f" * 4094),
    st.just("\x01" * 682),
    st.just('"' * 2047),
    st.just({"\N{GRINNING FACE}" * 1021: 2**53 - 1}),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53) + 1, 2**53 - 1)
        | st.floats(-1e15, 1e15)
        | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    ),
)
REFERENCES = st.one_of(
    st.just({"joinWebUrl": LONGEST_LINK}),
    st.just({"joinMeetingId": "234 567 890 12"}),
    st.sampled_from(EXPENSIVE).map(lambda character: {"onlineMeetingId": character * 1024}),
    st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1).map(
        lambda text: {"onlineMeetingId": text}
    ),
)
ORGANIZERS = st.one_of(
    st.just(LINK.user_id),
    st.just("dr@clinic.example"),
    st.sampled_from("ü!\N{GRINNING FACE}").map(lambda one: f"{one * 199}@{one * 119}"),
)
MEMBERS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"userId": ORGANIZERS, "context": CONTEXTS},
    optional={
        "language": st.sampled_from(["de", "pt-BR"]),
        "requestId": st.one_of(
            st.sampled_from(['"' * 128, "\\" * 128, "booking-1"]),
            st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1).map(
                lambda text: text[:128]
            ),
        ),
    },
).flatmap(lambda members: REFERENCES.map(lambda reference: {**members, **reference}))

FORMS: dict[str, Callable[[Any], bytes]] = {
    "bare": as_bytes,
    "in UTF-8": lambda request: json.dumps(request, ensure_ascii=False).encode(),
    "base64": lambda request: base64.b64encode(as_bytes(request)),
    "a JSON string": lambda request: as_bytes(json.dumps(request, ensure_ascii=False)),
    "a CloudEvent": lambda request: as_bytes({"specversion": "1.0", "id": "e", "data": request}),
    "an Event Grid event": lambda request: as_bytes(
        {"eventType": "x", "id": "e", "topic": "/x", "data": request}
    ),
}
RETRIED = [
    errors.GraphUnavailable("No."),
    errors.GraphThrottled("No.", retry_after=77),
    errors.GraphTimeout("No."),
    errors.GraphUnexpected("No."),
    errors.AccessPolicyMissing("No."),
    errors.MeetingNotFound("No."),
    errors.IdentityUnavailable("No."),
]
FAULTS: list[Exception] = [
    *RETRIED,
    errors.QueueUnavailable("Of the queue itself, so that nothing can be put back."),
    ValueError("Of ours."),
]


def as_read(body: bytes) -> JoinRequest:
    """Read a valid request of the queue."""
    reading = messages.read(body)
    return JoinRequest.from_document(
        reading.incoming.document, request_id=reading.correlation.request_id
    )


def accepted(request: Any, form: str) -> bytes:  # noqa: ANN401 - whatever was made
    """Write a request as a message, if it is one that the app takes."""
    body = FORMS[form](request)
    assume(len(body) <= MESSAGE_BYTES)
    document = strict_json.read(as_bytes(request))
    try:
        JoinRequest.from_document(document, request_id="x")
    except errors.InvalidRequest:
        assume(False)
    return body


def text_of(value: object) -> str:
    """Write a value so that true is not 1, and 1.0 not 1."""
    return json.dumps(value)


@given(MEMBERS, st.sampled_from(sorted(FORMS)), st.lists(st.sampled_from(FAULTS), max_size=6))
def test_a_request_that_was_put_back_is_the_same_one(
    request: Any,  # noqa: ANN401 - as above
    form: str,
    faults: list[Exception],
) -> None:
    """Any number of times, after any error. In the end it is resolved by Graph."""
    body = accepted(request, form)
    first, tries, deliveries = as_read(body), 0, 1
    for error in faults:
        if deliveries == MAX_DEQUEUE_COUNT:  # the host's last
            break
        away = isinstance(error, errors.QueueUnavailable)
        queues = MemoryQueues(*([REQUESTS, RESULTS] if away else []))
        tries += 1
        try:
            run(queues, delivery(body, dequeue_count=deliveries), RETRIED[0] if away else error)
        except MessageNotCompleted:  # the host gives the same message again
            deliveries += 1
            continue
        if not queues.on(REQUESTS):  # a few tries were all it was worth
            assert isinstance(error, ServiceError)
            assert queues.on(RESULTS)[0].json["data"]["code"] == error.code
            return
        body, deliveries = queues.on(REQUESTS)[0].text.encode(), 1

    queues = MemoryQueues()
    resolver = run(queues, delivery(body, dequeue_count=deliveries))

    assert resolver.requests == [first]
    result = queues.on(RESULTS)[0].json
    assert (result["id"], result["data"]["attempts"]) == (first.request_id, tries + 1)
    assert result["type"].endswith(".resolved")
    assert text_of(result["data"]["context"]) == text_of(request["context"])


@given(MEMBERS, st.sampled_from(sorted(FORMS)), st.booleans())
def test_a_dead_letter_of_a_valid_request_can_be_replayed_whole(
    request: Any,  # noqa: ANN401 - as above
    form: str,
    tried_before: bool,
) -> None:
    """As the command for dead letters reads it."""
    body = accepted(request, form)
    first = as_read(body)
    if tried_before:
        queues = MemoryQueues()
        run(queues, delivery(body), errors.GraphUnavailable("No."))
        body = queues.on(REQUESTS)[0].text.encode()
    queues = MemoryQueues()
    run(queues, delivery(body), action=process_poison)

    letter = script.Letter(None, queues.on(DEAD_LETTERS)[0].json)  # type: ignore[arg-type] # its message is not looked at
    original = letter.original()

    assert original is not None
    assert original.isascii()
    assert len(original) <= MESSAGE_BYTES
    assert as_read(original.encode()) == first


@pytest.mark.parametrize(
    "reference", [{"joinWebUrl": LONGEST_LINK}, {"onlineMeetingId": "\N{GRINNING FACE}" * 1024}]
)
def test_the_dead_letter_of_the_largest_request_is_complete(reference: dict[str, str]) -> None:
    """With characters that take seven and fourteen bytes, and all other members."""
    face = "\N{GRINNING FACE}"
    request: dict[str, Json] = {
        **reference,
        "requestId": '"' * 128,
        "userId": f"{face * 199}@{face * 119}",
        "context": "\x7f" * 4094,
    }
    alternatives: list[dict[str, Json]] = [{"onlineMeetingId": '"' * 200}] * 5
    alternatives.append({"userId": f"{face * 90}@x"})
    body = messages.write_request(
        request,
        request_id='"' * 128,
        source="s" * 64,
        caller_name=f"user:{LINK.user_id}",
        traceparent=f"00-{'a' * 32}-{'b' * 16}-01",
        history=History(attempts=10**9, repeats=1, last_error="graph_timeout", first_seen=1e9),
        alternatives=alternatives,
    ).encode()
    queues = MemoryQueues()

    run(queues, delivery(body), action=process_poison)

    before, after = (
        messages.decode(text)
        for text in (body, queues.on(DEAD_LETTERS)[0].json["original"].encode())
    )
    assert len(before.alternatives) > 1
    assert replace(before, history=History()) == after


@given(MEMBERS)
def test_a_webhooks_queued_request_can_be_read_again(
    members: Any,  # noqa: ANN401 - as above
) -> None:
    """With its source and trace."""
    members.pop("requestId", None)
    document = Document({"requestId": "cal-1", **members})
    try:
        request = JoinRequest.from_document(document, request_id="cal-1")
    except errors.InvalidRequest:
        assume(False)

    written = messages.write_request(document.value, request_id="cal-1", source="cal")

    assert len(written) <= MESSAGE_BYTES
    assert as_read(written.encode()) == request
    assert messages.decode(written.encode()).source == "cal"


@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_context_of_the_greatest_depth_fits_into_the_apps_own_envelope(form: str) -> None:
    """31 levels. The next one is refused in each form of a request."""
    deep, too_deep = make_request(context=DEEP), make_request(context=[DEEP])
    queues = MemoryQueues()

    run(queues, delivery(FORMS[form](deep)), errors.GraphUnavailable("No."))
    run(queues, delivery(queues.on(REQUESTS)[0].text.encode()))
    assert queues.on(RESULTS)[0].json["type"].endswith(".resolved")

    run(queues, delivery(FORMS[form](too_deep)))
    failed = queues.on(RESULTS)[1].json
    assert failed["data"]["errors"] == [
        {"pointer": "/context", "detail": "Is nested more than 31 deep."}
    ]
    assert failed["data"]["context"] is None
    assert Correlation.of(Document(too_deep), default_request_id="x").context is None
