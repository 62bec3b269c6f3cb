"""Requests and results."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core import strict_json
from shared.core.errors import InvalidRequest
from shared.core.strict_json import MOST_FIELD_ERRORS, Document, Json
from shared.meetings import models, teams_links
from shared.meetings.models import (
    MAX_CONTEXT_BYTES,
    Correlation,
    JoinLink,
    JoinRequest,
    reduce_link,
)
from shared.meetings.teams_links import TeamsLink, parse_teams_link

USER = "30000000-0000-4000-8000-000000000003"
SHORT = "https://teams.microsoft.com/meet/2345678901234?p=AbCdEf"
LONG = (
    "https://teams.microsoft.com/l/meetup-join/19%3ameeting_x%40thread.v2/0"
    f"?context=%7b%22Tid%22%3a%22t%22%2c%22Oid%22%3a%22{USER}%22%7d"
)
TENANT = "10000000-0000-4000-8000-000000000001"
CANONICAL = LONG.replace("%22t%22", f"%22{TENANT}%22")
MEMBERS = [
    "userId",
    "onlineMeetingId",
    "joinWebUrl",
    "joinMeetingId",
    "language",
    "requestId",
    "context",
]


def parse(value: object) -> JoinRequest:
    """Read a request from what would be its JSON."""
    return parse_text(json.dumps(value))


def parse_text(text: str) -> JoinRequest:
    """Read a request from its JSON."""
    document = strict_json.read(text.encode())
    correlation = Correlation.of(document, default_request_id="made")
    return JoinRequest.from_document(document, request_id=correlation.request_id)


def request(**members: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever somebody sends
    """Give a valid request, but for these members; None takes one away."""
    valid = {"userId": USER, "onlineMeetingId": "MSo1"}
    return {name: value for name, value in {**valid, **members}.items() if value is not None}


def faults(value: object) -> dict[str, str]:
    """Give the field errors of a request, by their pointers."""
    return text_faults(json.dumps(value))


def text_faults(text: str) -> dict[str, str]:
    """Give the field errors of a request's JSON, by their pointers."""
    with pytest.raises(InvalidRequest) as raised:
        parse_text(text)
    return {field_error.pointer: field_error.detail for field_error in raised.value.field_errors}


def test_a_request_is_read() -> None:
    """Organizer, meeting, language, id and context."""
    context = {"booking": [1, 2.5, None, True, "ü"]}
    parsed = parse(request(language="pt-BR", requestId="r-1", context=context))
    assert parsed == JoinRequest(
        request_id="r-1",
        user_id=USER,
        online_meeting_id="MSo1",
        language="pt-BR",
        context={"booking": [1, 2.5, None, True, "ü"]},
    )


def test_a_request_without_an_id_gets_one() -> None:
    """The caller's id is optional."""
    assert parse(request()).request_id == "made"


@pytest.mark.parametrize("nothing", [None, ""])
def test_null_and_an_empty_text_count_as_absent(nothing: str | None) -> None:
    """Workflows send null for missing values, and some make an empty text of it."""
    absent = dict.fromkeys(["language", "requestId", "joinWebUrl", "joinMeetingId"], nothing)
    assert parse({**request(), **absent}) == parse(request())
    by_link = {"userId": nothing, "joinWebUrl": LONG, "onlineMeetingId": nothing}
    assert parse(by_link) == parse({"joinWebUrl": LONG})


def test_an_empty_text_is_a_valid_context() -> None:
    """It is sent back unchanged."""
    assert parse(request(context="")).context == ""


def test_with_empty_values_the_reference_and_the_organizer_are_missing() -> None:
    """As if the members were absent."""
    assert faults({"userId": "", "joinWebUrl": "", "joinMeetingId": ""}) == faults({})


@pytest.mark.parametrize(
    ("reference", "attribute", "read"),
    [
        ({"onlineMeetingId": "a/b+c="}, "online_meeting_id", "a/b+c="),
        ({"joinWebUrl": SHORT}, "link", parse_teams_link(SHORT)),
        ({"joinWebUrl": LONG}, "link", parse_teams_link(LONG)),
        ({"joinWebUrl": f"\r\n Join: <{LONG}>.\t"}, "link", parse_teams_link(LONG)),
        ({"joinMeetingId": "234 567 890 12"}, "link", TeamsLink(join_meeting_id="23456789012")),
        (
            {"joinMeetingId": " Meeting ID:\u00a0234\t567\n890 12\n"},
            "link",
            TeamsLink(join_meeting_id="23456789012"),
        ),
    ],
)
def test_a_meeting_has_one_of_three_references(
    reference: dict[str, str], attribute: str, read: object
) -> None:
    """Only the link or number in a pasted text is kept."""
    parsed = parse({"userId": USER, **reference})
    assert getattr(parsed, attribute) == read


def test_a_long_link_names_the_organizer_itself() -> None:
    """Then `userId` may be absent."""
    assert parse({"joinWebUrl": LONG}).user_id is None


@pytest.mark.parametrize("user", [USER, USER.upper(), "anna@clinic.example"])
def test_the_organizer_is_an_object_id_or_a_user_principal_name(user: str) -> None:
    """Or an e-mail address."""
    assert parse(request(userId=user)).user_id == user


@pytest.mark.parametrize("value", [[], [request()], "text", 1, None, True])
def test_a_body_that_is_not_an_object_is_refused(value: object) -> None:
    """Also an array of requests."""
    assert faults(value) == {"": "The request must be one JSON object."}


@pytest.mark.parametrize("name", ["password", "a/b", "m~n", "ü", "", "userId" + "x" * 100])
def test_an_unknown_member_is_refused(name: str) -> None:
    """Most often it is a typing error."""
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    (found,) = faults({**request(), name: 1}).items()
    assert pointer.startswith(found[0].removesuffix("…"))
    assert found[1] == "There is no such member."


@pytest.mark.parametrize("name", ["userid", "UserID", "user_id", "user-id", "userId "])
def test_an_unknown_member_that_differs_only_in_its_spelling_is_told_how_it_is_written(
    name: str,
) -> None:
    """So the sender need not look it up."""
    found = faults({**request(), name: USER})
    assert found == {f"/{name}": "There is no such member. Its name is written userId."}


def test_a_duplicate_member_is_refused() -> None:
    """It is not clear which value is meant."""
    text = f'{{"userId":"{USER}","userId":"{USER}","onlineMeetingId":"x"}}'
    assert text_faults(text) == {"/userId": "The member is there more than once."}


@pytest.mark.parametrize("name", MEMBERS[:-1])
@pytest.mark.parametrize("value", [1, 1.5, True, [], {}, ["text"]])
def test_a_wrong_type_is_refused(name: str, value: object) -> None:
    """All members but the context are texts."""
    reference = {"joinWebUrl", "joinMeetingId"} & {name}
    body = request(**{name: value}, **({"onlineMeetingId": None} if reference else {}))
    assert faults(body) == {f"/{name}": "Must be a string."}


@pytest.mark.parametrize("name", ["userId", "onlineMeetingId", "language", "requestId"])
@pytest.mark.parametrize(
    "value", [" ", " x", "x ", "\u00a0x", "a\x00b", "a\nb", "a\u2028b", "\u202aa", "a\u200b"]
)
def test_blanks_around_and_control_characters_within_are_refused(name: str, value: str) -> None:
    """They reach headers, paths and logs. Nobody sees the invisible ones in a wrong address."""
    assert list(faults(request(**{name: value}))) == [f"/{name}"]


@pytest.mark.parametrize(
    ("name", "most"),
    [("onlineMeetingId", 1024), ("joinWebUrl", 8192), ("requestId", 128)],
)
def test_lengths_are_bounded(name: str, most: int) -> None:
    """The limit itself is allowed."""
    start = f"{SHORT} " if name == "joinWebUrl" else ""
    fitting = start + "x" * (most - len(start))
    base = {"userId": USER} if name == "joinWebUrl" else request()
    assert parse({**base, name: fitting})
    assert "longer than" in faults({**base, name: fitting + "x"})[f"/{name}"]


@pytest.mark.parametrize("value", ["x" * 60_000, "1" * 60_000, "https://" + "x" * 60_000])
@pytest.mark.parametrize("name", MEMBERS[:-1])
def test_absurd_lengths_are_refused(name: str, value: str) -> None:
    """The response stays short."""
    reference = {"joinWebUrl", "joinMeetingId"} & {name}
    body = request(**{name: value}, **({"onlineMeetingId": None} if reference else {}))
    found = faults(body)
    assert list(found) == [f"/{name}"]
    assert len(found[f"/{name}"]) < 100


@pytest.mark.parametrize("user", ["anna", "../me", "me/x", "a@b@c", USER[:-1], "{" + USER + "}"])
def test_a_user_id_that_is_neither_guid_nor_name_is_refused(user: str) -> None:
    """Before Graph is called."""
    assert list(faults(request(userId=user))) == ["/userId"]


@pytest.mark.parametrize(
    "user",
    [
        *("mailto:anna@clinic.example", "<anna@clinic.example>", "Anna <anna@clinic.example>"),
        *("anna@clinic.example;", "a@clinic.example,b@clinic.example", '"anna"@clinic.example'),
    ],
)
def test_an_address_with_more_than_the_address_is_refused(user: str) -> None:
    """Graph would only say that nobody has that name."""
    assert list(faults(request(userId=user))) == ["/userId"]


def test_a_meeting_id_from_an_address_of_graph_is_decoded() -> None:
    """It is percent-encoded there, and would be encoded twice."""
    assert parse(request(onlineMeetingId="MSo1%2Bx%3D%3D")).online_meeting_id == "MSo1+x=="


@pytest.mark.parametrize("meeting_id", [".", "..", "%2e%2E"])
def test_a_meeting_id_that_would_change_the_path_is_refused(meeting_id: str) -> None:
    """Percent-encoding does not change these two."""
    assert list(faults(request(onlineMeetingId=meeting_id))) == ["/onlineMeetingId"]


@pytest.mark.parametrize("number", ["12345", "1" * 21, "12a456", "١٢٣٤٥٦٧", "123-456-789"])
def test_a_join_meeting_id_is_digits(number: str) -> None:
    """Six to twenty, with white space between, and perhaps a label."""
    assert list(faults({"userId": USER, "joinMeetingId": number})) == ["/joinMeetingId"]


@pytest.mark.parametrize("language", ["de_DE", "de, en;q=0.5", "deutsch sprache", "x"])
def test_a_bad_language_tag_is_refused(language: str) -> None:
    """It would become a header."""
    assert list(faults(request(language=language))) == ["/language"]


@pytest.mark.parametrize("request_id", ["a b", "ü", "x" * 129])
def test_a_bad_request_id_is_refused(request_id: str) -> None:
    """Callers de-duplicate by it, so the app does not correct it silently."""
    assert list(faults(request(requestId=request_id))) == ["/requestId"]


def test_no_reference_and_two_references_are_refused() -> None:
    """The error names those that are there."""
    none = faults({"userId": USER})
    two = faults(request(joinWebUrl=SHORT))
    assert "none is there" in none[""]
    assert "onlineMeetingId, joinWebUrl" in two[""].partition(";")[2]


@pytest.mark.parametrize(
    "reference", [{"onlineMeetingId": "x"}, {"joinMeetingId": "23456789012"}, {}]
)
def test_a_missing_organizer_is_a_field_error(reference: dict[str, str]) -> None:
    """Only a long Teams link names the organizer itself."""
    assert faults(reference)["/userId"] == "Missing: name the organizer."


def test_a_short_link_without_an_organizer_says_why_it_is_not_enough() -> None:
    """Short links are the usual form today."""
    assert faults({"joinWebUrl": SHORT}) == {
        "/userId": "A short Teams link does not say who organizes the meeting; give the organizer."
    }


def test_a_link_that_is_no_teams_link_is_refused_with_the_reason() -> None:
    """Before Graph is called, and with one error only."""
    found = faults({"joinWebUrl": "https://zoom.us/j/1"})
    assert list(found) == ["/joinWebUrl"]
    assert "another product" in found["/joinWebUrl"]


@pytest.mark.parametrize(
    "text",
    [
        '{"userId":"\\ud800","onlineMeetingId":"x"}',
        '{"userId":1e999,"onlineMeetingId":"x"}',
        f'{{"userId":"{USER}","joinMeetingId":123456789012345678}}',
        f'{{"userId":"{USER}","onlineMeetingId":"\\udfff"}}',
    ],
)
def test_an_invalid_member_is_not_also_reported_as_missing(text: str) -> None:
    """A second error would mislead people."""
    assert len(text_faults(text)) == 1


PATIENT = "Zoë Canary, knee, Monday at ten"


@pytest.mark.parametrize(
    ("pasted", "kept"),
    [
        (f"{PATIENT}\nJoin: {SHORT}&anon=true", SHORT),
        (f"<p>{PATIENT} <a href='{CANONICAL}&amp;anon=true'>Join</a>", CANONICAL),
        (
            f"{PATIENT}\nMeeting ID: 234 567 890 123 4",
            "https://teams.microsoft.com/meet/2345678901234",
        ),
        (f"{SHORT}\n{PATIENT}\n{CANONICAL}".ljust(8192), f"{CANONICAL} {SHORT}"),
    ],
)
def test_only_the_link_of_a_pasted_text_is_kept(pasted: str, kept: str) -> None:
    """On the queue and in dead letters. The request stays the same otherwise."""
    whole: Json = {"userId": USER, "joinWebUrl": pasted, "context": PATIENT}
    reduced = reduce_link(whole)
    assert reduced == {"userId": USER, "joinWebUrl": kept, "context": PATIENT}
    assert parse(reduced) == parse(whole)
    assert reduce_link(reduced) == reduced


@pytest.mark.parametrize(
    "value", [None, [], "text", {}, {"joinWebUrl": 7}, {"joinWebUrl": PATIENT}, {"joinWebUrl": ""}]
)
def test_a_text_without_a_link_is_kept_unchanged(value: Any) -> None:  # noqa: ANN401 - whatever it is
    """So that its error can be reported."""
    assert reduce_link(value) == value


def test_all_field_errors_are_reported_in_the_order_of_their_pointers() -> None:
    """So that people need not correct one after the other."""
    body = {
        "userId": "anna",
        "onlineMeetingId": 7,
        "joinMeetingId": "x",
        "language": "??",
        "requestId": "a b",
        "color": "red",
        "context": "x" * 5000,
    }
    found = faults(body)
    assert list(found) == sorted(["", *(f"/{name}" for name in body)])


def test_the_number_of_field_errors_is_bounded() -> None:
    """For any request."""
    assert len(faults({f"x{number}": 1 for number in range(1000)})) == MOST_FIELD_ERRORS


def test_the_detail_holds_the_number_of_errors_and_the_first_one() -> None:
    """And where the others are, because Power Automate shows only the detail."""
    with pytest.raises(InvalidRequest) as raised:
        parse({"userId": "anna", "onlineMeetingId": 7})
    assert raised.value.detail == (
        "2 things are wrong with the request. /onlineMeetingId: Must be a string."
        " See `errors` for the others."
    )


def test_the_detail_of_one_error_without_a_pointer_is_the_error_alone() -> None:
    """There is no place to name, and no other error."""
    with pytest.raises(InvalidRequest) as raised:
        parse({"userId": "anna@clinic.example"})
    assert raised.value.detail == (
        "One thing is wrong with the request. Give exactly one of onlineMeetingId, joinWebUrl,"
        " joinMeetingId; none is there."
    )


def test_a_context_fits_up_to_4_kib_of_utf_8() -> None:
    """For each type of JSON value."""
    assert parse(request(context="ü" * 2047)).context == "ü" * 2047
    assert "4,096" in faults(request(context="ü" * 2048))["/context"]
    assert MAX_CONTEXT_BYTES == 4096


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
)
REQUESTS = st.dictionaries(st.sampled_from([*MEMBERS, "other"]), JSON)


@given(st.one_of(JSON, REQUESTS))
def test_any_json_is_a_request_or_an_invalid_request(value: object) -> None:
    """No other exception is raised, and there is at least one field error."""
    refusal: InvalidRequest | None = None
    try:
        parse(value)
    except InvalidRequest as error:
        refusal = error
    assert refusal is None or refusal.field_errors


@given(JSON)
def test_a_context_is_handed_back_equal(context: object) -> None:
    """If it is accepted."""
    text = json.dumps(request(context=context))
    try:
        parsed = parse_text(text)
    except InvalidRequest:
        return
    answer = JoinLink(user_id=USER, online_meeting_id="x", virtual_appointment_join_web_url="y")
    again = json.loads(
        json.dumps(answer.to_json(Correlation(request_id="r", context=parsed.context)))
    )["context"]
    assert again == json.loads(json.dumps(context))


def test_a_result_has_the_members_of_the_contract() -> None:
    """The context is null if none was sent."""
    answer = JoinLink(
        user_id=USER,
        online_meeting_id="MSo1",
        virtual_appointment_join_web_url="https://visit.teams.microsoft.com/x",
    )
    assert answer.to_json(Correlation(request_id="r-1")) == {
        "requestId": "r-1",
        "userId": USER,
        "onlineMeetingId": "MSo1",
        "virtualAppointmentJoinWebUrl": "https://visit.teams.microsoft.com/x",
        "context": None,
    }


def test_no_repr_shows_a_link_an_id_or_a_person() -> None:
    """For requests and results."""
    shown = repr(parse({"userId": "canary@x.example", "joinWebUrl": SHORT, "context": "canary"}))
    answer = JoinLink(
        user_id=USER, online_meeting_id="canary", virtual_appointment_join_web_url="canary"
    )
    assert "canary" not in shown + repr(answer)
    assert "meet/" not in shown


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"requestId": "r-1", "context": {"a": 1}, "userId": 7}, ("r-1", {"a": 1})),
        ({"requestId": "a b", "context": [1]}, ("made", [1])),
        ({"requestId": 7}, ("made", None)),
        ({"context": "x" * 5000}, ("made", None)),
        ([], ("made", None)),
        (None, ("made", None)),
    ],
)
def test_an_invalid_request_keeps_its_valid_id_and_context(
    value: Any,  # noqa: ANN401 - whatever somebody sends
    expected: tuple[str, object],
) -> None:
    """So that its caller recognizes it."""
    correlation = Correlation.of(Document(value), default_request_id="made")
    assert (correlation.request_id, correlation.context) == expected


def test_a_link_may_be_as_long_as_the_link_reader_reads() -> None:
    """The limit stands in both modules, because a request by ids imports no link reader."""
    assert models._MAX_LENGTHS["joinWebUrl"] == teams_links.MAX_LENGTH
