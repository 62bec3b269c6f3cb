"""Who may ask for whose meeting, and as whom Graph is then asked."""

import pytest

from shared.core.errors import Forbidden, InvalidRequest
from shared.core.strict_json import Document
from shared.identity.bearer_tokens import Caller
from shared.meetings.authorization import authorize
from shared.meetings.models import JoinRequest

ME = "30000000-0000-4000-8000-00000000000c"
OTHER = "40000000-0000-4000-8000-00000000000d"
SHORT = "https://teams.microsoft.com/meet/1234567890?p=x"


def link_of(organizer: str) -> str:
    """Write a long Teams link, which names its organizer."""
    context = f"%7b%22Tid%22%3a%22{ME}%22%2c%22Oid%22%3a%22{organizer}%22%7d"
    return (
        f"https://teams.microsoft.com/l/meetup-join/19%3ameeting_x%40thread.v2/0?context={context}"
    )


def make_caller(*, is_person: bool = True, holds_app_role: bool = False) -> Caller:
    """Make a caller whose token has been checked."""
    return Caller(
        object_id=ME,
        client_id="the-caller",
        is_person=is_person,
        holds_app_role=holds_app_role,
        expires_on=2e9,
        takes_claims_challenges=False,
        token="a.b.c",
    )


PERSON = make_caller()
RECEPTIONIST = make_caller(holds_app_role=True)
APPLICATION = make_caller(is_person=False, holds_app_role=True)
OWN = [
    {"onlineMeetingId": "m"},
    {"userId": "me", "onlineMeetingId": "m"},
    {"userId": "ME", "joinMeetingId": "123456789"},
    {"userId": ME, "onlineMeetingId": "m"},
    {"userId": ME.upper(), "onlineMeetingId": "m"},
    {"joinWebUrl": SHORT},
    {"joinWebUrl": link_of(ME)},
    {"userId": "me", "joinWebUrl": link_of(ME.upper())},
    {"joinMeetingId": "123456789"},
]
OTHERS = [
    {"userId": OTHER, "onlineMeetingId": "m"},
    {"userId": OTHER, "joinWebUrl": link_of(ME)},
    {"userId": "dr.meyer@clinic.example", "joinWebUrl": SHORT},
    {"joinWebUrl": link_of(OTHER)},
]
LINKS_OF_OTHERS = [
    {"userId": "me", "joinWebUrl": link_of(OTHER)},
    {"userId": ME, "joinWebUrl": link_of(OTHER)},
]


def read(members: dict[str, str], caller: Caller | None) -> JoinRequest:
    """Read a request as it comes from this caller."""
    from_person = caller is not None and caller.is_person
    request = JoinRequest.from_document(
        Document(dict(members)), request_id="r", from_person=from_person
    )
    return authorize(request, caller)


@pytest.mark.parametrize("members", OWN)
@pytest.mark.parametrize("caller", [PERSON, RECEPTIONIST])
def test_a_persons_own_meeting_is_asked_for_on_their_behalf(
    members: dict[str, str], caller: Caller
) -> None:
    """Whichever way they say that it is theirs, and whatever else they hold."""
    request = read(members, caller)

    assert (request.user_id, request.on_behalf_of) == (ME, caller)


@pytest.mark.parametrize("members", [*OTHERS, *LINKS_OF_OTHERS])
def test_the_scope_opens_nobody_elses_meeting(members: dict[str, str]) -> None:
    """The fix names the app role, and how to ask for one's own."""
    with pytest.raises(Forbidden) as caught:
        read(members, PERSON)

    assert "JoinLink.Read.All" in (caught.value.fix or "")
    assert '"me"' in (caught.value.fix or "")


@pytest.mark.parametrize("members", OTHERS)
def test_the_app_role_opens_any_organizers_meeting_to_a_person(members: dict[str, str]) -> None:
    """By the app's own permission."""
    request = read(members, RECEPTIONIST)

    assert (request.user_id, request.on_behalf_of) == (members.get("userId"), None)


@pytest.mark.parametrize("members", LINKS_OF_OTHERS)
def test_who_may_ask_for_any_meeting_decides_by_the_user_id(members: dict[str, str]) -> None:
    """As everywhere, it counts for more than the link: Graph says what comes of it."""
    assert read(members, RECEPTIONIST).on_behalf_of is RECEPTIONIST


@pytest.mark.parametrize("members", OTHERS)
@pytest.mark.parametrize("caller", [None, APPLICATION])
def test_keys_and_applications_ask_for_any_organizers_meeting(
    members: dict[str, str], caller: Caller | None
) -> None:
    """As the app."""
    request = read(members, caller)

    assert (request.user_id, request.on_behalf_of) == (members.get("userId"), None)


@pytest.mark.parametrize("members", [{"userId": "me"}, {"userId": "Me"}, {}])
@pytest.mark.parametrize("caller", [None, APPLICATION])
def test_nobody_but_a_person_has_meetings_of_their_own(
    members: dict[str, str], caller: Caller | None
) -> None:
    """400, at the organizer."""
    with pytest.raises(InvalidRequest) as caught:
        read({**members, "onlineMeetingId": "m"}, caller)

    assert [error.pointer for error in caught.value.field_errors] == ["/userId"]


def test_a_sign_in_name_is_answered_with_how_to_say_it() -> None:
    """Their own or not: a name is no proof."""
    with pytest.raises(Forbidden) as caught:
        read({"userId": "me@clinic.example", "onlineMeetingId": "m"}, PERSON)

    assert "name" in caught.value.detail
    assert 'send "me"' in (caught.value.fix or "")
