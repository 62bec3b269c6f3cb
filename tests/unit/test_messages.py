"""Queue messages: each form that workflows write, and the outcomes."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import MeetingNotFound
from shared.meetings.models import Correlation, Outcome
from shared.queues import messages
from shared.queues.messages import MessageUndecodable, decode
from shared.queues.retry_policy import History

REQUEST: dict[str, Any] = {
    "userId": "30000000-0000-4000-8000-000000000003",
    "onlineMeetingId": "MSo1 ü.",
}
PLAIN = json.dumps(REQUEST, ensure_ascii=False).encode()
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "event-1",
    "source": "/clinic",
    "type": "booking",
    "traceparent": TRACEPARENT,
    "data": REQUEST,
}
EVENT_GRID = {
    "id": "event-2",
    "eventType": "booking",
    "subject": "x",
    "eventTime": "2026-09-01T10:00:00Z",
    "dataVersion": "1",
    "topic": "/x",
    "data": REQUEST,
}


def as_json(value: object) -> bytes:
    """Write JSON as most workflows do."""
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    "body",
    [
        PLAIN,
        b"\xef\xbb\xbf" + PLAIN,
        b" \r\n" + PLAIN + b"\n",
        base64.b64encode(PLAIN),
        base64.b64encode(b"\xef\xbb\xbf" + PLAIN),
        base64.b64encode(PLAIN) + b"\n",
        base64.encodebytes(PLAIN),
        re.sub(rb"(.{20})", rb"\1\r\n", base64.b64encode(PLAIN)),
        base64.b64encode(PLAIN).rstrip(b"="),
        base64.b64encode(base64.b64encode(PLAIN)),
        str(base64.b64encode(PLAIN)).encode(),
        PLAIN.decode().encode("utf-16"),
        PLAIN.decode().encode("utf-16-le"),
        base64.b64encode(PLAIN.decode().encode("utf-16-le")),
        as_json({"$content-type": "text/plain", "$content": base64.b64encode(PLAIN).decode()}),
        as_json(as_json(PLAIN.decode()).decode()),
        as_json(base64.b64encode(PLAIN).decode()),
        as_json(PLAIN.decode()),
        base64.b64encode(as_json(PLAIN.decode())),
        as_json(CLOUD_EVENT),
        base64.b64encode(as_json(CLOUD_EVENT)),
        as_json(CLOUD_EVENT | {"data": PLAIN.decode()}),
        as_json(as_json(CLOUD_EVENT).decode()),
        as_json(
            {name: value for name, value in CLOUD_EVENT.items() if name != "data"}
            | {"data_base64": base64.b64encode(PLAIN).decode()}
        ),
        as_json(
            {name: value for name, value in CLOUD_EVENT.items() if name != "data"}
            | {"data_base64": base64.encodebytes(PLAIN).decode().rstrip("=\n")}
        ),
        as_json(EVENT_GRID),
        base64.b64encode(as_json(EVENT_GRID)),
        as_json(EVENT_GRID | {"data": PLAIN.decode()}),
    ],
)
def test_a_request_is_read_from_every_form(body: bytes) -> None:
    """Bare or in an envelope, plain or base64, as JSON or as a string that holds JSON."""
    incoming = decode(body)
    assert incoming.document.value == REQUEST
    assert incoming.document.field_errors == ()


def test_base64url_is_read_as_well() -> None:
    """It differs only where a text has certain letters."""
    body = base64.urlsafe_b64encode('{"context": "ÿÿþ"}'.encode())
    assert b"-" in body or b"_" in body
    assert decode(body).document.value == {"context": "ÿÿþ"}


@pytest.mark.parametrize(
    ("body", "request_id"),
    [
        (as_json(CLOUD_EVENT), "event-1"),
        (as_json(EVENT_GRID), "event-2"),
        (base64.b64encode(as_json(EVENT_GRID)), "event-2"),
        (PLAIN, hashlib.sha256(PLAIN).hexdigest()),
        (base64.b64encode(PLAIN), hashlib.sha256(base64.b64encode(PLAIN)).hexdigest()),
    ],
)
def test_a_request_without_an_id_gets_the_envelopes_or_the_hash_of_its_bytes(
    body: bytes, request_id: str
) -> None:
    """So it has the same id if the message comes again."""
    assert decode(body).default_request_id == decode(body).default_request_id == request_id


@pytest.mark.parametrize("bad", [7, "", "a b", "x" * 129, None, ["x"]])
def test_instead_of_an_envelopes_id_that_is_no_request_id_the_hash_is_used(bad: object) -> None:
    """The id would reach logs and headers."""
    body = as_json(CLOUD_EVENT | {"id": bad})
    assert decode(body).default_request_id == hashlib.sha256(body).hexdigest()


def test_a_traceparent_is_read_where_it_is_valid() -> None:
    """From a CloudEvents envelope."""
    assert decode(as_json(CLOUD_EVENT)).traceparent == TRACEPARENT
    assert decode(as_json(CLOUD_EVENT | {"traceparent": "x"})).traceparent is None
    assert decode(as_json(CLOUD_EVENT | {"traceparent": 1})).traceparent is None
    assert decode(PLAIN).traceparent is None


def test_field_errors_of_a_message_are_kept_for_the_requests_checks() -> None:
    """The message can be decoded, so the request gets an outcome."""
    duplicate = b'{"userId":"a","userId":"b"}'
    assert [field_error.pointer for field_error in decode(duplicate).document.field_errors] == [
        "/userId"
    ]
    event = b'{"specversion":"1.0","id":"e","data":' + duplicate + b"}"
    assert [field_error.pointer for field_error in decode(event).document.field_errors] == [
        "/data/userId"
    ]


@pytest.mark.parametrize("raw", ["\n", "\t", "\x00"])
@pytest.mark.parametrize("wrap", [bytes, base64.b64encode, lambda text: as_json(text.decode())])
def test_control_characters_in_texts_are_read_as_they_are(
    raw: str, wrap: Callable[[bytes], bytes]
) -> None:
    """Flows insert texts into JSON without escapes."""
    text = json.dumps({**REQUEST, "context": "a | b"}).replace(" | ", raw).encode()
    incoming = decode(wrap(text))
    assert incoming.document.value == {**REQUEST, "context": f"a{raw}b"}
    assert incoming.document.field_errors == ()


@pytest.mark.parametrize(
    "body",
    [
        b'{"requestId": "booking-1", "context": "Say "hello"", "userId": "a"}',
        base64.b64encode(b'{"requestId": "booking-1", "context": {"a": 1}}')[:-6],
        as_json('{"requestId" : "booking-1", "requestId":"booking-1", "context": }'),
        as_json(CLOUD_EVENT | {"id": "booking-1", "data": '{"requestId": "other", }'}),
    ],
)
def test_a_message_that_is_not_json_keeps_the_id_that_can_be_read(body: bytes) -> None:
    """The envelope's id, else the only id in the text."""
    with pytest.raises(MessageUndecodable) as raised:
        decode(body)
    assert raised.value.request_id == "booking-1"


@pytest.mark.parametrize(
    "body",
    [
        b'{"requestId": "one", "context": {"requestId": "two"}, }',
        b'{"requestId": "with blanks", }',
        b'{"requestId": 7, }',
    ],
)
def test_an_ambiguous_id_is_not_used(body: bytes) -> None:
    """Another request must not be reported as failed."""
    with pytest.raises(MessageUndecodable) as raised:
        decode(body)
    assert raised.value.request_id is None


@pytest.mark.parametrize("data", [None, 1, [], "[]"])
def test_an_envelope_without_a_request_is_decoded(data: object) -> None:
    """The request is refused later, with the event's id."""
    incoming = decode(as_json(CLOUD_EVENT | {"data": data}))
    assert incoming.default_request_id == "event-1"
    assert not isinstance(incoming.document.value, dict)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"{",
        b"\xff\xfe",
        b"null",
        "{".encode("utf-16"),
        base64.b64encode(b"hello"),
        base64.b64encode(base64.b64encode(base64.b64encode(PLAIN))),
        as_json({"$content-type": "application/json", "$content": "hello"}),
        base64.b64encode(PLAIN)[:-4],
        b'"hello"',
        as_json(CLOUD_EVENT | {"data": "hello"}),
        as_json(CLOUD_EVENT | {"data_base64": "!"}),
        as_json(CLOUD_EVENT | {"data_base64": "é"}),
        as_json(CLOUD_EVENT | {"data_base64": base64.b64encode(b"hello").decode()}),
    ],
)
def test_a_message_without_json_cannot_be_decoded(body: bytes) -> None:
    """The error does not quote it."""
    with pytest.raises(MessageUndecodable) as raised:
        decode(body)
    assert "hello" not in str(raised.value)


FIRST, SECOND = {**REQUEST, "requestId": "q1"}, {"onlineMeetingId": "MSo2", "userId": "a@b.c"}


@pytest.mark.parametrize(
    "body",
    [
        as_json([FIRST, SECOND]),
        base64.b64encode(as_json([FIRST, SECOND])),
        as_json(as_json([FIRST, SECOND]).decode()),
        as_json([CLOUD_EVENT | {"data": FIRST}, SECOND]),
        as_json([as_json(FIRST).decode(), SECOND]),
        as_json(CLOUD_EVENT | {"data": [FIRST, SECOND]}),
        as_json(CLOUD_EVENT | {"data": as_json([FIRST, SECOND]).decode()}),
    ],
)
def test_a_list_is_read_request_by_request(body: bytes) -> None:
    """Flows with Split On off post lists: bare, in one envelope, or each item in its own."""
    items = decode(body).items
    assert [item.document.value for item in items] == [FIRST, SECOND]
    assert items[0].correlation.request_id == "q1"


def test_requests_of_a_list_have_ids_of_their_own_wherever_they_stand() -> None:
    """Their own, the envelope's, or a hash of their content, but never their place in the list."""
    third = CLOUD_EVENT | {"id": "event-3"}
    before = decode(as_json([FIRST, SECOND, third])).items
    reordered = dict(reversed(SECOND.items()))
    after = decode(as_json([third, reordered, FIRST, FIRST])).items

    ids = [item.correlation.request_id for item in before]
    assert ids[0::2] == ["q1", "event-3"]
    assert len(ids[1]) == 64
    assert [item.correlation.request_id for item in after] == [ids[2], ids[1], ids[0], ids[0]]


def test_a_list_in_an_envelope_keeps_its_trace() -> None:
    """All of its requests belong to one event."""
    incoming = decode(as_json(CLOUD_EVENT | {"data": [FIRST, SECOND]}))
    assert {item.traceparent for item in incoming.items} == {TRACEPARENT}
    assert incoming.default_request_id == "event-1"


@pytest.mark.parametrize(
    "list_of", [lambda items: items, lambda items: b'{"specversion":"1","data":' + items + b"}"]
)
def test_a_field_error_in_a_list_belongs_to_its_own_request(
    list_of: Callable[[bytes], bytes],
) -> None:
    """With a pointer into that request."""
    twice = b'{"requestId":"q2","userId":"a","userId":"b"}'
    undecodable = as_json(CLOUD_EVENT | {"data": "hello"})
    body = list_of(b"[" + b",".join([as_json(FIRST), twice, undecodable, b"7"]) + b"]")

    first, second, third, fourth = decode(body).items

    assert first.document.field_errors == ()
    assert [error.pointer for error in second.document.field_errors] == ["/userId"]
    assert second.correlation.request_id == "q2"
    assert third.correlation.request_id == "event-1"
    assert third.document.field_errors
    assert fourth.document.value == 7


@pytest.mark.parametrize("wrap", [list, lambda items: CLOUD_EVENT | {"data": items}])
def test_a_list_that_is_too_long_is_undecodable(wrap: Callable[[list[Any]], Any]) -> None:
    """So many valid requests do not fit into a message."""
    assert len(decode(as_json(wrap([{}] * 1000))).items) == 1000
    with pytest.raises(MessageUndecodable, match=r"holds 1,001 items; at most 1,000 fit"):
        decode(as_json(wrap([{}] * 1001)))


BYTES = st.one_of(
    st.binary(),
    st.binary().map(base64.b64encode),
    st.text().map(as_json),
    st.builds(
        lambda name, value: as_json(CLOUD_EVENT | {name: value}),
        st.sampled_from(["data", "data_base64", "id", "traceparent"]),
        st.one_of(st.text(), st.integers(), st.none(), st.lists(st.text())),
    ),
)


@given(BYTES)
def test_any_bytes_are_decoded_or_undecodable(body: bytes) -> None:
    """With another exception the message would come back for ever."""
    try:
        incoming = decode(body)
    except MessageUndecodable:
        return
    assert incoming.default_request_id


def test_a_message_is_not_shown() -> None:
    """It may hold a link."""
    assert "MSo1" not in repr(decode(PLAIN))


def written(outcome: Outcome, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - see the signature
    """Write an outcome at a certain time, after two attempts, and read it back."""
    text = messages.write_event(
        messages.to_event(outcome, time=1_790_000_000.125, attempts=2, **options)
    )
    assert text.isascii()
    event: dict[str, Any] = json.loads(text)
    return event


RESOLVED = Outcome(
    request_id="r-1",
    context={"booking": "ü"},
    members={"requestId": "r-1", "virtualAppointmentJoinWebUrl": "https://x", "context": "old"},
)


def test_a_result_is_a_cloud_event() -> None:
    """CloudEvents 1.0, structured, ASCII."""
    assert written(RESOLVED, traceparent=TRACEPARENT) == {
        "specversion": "1.0",
        "type": "virtual-appointment.join-link.resolved",
        "id": "r-1",
        "source": "/virtual-appointment/queue",
        "time": "2026-09-21T14:13:20.125+00:00",
        "datacontenttype": "application/json",
        "traceparent": TRACEPARENT,
        "data": {
            "requestId": "r-1",
            "virtualAppointmentJoinWebUrl": "https://x",
            "context": {"booking": "ü"},
            "attempts": 2,
            "source": None,
        },
    }


def test_a_failure_is_a_cloud_event_with_the_problem() -> None:
    """And with the context, by which the caller recognizes it."""
    outcome = Outcome.of(
        Correlation(request_id="r-1", context=[1]), MeetingNotFound("Gone.", fix="Look.")
    )
    event = written(outcome)
    assert event["type"] == "virtual-appointment.join-link.failed"
    assert "traceparent" not in event
    assert event["data"] == {
        "type": "urn:virtual-appointment:meeting_not_found",
        "title": "The meeting was not found",
        "status": 404,
        "detail": "Gone.",
        "message": "Gone.",
        "code": "meeting_not_found",
        "requestId": "r-1",
        "fix": "Look.",
        "context": [1],
        "attempts": 2,
        "source": None,
    }


def test_a_webhooks_result_names_its_source() -> None:
    """In the envelope and in the data."""
    event = written(RESOLVED, source="cal")
    assert event["source"] == "/virtual-appointment/webhooks/cal"
    assert event["data"]["source"] == "cal"


ALTERNATIVES = ({"joinWebUrl": "https://teams.example/ü"}, {"userId": "a@b.example"})


def test_alternatives_are_written_into_the_apps_own_envelope() -> None:
    """As a string, because CloudEvents attributes cannot be lists."""
    text = messages.write_request(REQUEST, request_id="r", alternatives=ALTERNATIVES)
    assert text.isascii()
    assert isinstance(json.loads(text)["alternatives"], str)
    assert decode(text.encode()).alternatives == ALTERNATIVES


@pytest.mark.parametrize(
    "body",
    [
        as_json({**REQUEST, "alternatives": json.dumps(ALTERNATIVES)}),
        as_json(CLOUD_EVENT | {"alternatives": json.dumps(ALTERNATIVES)}),
        as_json(EVENT_GRID | {"alternatives": json.dumps(ALTERNATIVES)}),
    ],
)
def test_alternatives_are_read_only_from_the_apps_own_envelope(body: bytes) -> None:
    """A caller's request has exactly one reference."""
    assert decode(body).alternatives == ()


@pytest.mark.parametrize("text", [7, "", "{", "7", "[7]", '[{}, {"a": 1, "b": 2}]', "[[]]", None])
def test_malformed_alternatives_are_ignored(text: object) -> None:
    """This app has not written them. The request itself is read."""
    event = json.loads(messages.write_request(REQUEST, request_id="r"))
    incoming = decode(as_json(event | {"alternatives": text}))
    assert (incoming.alternatives, incoming.document.value) == ((), REQUEST)


@pytest.mark.parametrize("change", [{"version": None}, {"type": "another"}])
def test_what_the_app_notes_needs_its_type_and_version(change: dict[str, object]) -> None:
    """The alternatives, the caller, the source and the history of any other event are not its."""
    text = messages.write_request(
        REQUEST,
        request_id="r",
        source="calcom",
        caller_name="key",
        history=History(attempts=1, repeats=1, last_error="graph_timeout", first_seen=1.0),
        alternatives=ALTERNATIVES,
    )
    event = {name: value for name, value in (json.loads(text) | change).items() if value}
    read = decode(as_json(event))
    assert (read.alternatives, read.caller_name, read.source) == ((), messages.QUEUE_CALLER, None)
    assert read.history == History()


NO_CALLERS = [None, 7, "user:dr.meyer", "dr.meyer@clinic.example", "https://teams.microsoft.com/x"]
NO_SOURCES = [None, 7, "", "dr.meyer@clinic.example", "https://teams.microsoft.com/x"]


@pytest.mark.parametrize("caller", NO_CALLERS)
@pytest.mark.parametrize("source", NO_SOURCES)
def test_a_message_that_names_no_caller_is_the_queues(caller: object, source: object) -> None:
    """Anybody may have written it, and events show a caller and a source as they are."""
    event = json.loads(messages.write_request(REQUEST, request_id="r"))
    uri = f"/virtual-appointment/webhooks/{source}" if isinstance(source, str) else source

    incoming = decode(as_json(event | {"caller": caller, "source": uri}))

    assert (incoming.caller_name, incoming.source) == (messages.QUEUE_CALLER, None)


def test_of_an_alternative_that_was_pasted_only_the_link_is_written() -> None:
    """The text around it may be about a patient, and long."""
    short = "https://teams.microsoft.com/meet/2345678901234?p=AbC"
    pasted = [{"joinWebUrl": f"Zoë Canary, Monday at ten\r\nJoin: {short}"}]
    text = messages.write_request(REQUEST, request_id="r", alternatives=pasted)
    assert decode(text.encode()).alternatives == ({"joinWebUrl": short},)


def test_alternatives_take_a_bounded_part_of_a_message() -> None:
    """The best are kept. The request itself needs the rest."""
    many = [{"userId": f"{'ü' * 200}@{number}.example"} for number in range(20)]
    without = messages.write_request(REQUEST, request_id="r")
    text = messages.write_request(REQUEST, request_id="r", alternatives=many)
    kept = decode(text.encode()).alternatives
    assert 0 < len(kept) < len(many)
    assert list(kept) == many[: len(kept)]
    assert len(text) - len(without) < 4200

    too_long = [{"joinWebUrl": "x" * 5000}]
    assert (
        decode(
            messages.write_request(REQUEST, request_id="r", alternatives=too_long).encode()
        ).alternatives
        == ()
    )


def test_a_written_event_can_be_read_as_a_message() -> None:
    """A workflow may forward it to this decoder."""
    event = decode(json.dumps(written(RESOLVED)).encode())
    assert event.default_request_id == "r-1"
