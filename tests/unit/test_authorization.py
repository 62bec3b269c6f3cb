"""Which meetings the caller with an Entra token may ask for, and as whom Graph is then asked."""

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


def read(members: dict[str, str], caller: Caller) -> JoinRequest:
    """Read a request of this caller, and authorize it."""
    request = JoinRequest.from_document(
        Document(dict(members)), request_id="r", from_person=caller.is_person
    )
    return authorize(request, caller)


@pytest.mark.parametrize("members", OWN)
@pytest.mark.parametrize("caller", [PERSON, RECEPTIONIST])
def test_a_persons_own_meeting_is_asked_for_on_their_behalf(
    members: dict[str, str], caller: Caller
) -> None:
    """However the request says whose meeting it is, and with or without the app role."""
    request = read(members, caller)

    assert (request.user_id, request.on_behalf_of) == (ME, caller)


@pytest.mark.parametrize("members", [*OTHERS, *LINKS_OF_OTHERS])
def test_the_scope_allows_no_other_organizers_meeting(members: dict[str, str]) -> None:
    """The fix names the app role, and how to ask for one's own meeting."""
    with pytest.raises(Forbidden) as caught:
        read(members, PERSON)

    assert "JoinLink.Read.All" in (caught.value.fix or "")
    assert '"me"' in (caught.value.fix or "")


@pytest.mark.parametrize("members", OTHERS)
def test_the_app_role_allows_a_person_any_organizers_meeting(members: dict[str, str]) -> None:
    """Graph is asked with the app's own permission."""
    request = read(members, RECEPTIONIST)

    assert (request.user_id, request.on_behalf_of) == (members.get("userId"), None)


@pytest.mark.parametrize("members", LINKS_OF_OTHERS)
def test_with_the_app_role_the_user_id_counts_for_more_than_the_link(
    members: dict[str, str],
) -> None:
    """A `userId` that is the caller's own is asked on their behalf, whomever the link names."""
    assert read(members, RECEPTIONIST).on_behalf_of is RECEPTIONIST


@pytest.mark.parametrize("members", OTHERS)
def test_an_application_may_ask_for_any_organizers_meeting(members: dict[str, str]) -> None:
    """Graph is asked with the app's own permission."""
    request = read(members, APPLICATION)

    assert (request.user_id, request.on_behalf_of) == (members.get("userId"), None)


@pytest.mark.parametrize("members", [{"userId": "me"}, {"userId": "Me"}, {}])
def test_only_a_person_has_meetings_of_their_own(members: dict[str, str]) -> None:
    """An application that names no organizer gets 400, and the pointer to `userId`."""
    with pytest.raises(InvalidRequest) as caught:
        read({**members, "onlineMeetingId": "m"}, APPLICATION)

    assert [error.pointer for error in caught.value.field_errors] == ["/userId"]


def test_a_person_who_names_an_organizer_by_name_is_told_to_send_me() -> None:
    """Even if the name is the caller's: a name can pass to another person."""
    with pytest.raises(Forbidden) as caught:
        read({"userId": "me@clinic.example", "onlineMeetingId": "m"}, PERSON)

    assert "name" in caught.value.detail
    assert 'send "me"' in (caught.value.fix or "")
