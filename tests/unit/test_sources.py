"""Sources: what WEBHOOK_SOURCES may hold, and what a source finds in a booking event."""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.configuration import shown_name
from shared.core.errors import PayloadTooLarge
from shared.core.strict_json import Document, Json
from shared.handlers.join_links import MAX_BODY_BYTES
from shared.meetings.models import JoinRequest
from shared.webhooks.mapping import FIELDS, BodyUndecodable, decode
from shared.webhooks.presets import PRESETS
from shared.webhooks.signatures import BodyHmac, SharedToken, Standard, Timestamped
from shared.webhooks.sources import Source, read_sources
from tests.unit import bookings
from tests.unit.bookings import Case, Place

DOCTOR = "11111111-1111-4111-8111-111111111111"
DEFAULT = "22222222-2222-4222-8222-222222222222"
IN_LINK = "33333333-3333-4333-8333-333333333333"
SHORT = "https://teams.microsoft.com/meet/23456789012345?p=a"
CONTEXT = quote(json.dumps({"Tid": DEFAULT, "Oid": IN_LINK}))
LONG = f"https://teams.microsoft.com/l/meetup-join/19%3ameeting_x%40thread.v2/0?context={CONTEXT}"
PLACE = Place(
    link=SHORT, long_link=LONG, meeting_id="MSoxMTExMTExMQ==", organizer="dr.meyer@clinic.example"
)
OWN = {
    "scheme": "standard",
    "secret": "own",
    "mapping": {
        "userId": "user",
        "organizer": "email",
        "joinWebUrl": "url",
        "onlineMeetingId": "id",
        "joinMeetingId": "number",
        "context": "context",
        "deliveryId": "delivery",
        "when": "kind != 'other'",
    },
}


def source(**members: Any) -> Source:  # noqa: ANN401
    """Read a valid source of one's own."""
    sources = read_sources({"own": {**OWN, **members}})
    assert sources.invalid == {}
    return sources.valid["own"]


def places(value: object, name: str = "own") -> list[str]:
    """Give the pointers of an invalid source's field errors."""
    sources = read_sources({name: value})
    assert sources.valid == {}
    return sorted(field_error.pointer for field_error in sources.invalid[shown_name(name, 1)])


def booking(preset: str) -> Any:  # noqa: ANN401
    """Read an event of a booking system."""
    return PLACE.fill(bookings.read(preset))


def preset(name: str, **members: Any) -> Source:  # noqa: ANN401
    """Read a source that is its preset and a secret."""
    sources = read_sources({name: {"preset": name, "secret": "s", **members}})
    assert sources.invalid == {}
    return sources.valid[name]


def test_every_preset_is_a_valid_source() -> None:
    """With a secret's name it is complete, and has its system's signature scheme."""
    schemes = {name: type(preset(name).scheme) for name in PRESETS}
    assert schemes == {
        "calcom": BodyHmac,
        "calendly": Timestamped,
        "msbookings": SharedToken,
        "standard": Standard,
    }


EXPECTED: dict[str, dict[str, Json]] = {
    "calcom": {
        "userId": "dr.meyer@clinic.example",
        "onlineMeetingId": "MSoxMTExMTExMQ==",
        "language": "de",
        "context": {
            "bookingId": "bFJeNb2uX8ANpT3JL5EfXw",
            "replaces": None,
            "start": "2026-11-23T09:00:00Z",
            "end": "2026-11-23T09:30:00Z",
            "attendees": [{"name": "Zoë", "email": "zoe@patient.example"}],
        },
    },
    "calendly": {
        "userId": "dr.meyer@clinic.example",
        "joinWebUrl": SHORT,
        "context": {
            "bookingId": "https://api.calendly.com/scheduled_events/EEEE/invitees/IIII",
            "replaces": None,
            "start": "2026-11-23T09:00:00.000000Z",
            "end": "2026-11-23T09:30:00.000000Z",
            "attendees": [{"name": "Zoë", "email": "zoe@patient.example"}],
        },
    },
    "msbookings": {
        "userId": IN_LINK,
        "joinWebUrl": booking("msbookings")["JoinWebURL"],
        "context": {
            "bookingId": "AAMk-appointment",
            "replaces": None,
            "start": "2026-11-23T09:00:00Z",
            "end": None,
            "attendees": [{"name": "Zoë", "email": "zoe@patient.example"}],
        },
    },
    "standard": {
        "userId": DOCTOR,
        "joinMeetingId": "234567890123",
        "language": "pt-BR",
        "context": {"appointment": 42},
    },
}


def assert_context_of_the_presets(context: Json | None) -> None:
    """Check that it has the members that docs/webhooks.md names, which a reader looks for."""
    assert isinstance(context, dict)
    assert context.keys() == {"bookingId", "replaces", "start", "end", "attendees"}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_finds_the_meeting_where_its_system_puts_it(name: str) -> None:
    """The result is a valid request."""
    mapper = preset(name).mapper
    assert mapper.failed_condition(booking(name)) is None

    found = mapper.read(booking(name))

    assert (found.members, found.missing) == (EXPECTED[name], None)
    if name != "standard":  # whose sender chooses the context
        assert_context_of_the_presets(found.members["context"])
    JoinRequest.from_document(Document(dict(found.members), ()), request_id="r")


def test_cal_coms_link_is_used_if_there_is_no_id() -> None:
    """In each of Cal.com's places for it. Links of other systems are ignored."""
    event = booking("calcom")
    del event["payload"]["videoCallData"]
    mapper = preset("calcom").mapper
    assert mapper.read(event).members["joinWebUrl"] == SHORT

    event["payload"]["metadata"] = {"videoCallUrl": "https://app.cal.com/video/1"}
    event["payload"]["location"] = LONG
    assert mapper.read(event).members["joinWebUrl"] == LONG


def test_a_teams_link_may_begin_with_a_capital() -> None:
    """Telephones write the first letter of a field so."""
    event = booking("calendly")
    link = "Teams.microsoft.com/meet/2345678901234?p=AbC"
    event["payload"]["scheduled_event"]["location"] = {"type": "custom", "location": link}
    mapper = preset("calendly").mapper
    assert mapper.failed_condition(event) is None
    assert mapper.read(event).members["joinWebUrl"] == link


def test_each_condition_of_a_preset_has_a_booking_that_it_ignores() -> None:
    """Among the cases below."""
    decided = {(case.system, case.expect.get("ignored")) for case in bookings.cases()}
    conditions = {(name, each) for name in PRESETS for each in preset(name).mapper.conditions}

    assert conditions <= decided


@pytest.mark.parametrize("case", bookings.cases(), ids=str)
def test_a_preset_recognizes_bookings_for_teams(case: Case) -> None:
    """By a named condition, and whether the link is missing."""
    mapper = preset(case.system).mapper
    event, expect = case.event(PLACE), PLACE.fill(case.expect)

    assert mapper.failed_condition(event) == expect.get("ignored")

    if "ignored" not in expect:
        found = mapper.read(event)
        assert found.missing == expect.get("missing")
        members = {name: found.members.get(name) for name in expect.get("members", ())}
        assert members == expect.get("members", {})
        assert found.left_out == tuple(expect.get("left_out", ()))
        if "alternatives" in expect:
            assert list(found.alternatives) == expect["alternatives"]
        context = found.members["context"]
        assert_context_of_the_presets(context)
        assert isinstance(context, dict)
        assert context.items() >= expect.get("context", {}).items()


def test_a_group_booking_of_the_connector_names_its_customers() -> None:
    """A booking for one has its customer beside it; one for several has them in a list."""
    mapper = preset("msbookings").mapper
    one = booking("msbookings")
    several = {name: one[name] for name in one if not name.startswith("Customer")}
    several["Customers"] = [
        {"Id": str(n), "Name": f"N{n}", "Email": f"{n}@x.example"} for n in range(12)
    ]

    contexts = [mapper.read(event).members["context"] for event in (one, several)]

    assert isinstance(contexts[0], dict)
    assert contexts[0]["attendees"] == [{"name": "Zoë", "email": "zoe@patient.example"}]
    assert isinstance(contexts[1], dict)
    assert contexts[1]["attendees"] == [
        {"name": f"N{n}", "email": f"{n}@x.example"} for n in range(10)
    ]


def test_a_sources_own_members_override_its_preset() -> None:
    """Single expressions in the mapping, whole members elsewhere. Null removes an expression."""
    own = preset(
        "calcom",
        scheme={"type": "token", "header": "X-Key"},
        mapping={"language": None, "context": "payload.uid"},
    )
    found = own.mapper.read(booking("calcom"))
    assert own.scheme == SharedToken(header="x-key")
    assert found.members == {
        "userId": "dr.meyer@clinic.example",
        "onlineMeetingId": "MSoxMTExMTExMQ==",
        "context": "bFJeNb2uX8ANpT3JL5EfXw",
    }


@pytest.mark.parametrize(
    ("event", "organizer"),
    [
        ({"user": DOCTOR, "url": LONG, "email": "known@c.example"}, DOCTOR),
        ({"url": LONG, "email": "known@c.example"}, IN_LINK),
        ({"url": SHORT, "email": " Known@C.example"}, DOCTOR),
        ({"url": SHORT, "email": "Other@C.example"}, "other@c.example"),
        ({"url": SHORT}, DEFAULT),
        ({"url": SHORT, "email": "nobody"}, DEFAULT),
        ({"url": LONG, "id": "MSo1"}, IN_LINK),
        ({"url": SHORT, "email": "mailto:Other@C.example"}, "other@c.example"),
        ({"url": SHORT, "email": "Dr. O <Known@C.example>"}, DOCTOR),
        ({"url": SHORT, "email": "\u202aother@c.example\u202c"}, "other@c.example"),
        ({"url": SHORT, "email": IN_LINK}, IN_LINK),
    ],
)
def test_the_organizer_is_the_first_that_is_known(event: Json, organizer: str) -> None:
    """Mapped, the Teams link's, the source's list, by address, the default."""
    own = source(organizers={"known@C.EXAMPLE": DOCTOR}, defaultUserId=DEFAULT)
    assert own.mapper.read(event).members["userId"] == organizer


def test_a_missing_organizer_and_a_missing_meeting_are_reported() -> None:
    """A malformed address is kept for the request's checks."""
    mapper = source().mapper
    assert mapper.read({"url": SHORT}).missing == "organizer"
    assert mapper.read({"email": "a@b.example"}).missing == "meeting"
    assert mapper.read({"url": SHORT, "email": "nobody"}).members["userId"] == "nobody"


def test_an_invalid_reference_is_reported_before_a_missing_organizer() -> None:
    """It is not true that this link names no organizer."""
    two_meetings = f"{LONG} {LONG.replace('meeting_', 'meeting_x')}"
    found = source().mapper.read({"url": two_meetings})
    assert (found.missing, found.members) == (None, {"joinWebUrl": two_meetings})


@pytest.mark.parametrize("number", [2345678901234, 2.345678901234e12, "2345678901234"])
def test_a_number_is_read_as_a_text(number: Json) -> None:
    """Spreadsheets and flows make numbers of what looks like one."""
    found = source().mapper.read({"user": DOCTOR, "number": number})
    assert found.members["joinMeetingId"] == "2345678901234"


def test_the_cheapest_reference_is_taken_first() -> None:
    """A request has exactly one. The others are tried if it cannot be resolved."""
    event: dict[str, Json] = {"user": DOCTOR, "id": "MSo1", "url": [LONG, SHORT], "number": 234567}
    found = source().mapper.read(event)
    assert found.members == {"userId": DOCTOR, "onlineMeetingId": "MSo1"}
    assert found.alternatives == (
        {"joinWebUrl": LONG},
        {"joinWebUrl": SHORT},
        {"joinMeetingId": "234567"},
    )


@pytest.mark.parametrize(
    ("references", "first", "others"),
    [
        ({"id": ".", "url": SHORT}, {"joinWebUrl": SHORT}, ()),
        ({"id": "x" * 1025, "url": ["https://zoom.us/j/1", SHORT]}, {"joinWebUrl": SHORT}, ()),
        ({"url": [SHORT, SHORT, None, ""]}, {"joinWebUrl": SHORT}, ()),
        ({"url": "https://zoom.us/j/1", "number": "x"}, {"joinWebUrl": "https://zoom.us/j/1"}, ()),
        ({"url": [], "number": 234567}, {"joinMeetingId": "234567"}, ()),
    ],
)
def test_an_invalid_reference_is_kept_only_if_there_is_no_valid_one(
    references: dict[str, Json], first: dict[str, Json], others: tuple[dict[str, Json], ...]
) -> None:
    """So that its error can be reported."""
    found = source().mapper.read({"user": DOCTOR, **references})
    assert found.members == {"userId": DOCTOR, **first}
    assert found.alternatives == others


@pytest.mark.parametrize(
    ("event", "first", "others"),
    [
        ({"email": ["a@c.example", "B@C.example"]}, "a@c.example", ["b@c.example"]),
        ({"email": ["nobody", "known@c.example", "a@c.example"]}, DOCTOR, ["a@c.example"]),
        ({"email": ["a@c.example", "A@c.example", None]}, "a@c.example", []),
        ({"email": "a@c.example; B <b@c.example>"}, "a@c.example", ["b@c.example"]),
        ({"email": ["nobody", "x"]}, DEFAULT, []),
        ({"email": []}, DEFAULT, []),
        ({"email": ["a@c.example", "b@c.example"], "user": DOCTOR}, DOCTOR, []),
        ({"email": ["a@c.example", "b@c.example"], "url": [SHORT, LONG]}, IN_LINK, []),
    ],
)
def test_several_addresses_are_tried_in_turn(
    event: dict[str, Json], first: str, others: list[str]
) -> None:
    """Unless the organizer is certain. The default is not tried after an address."""
    own = source(organizers={"known@C.EXAMPLE": DOCTOR}, defaultUserId=DEFAULT)
    found = own.mapper.read({"url": SHORT, **event})
    assert found.members["userId"] == first
    assert [each["userId"] for each in found.alternatives if "userId" in each] == others


def test_a_member_finds_six_values_at_most() -> None:
    """More would not be tried."""
    many: list[Json] = [f"{number}@c.example" for number in range(1000)]
    links: list[Json] = [f"{SHORT}{number}" for number in range(1000)]
    found = source().mapper.read({"url": links, "email": many})
    assert [set(each) for each in found.alternatives] == [{"joinWebUrl"}] * 5 + [{"userId"}] * 5


@pytest.mark.parametrize(
    "sent",
    [
        1700000000,
        1700000000.0,
        1700000000000,
        "1700000000",
        "1700000000000",
        "2023-11-14T22:13:20Z",
    ],
)
def test_the_time_of_an_event_may_be_a_text(sent: Json) -> None:
    """A form has only texts."""
    mapper = source(mapping={**OWN["mapping"], "sentAt": "sent"}).mapper  # type: ignore[dict-item]
    assert mapper.read({"sent": sent}).sent_at == 1700000000


@pytest.mark.parametrize("sent", ["2023-11-14T22:13:20", "20231114", "now", "", None, True, {}])
def test_another_value_is_no_time(sent: Json) -> None:
    """A time without an offset could be any of 26 hours."""
    mapper = source(mapping={**OWN["mapping"], "sentAt": "sent"}).mapper  # type: ignore[dict-item]
    assert mapper.read({"sent": sent}).sent_at is None


@pytest.mark.parametrize(
    ("value", "delivery_id"),
    [
        ("one", "one"),
        (7, "7"),
        (["a", 1], '["a", 1]'),
        (["a", None], None),
        ([], None),
        (None, None),
        ("", None),
        ({"a": 1}, None),
    ],
)
def test_a_delivery_is_named_by_a_value_or_several(value: Json, delivery_id: str | None) -> None:
    """But by none if one of several is missing, because other events would get the same id."""
    assert source().mapper.read({"delivery": value}).delivery_id == delivery_id


def test_cal_com_s_deliveries_differ_by_event_booking_and_time() -> None:
    """A reschedule has another id than the creation."""
    event = booking("calcom")
    mapper = preset("calcom").mapper
    first = mapper.read(event).delivery_id
    assert first == '["BOOKING_CREATED", "bFJeNb2uX8ANpT3JL5EfXw", "2026-11-22T09:00:00.000Z"]'
    assert mapper.read({**event, "triggerEvent": "BOOKING_RESCHEDULED"}).delivery_id != first


@pytest.mark.parametrize(
    ("when", "payload", "for_us"),
    [
        ("kind", {"kind": 0}, True),
        ("kind", {"kind": False}, False),
        ("kind", {"kind": ""}, False),
        ("kind", {"kind": []}, False),
        ("kind", {}, False),
        ("starts_with(kind, 'a')", {"kind": 1}, False),
        ("kind < `2`", {"kind": "text"}, False),
        (None, {}, True),
    ],
)
def test_an_event_is_handled_if_its_conditions_are_true(
    when: str | None, payload: Json, *, for_us: bool
) -> None:
    """By JMESPath's rules of truth. A failing expression is false."""
    mapping = {**OWN["mapping"], "when": when}  # type: ignore[dict-item]
    failed = source(mapping=mapping).mapper.failed_condition(payload)
    assert failed == (None if for_us else "when")


def test_the_first_condition_that_is_false_is_named() -> None:
    """So the log says why an event was ignored."""
    when = {"booked": "kind == 'booked'", "video": "place == 'video'", "gone": None}
    mapper = source(mapping={**OWN["mapping"], "when": when}).mapper  # type: ignore[dict-item]
    assert mapper.failed_condition({"kind": "booked", "place": "video"}) is None
    assert mapper.failed_condition({"kind": "booked", "place": "here"}) == "video"
    assert mapper.failed_condition({}) == "booked"


@pytest.mark.parametrize(
    ("members", "expected", "left_out"),
    [
        ({"language": "de_DE"}, {"language": "de-DE"}, ()),
        ({"language": "pt_BR.UTF-8@x"}, {"language": "pt-BR"}, ()),
        ({"language": " fr "}, {"language": "fr"}, ()),
        ({"language": ""}, {}, ()),
        ({"language": "C."}, {}, ("language",)),
        ({"language": ["de"]}, {}, ("language",)),
        ({"language": "x" * 65}, {}, ("language",)),
        ({"context": "x" * 4094}, {"context": "x" * 4094}, ()),
        ({"context": "x" * 4095}, {}, ("context",)),
        ({"context": None}, {}, ()),
        ({"language": 7, "context": "x" * 5000}, {}, ("language", "context")),
    ],
)
def test_an_invalid_optional_member_is_left_out(
    members: dict[str, Json], expected: dict[str, Json], left_out: tuple[str, ...]
) -> None:
    """The booking is more important."""
    mapper = source(mapping={**OWN["mapping"], "language": "language"}).mapper  # type: ignore[dict-item]
    found = mapper.read({"user": DOCTOR, "id": "MSo1", **members})
    assert found.members == {"userId": DOCTOR, "onlineMeetingId": "MSo1", **expected}
    assert found.left_out == left_out


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
_PATHS = st.sampled_from(
    ["payload", "triggerEvent", "event", "data", "JoinWebURL", "url", "email", "delivery"]
)


@given(payload=st.dictionaries(_PATHS, _JSON), name=st.sampled_from([*PRESETS, "own"]))
def test_no_payload_makes_a_mapping_fail(payload: dict[str, Json], name: str) -> None:
    """For any content."""
    mapper = source().mapper if name == "own" else preset(name).mapper
    mapper.failed_condition(payload)
    assert mapper.read(payload).members.keys() <= FIELDS


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("[to_number('nan')]", [None]),
        ("[to_number('1e999')]", [None]),
        ("[to_number('9007199254740993')]", [None]),
        ("[to_number('9007199254740991')]", [2**53 - 1]),
        ("[to_number('-0.5')]", [-0.5]),
        ("[&name]", [None]),
        ("[`NaN`]", [None]),
    ],
)
def test_the_result_of_a_mapping_is_json(expression: str, found: Json) -> None:
    """JMESPath has values that JSON does not have. They become null."""
    mapping = {**OWN["mapping"], "context": expression}  # type: ignore[dict-item]
    assert source(mapping=mapping).mapper.read({"url": LONG}).members["context"] == found


def with_scheme(kind: str, **options: object) -> dict[str, object]:
    """Make a source of one's own that signs in this way."""
    return {**OWN, "scheme": {"type": kind, **options}}


def with_mapping(**mapping: object) -> dict[str, object]:
    """Make a source of one's own with this mapping."""
    return {**OWN, "mapping": mapping}


FAULTY: list[tuple[object, list[str]]] = [
    (None, ["", "/mapping", "/scheme", "/secret"]),
    ([], ["", "/mapping", "/scheme", "/secret"]),
    ({**OWN, "surprise": 1}, ["/#4"]),
    ({**OWN, "preset": "unknown"}, ["/preset"]),
    ({"preset": "calcmo", "secret": "s"}, ["/preset"]),
    ({"preset": ["calcom"], "secret": "s"}, ["/preset"]),
    ({**OWN, "secret": "no/slash"}, ["/secret"]),
    ({**OWN, "secret": 7}, ["/secret"]),
    ({**OWN, "reply": "later"}, ["/reply"]),
    ({**with_scheme("token", header="x"), "reply": "inline"}, ["/reply"]),
    ({**with_scheme("body-hmac", header="x"), "reply": "inline"}, ["/mapping/sentAt"]),
    (
        {"preset": "calcom", "secret": "s", "reply": "inline", "mapping": {"sentAt": None}},
        ["/mapping/sentAt"],
    ),
    ({"preset": "msbookings", "secret": "s", "reply": "inline"}, ["/reply"]),
    ({**OWN, "organizers": {"a@b": "no-guid"}}, ["/organizers"]),
    ({**OWN, "organizers": []}, ["/organizers"]),
    ({**OWN, "defaultUserId": "me"}, ["/defaultUserId"]),
    ({**OWN, "scheme": "md5"}, ["/scheme/type"]),
    ({**OWN, "scheme": {"header": "x"}}, ["/scheme/type"]),
    (with_scheme("standard", header="x"), ["/scheme/#2"]),
    (with_scheme("standard", toleranceSeconds=0), ["/scheme/toleranceSeconds"]),
    (with_scheme("standard", toleranceSeconds=True), ["/scheme/toleranceSeconds"]),
    (with_scheme("token"), ["/scheme/header"]),
    (with_scheme("token", header="x: y"), ["/scheme/header"]),
    (with_scheme("token", header="x", prefix=1), ["/scheme/prefix"]),
    (with_scheme("body-hmac", header="x", encoding="b64"), ["/scheme/encoding"]),
    (with_scheme("body-hmac", header="x", url="https://ä"), ["/scheme/url"]),
    (with_scheme("timestamped", header="x", timestampUnit="h"), ["/scheme/timestampUnit"]),
    (with_scheme("timestamped", header="x", signatureKey="v 1"), ["/scheme/signatureKey"]),
    (with_scheme("timestamped", header="x", signatureKey="v1,"), ["/scheme/signatureKey"]),
    (with_scheme("timestamped", header="x", signatureKey=""), ["/scheme/signatureKey"]),
    (with_mapping(joinWebUrl="a", joinUrl="b"), ["/mapping/#2"]),
    (with_mapping(joinWebUrl="a["), ["/mapping/joinWebUrl"]),
    (with_mapping(joinWebUrl="a" + "|a" * 2000), ["/mapping/joinWebUrl"]),
    (with_mapping(joinWebUrl="a#"), ["/mapping/joinWebUrl"]),
    (with_mapping(joinWebUrl=""), ["/mapping/joinWebUrl"]),
    (with_mapping(joinWebUrl=7), ["/mapping/joinWebUrl"]),
    (with_mapping(joinWebUrl="a[?nope(@)] | b"), ["/mapping/joinWebUrl"]),
    (with_mapping(joinWebUrl="length(a, b)"), ["/mapping/joinWebUrl"]),
    (with_mapping(joinWebUrl="starts_with(a)"), ["/mapping/joinWebUrl"]),
    (with_mapping(joinWebUrl="join()"), ["/mapping/joinWebUrl"]),
    (with_mapping(when="a"), ["/mapping"]),
    (with_mapping(joinWebUrl="a", when=7), ["/mapping/when"]),
    (with_mapping(joinWebUrl="a", when={"x": "a["}), ["/mapping/when/#1"]),
    (with_mapping(joinWebUrl="a", when={"x": "a", "y": "a["}), ["/mapping/when/#2"]),
    ({"preset": "calcom", "secret": "s", "mapping": {"userId": "a", "x": 1}}, ["/mapping/#2"]),
    (with_mapping(joinWebUrl="a", when={"a b": "a"}), ["/mapping/when/#1"]),
]


@pytest.mark.parametrize(("value", "expected"), FAULTY)
def test_a_field_error_has_a_pointer(value: object, expected: list[str]) -> None:
    """All errors of a source are reported together."""
    assert places(value) == expected


@pytest.mark.parametrize("preset", ["calcom", "calendly", "standard"])
def test_a_preset_may_reply_inline_if_its_events_have_a_time(
    preset: str,
) -> None:
    """In the signature, or for Cal.com in `createdAt`."""
    sources = read_sources({"own": {"preset": preset, "secret": "s", "reply": "inline"}})

    assert sources.invalid == {}
    assert sources.valid["own"].replies_inline


def test_a_function_may_have_any_number_of_arguments() -> None:
    """If JMESPath allows it."""
    mapping = {"joinWebUrl": "not_null(a, b, c) || join('', [d, e])"}
    assert source(mapping=mapping).mapper.read({"c": SHORT, "x": 1}).missing == "organizer"


@pytest.mark.parametrize("name", ["", "a/b", "a b", "ä", "x" * 65])
def test_a_source_s_name_is_a_part_of_an_address(name: str) -> None:
    """And of request ids."""
    assert places(OWN, name) == [""]


def test_an_invalid_source_disables_no_other() -> None:
    """Its field errors quote no value."""
    sources = read_sources(
        {"good": OWN, "bad": {**OWN, "secret": "canary secret", "reply": "canary"}}
    )
    assert set(sources.valid) == {"good"}
    assert set(sources.invalid) == {"bad"}
    assert "canary" not in repr(sources.invalid)


@pytest.mark.parametrize("secret", ["whsec_c2VjcmV0LXNlY3JldA", "0123456789abcdef" * 4, "a b"])
@pytest.mark.parametrize(
    "source",
    [
        lambda secret: {**OWN, secret: "own"},
        lambda secret: with_scheme("standard", **{secret: 1}),
        with_scheme,
        lambda secret: with_mapping(joinWebUrl="a", **{secret: "a"}),
        lambda secret: with_mapping(joinWebUrl="a", **{secret: "a["}),
        lambda secret: with_mapping(joinWebUrl="a", when={secret: "a["}),
        lambda secret: with_mapping(joinWebUrl="a", when={secret: 7}),
        lambda secret: {**OWN, "secret": f"{secret}/"},
        lambda secret: {**OWN, "preset": secret},
        lambda secret: {**OWN, "organizers": {secret: secret}},
    ],
)
def test_a_field_error_shows_no_name_that_may_be_a_misplaced_secret(
    source: Callable[[str], object], secret: str
) -> None:
    """Anybody may read the health, which gives its pointer."""
    invalid = read_sources({"own": source(secret)}).invalid

    assert invalid
    assert secret not in repr(invalid)


def test_a_field_error_of_an_unknown_member_tells_the_known_ones() -> None:
    """So an operator finds a mistyped name without being shown it."""
    (error,) = read_sources({"own": {**OWN, "replies": "inline"}}).invalid["own"]

    assert error.pointer == "/#4"
    assert error.detail == (
        "Member 4 of this object has an unknown name. Known are defaultUserId, mapping, "
        "organizers, preset, reply, scheme, secret."
    )


@pytest.mark.parametrize("name", PRESETS)
def test_a_list_that_fills_a_body_with_a_systems_bookings_holds_few_enough_values(
    name: str,
) -> None:
    """So the limit of a body's values refuses no ordinary list."""
    event = json.dumps(booking(name), separators=(",", ":")).encode()
    count = MAX_BODY_BYTES // (len(event) + 1)

    assert len(decode("application/json", b"[" + b",".join([event] * count) + b"]")) == count


def test_a_form_becomes_a_flat_object() -> None:
    """Of texts. A blank field is kept, and the first of repeated fields counts."""
    body = b"id=1&name=Zo%C3%AB+M&blank=&id=2"
    form = "application/x-www-form-urlencoded; charset=utf-8"
    assert decode(form, body) == {"id": "1", "name": "Zoë M", "blank": ""}


def test_a_json_body_may_have_any_content_type() -> None:
    """Invalid parts of it are left out."""
    body = '{"a": 820982911946154508123, "b": "ü", "b": 2, "c": "\\ud800"}'.encode()
    assert decode("text/plain", body) == {"a": None, "b": "ü", "c": None}
    deep = b'{"a":' * 1000 + b"1" + b"}" * 1000
    assert isinstance(decode("", deep), dict)


@pytest.mark.parametrize("quotes", [1, 2, 3])
@pytest.mark.parametrize("value", [{"a": "Zoë"}, [{"a": 1}, {"a": 2}]])
def test_json_that_is_quoted_as_a_string_is_read(value: Json, quotes: int) -> None:
    """Each flow that passes a body on as a text quotes it once more."""
    text = json.dumps(value)
    for _ in range(quotes):
        text = json.dumps(text)
    assert decode("application/json", text.encode()) == value


@pytest.mark.parametrize("member", ["data", "payload", "body"])
@pytest.mark.parametrize("around", [lambda event: event, lambda event: [event]])
def test_the_member_that_holds_an_event_may_be_quoted(
    member: str, around: Callable[[Json], Json]
) -> None:
    """CloudEvents and flows pass it on as a text. Another text stays one."""
    inner: Json = {"a": "Zoë"}
    quoted: Json = {member: json.dumps(inner), "other": json.dumps(inner)}
    body = json.dumps(around(quoted)).encode()
    assert decode("application/json", body) == around({member: inner, "other": json.dumps(inner)})
    for text in ("text", "7", '"x"', "[1]"):
        event: Json = {member: text}
        assert decode("application/json", json.dumps(around(event)).encode()) == around(event)


def test_the_member_of_a_form_that_holds_an_event_is_read() -> None:
    """Some systems send their JSON as the field payload."""
    form = "application/x-www-form-urlencoded"
    assert decode(form, b"payload=%7B%22a%22%3A1%7D") == {"payload": {"a": 1}}


def test_a_members_values_count_as_well() -> None:
    """As if the text were a part of the body."""
    inner = json.dumps({"a": [0] * 3000})
    with pytest.raises(PayloadTooLarge):
        decode("application/json", json.dumps({"data": inner, "body": inner}).encode())


def test_what_a_flow_makes_of_another_content_type_is_read() -> None:
    """Logic Apps put the base64 of such a body into $content."""
    content = base64.b64encode(b'{"a": 1}').decode()
    body = {"$content-type": "application/octet-stream", "$content": content}
    assert decode("application/json", json.dumps(body).encode()) == {"a": 1}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_utf_16_is_read(encoding: str) -> None:
    """It is what .NET calls Unicode."""
    assert decode("application/json", '{"a": "Zoë"}'.encode(encoding)) == {"a": "Zoë"}


def test_a_control_character_inside_a_string_is_read() -> None:
    """Templates insert texts without escapes."""
    assert decode("application/json", b'{"a": "one\ntwo\t"}') == {"a": "one\ntwo\t"}


def test_json_that_is_announced_as_a_form_is_read() -> None:
    """Cal.com sends a template's result with that content type."""
    form = "application/x-www-form-urlencoded"
    assert decode(form, b' {"a": "b&c=d"}') == {"a": "b&c=d"}
    assert decode(form, rb'"{\"a\": \"b&c=d\"}"') == {"a": "b&c=d"}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b""),
        ("application/json", b"{"),
        ("application/json", b"[]"),
        ("application/json", b"7"),
        ("application/json", b'"text"'),
        ("application/json", b'"7"'),
        ("application/x-www-form-urlencoded", b"{"),
        ("application/json", b"\xff"),
        ("application/json", b"[" * 20_000),
        ("application/x-www-form-urlencoded", b"a=%FF"),
        ("application/x-www-form-urlencoded", b"\xff"),
    ],
)
def test_a_body_that_is_no_object_and_no_list_cannot_be_decoded(
    content_type: str, body: bytes
) -> None:
    """An empty body, broken JSON, other values, other encodings, too many values."""
    with pytest.raises(BodyUndecodable):
        decode(content_type, body)
