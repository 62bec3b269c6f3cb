"""Finding a meeting by what people have: its Teams link, join meeting id, a mail address."""

import base64
import re
import uuid
from typing import Any
from urllib.parse import quote, unquote

import pytest

from dev.local_run import FUNCTION_KEY
from dev.stand_ins.faults import Status
from dev.stand_ins.graph_data import Meeting, User
from dev.stand_ins.graph_faults import throttle
from tests.integration.app_under_test import App
from tests.integration.conftest import FreshApp

FOREIGN = {
    "https://teams.microsoft.us/l/meetup-join/19%3ameeting_x%40thread.v2/0": "US Government",
    "https://teams.live.com/meet/1234567890?p=abc": "personal meeting",
    "https://events.teams.microsoft.com/event/0b8f-1@72f988bf": "registration page",
    "https://visit.teams.microsoft.com/webrtc-svc/api/route?tid=1": "already is",
    "https://meet.google.com/abc-defg-hij": "another product",
    "https://teams.microsoft.com/l/channel/19%3ax%40thread.tacv2/General": "not a meeting",
    "https://teams.microsoft.com.example/meet/1234567890": "mail security",
    "https://eur03.safelinks.protection.outlook.com/?url=https%3A%2F%2Fa.example": "mail security",
    "https://user@teams.microsoft.com/meet/1234567890": "mail security",
    "Room 3": "no link",
}


def _by_link(meeting: Meeting, organizer: User | None = None, **members: Any) -> dict[str, Any]:  # noqa: ANN401
    request = {"requestId": uuid.uuid4().hex, "joinWebUrl": meeting.join_web_url, **members}
    return request if organizer is None else {"userId": organizer.object_id, **request}


def _is_link(app: App, answer: Any, meeting: Meeting) -> bool:  # noqa: ANN401
    members = answer.json()
    assert answer.status_code == 200, members
    assert members["onlineMeetingId"] == meeting.id
    return bool(members["virtualAppointmentJoinWebUrl"] == app.run.graph.join_link(meeting))


def test_a_short_link_and_its_organizer_are_two_calls(app: App) -> None:
    """The usual case today: one lookup and one link."""
    organizer = app.organizer()
    meeting = app.meeting(organizer)

    answer = app.post(_by_link(meeting, organizer))

    assert _is_link(app, answer, meeting)
    assert app.run.graph.count() == 2


def test_a_long_link_names_its_organizer(app: App) -> None:
    """No userId is needed: `context.Oid` is the organizer."""
    organizer = app.organizer()
    meeting = app.meeting(organizer, long_link=True)

    answer = app.post(_by_link(meeting))

    assert _is_link(app, answer, meeting)
    assert answer.json()["userId"] == organizer.object_id
    assert app.run.graph.count() == 2


def test_a_user_principal_name_is_one_call_more(app: App) -> None:
    """`GET /users/{upn}?$select=id` comes first, because Graph accepts only object ids."""
    organizer = app.organizer()
    meeting = app.meeting(organizer)

    answer = app.post(_by_link(meeting, userId=organizer.user_principal_name))

    assert _is_link(app, answer, meeting)
    user, lookup, link = (call.request.target for call in app.run.graph.calls)
    assert user == f"/v1.0/users/{quote(organizer.user_principal_name, safe='')}?$select=id"
    assert "$filter=" in lookup
    assert link.endswith("/getVirtualAppointmentJoinWebUrl")


def test_a_found_meeting_is_cached(app: App) -> None:
    """The second request takes one call. The link itself is not cached."""
    organizer = app.organizer()
    meeting = app.meeting(organizer)
    request = _by_link(meeting, userId=organizer.user_principal_name)
    app.post(request)
    app.run.graph.clear()

    answer = app.post(request)

    assert _is_link(app, answer, meeting)
    assert app.run.graph.count() == 1


def test_a_cached_meeting_that_is_gone_is_removed(app: App) -> None:
    """The next request looks it up again."""
    organizer = app.organizer()
    meeting = app.meeting(organizer)
    app.post(_by_link(meeting, organizer))
    app.run.graph.data.remove_meeting(meeting)
    app.run.graph.clear()

    answer = app.post(_by_link(meeting, organizer))

    assert (answer.status_code, answer.json()["code"]) == (404, "meeting_not_found")
    targets = [unquote(call.request.target) for call in app.run.graph.calls]
    assert "getVirtual" in targets[0]
    assert "JoinWebUrl eq" in targets[1]


def test_a_link_is_looked_up_as_teams_stores_it(app: App) -> None:
    """The stand-in finds only that form, and it is the first one asked for."""
    meeting = app.meeting(long_link=True)
    link = meeting.join_web_url
    safe = "https://eur03.safelinks.protection.outlook.com/?url="
    pasted = {
        "decoded": unquote(link),
        "with more": f"{link}&anon=true",
        "from HTML": f'<a href="{link}&amp;anon=true">Join</a>',
        "a Safe Link": f"{safe}{quote(link, safe='')}&data=05",
        "on the newer host": link.replace("teams.microsoft.com", "teams.cloud.microsoft"),
    }
    for form, text in pasted.items():
        app.run.graph.clear()
        # The cache of one organizer's links is not used for another's.
        answer = app.post({"joinWebUrl": app.log.forbid("a pasted text", text)})
        assert _is_link(app, answer, meeting), form
        assert app.run.graph.count() <= 2


@pytest.mark.parametrize("odd", ["&n={}", "&x=a%2Bb&n={}", "&x='&n={}"])
def test_a_link_that_is_stored_as_it_came_is_found_by_one_call_more(app: App, odd: str) -> None:
    """It is not known whether Graph stores what Teams writes."""
    organizer = app.organizer()
    stored = app.meeting(organizer, long_link=True).join_web_url.replace("meeting_", "meeting_x")
    meeting = app.meeting(organizer, join_web_url=stored + odd.format(uuid.uuid4().hex))

    answer = app.post(_by_link(meeting, organizer))

    assert _is_link(app, answer, meeting)
    assert app.run.graph.count() == 3


@pytest.mark.parametrize("empty", [False, True])
def test_a_short_link_that_is_not_found_is_tried_by_the_number_in_it(app: App, empty: bool) -> None:
    """Graph has two answers for "not found". The path of a short link holds the joinMeetingId."""
    app.run.graph.empty_lookups = empty
    organizer = app.organizer()
    meeting = app.meeting(organizer, join_web_url="https://teams.microsoft.com/meet/stored")
    sent = f"https://teams.microsoft.com/meet/{meeting.join_meeting_id}?p=forwarded"

    answer = app.post({"userId": organizer.object_id, "joinWebUrl": sent})

    assert _is_link(app, answer, meeting)
    assert app.run.graph.count() == 3


@pytest.mark.parametrize("empty", [False, True])
def test_a_link_of_no_meeting_is_not_found(app: App, empty: bool) -> None:
    """For the caller, 404 and an empty list are the same."""
    app.run.graph.empty_lookups = empty

    answer = app.post(
        {
            "userId": app.organizer().object_id,
            "joinWebUrl": f"https://teams.microsoft.com/meet/{uuid.uuid4().int % 10**12 + 10**12}",
        }
    )

    assert (answer.status_code, answer.json()["code"]) == (404, "meeting_not_found")


def test_the_number_of_an_invitation_finds_the_meeting(app: App) -> None:
    """With the blanks that invitations print."""
    organizer = app.organizer()
    meeting = app.meeting(organizer)
    number = meeting.join_meeting_id
    printed = " ".join(re.findall("..?.?", number))

    answer = app.post({"userId": organizer.object_id, "joinMeetingId": printed})

    assert _is_link(app, answer, meeting)
    assert app.run.graph.count() == 2


@pytest.mark.parametrize(("link", "cause"), FOREIGN.items())
def test_other_links_are_refused_before_any_call(app: App, link: str, cause: str) -> None:
    """Other clouds, other products and other pages of Teams, each by its name."""
    answer = app.post({"userId": str(uuid.uuid4()), "joinWebUrl": link})

    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["pointer"] == "/joinWebUrl"
    assert cause in error["detail"]
    assert app.run.graph.count() == 0


def test_a_short_link_alone_does_not_say_who_organizes(app: App) -> None:
    """The problem says why a userId is needed here."""
    answer = app.post({"joinWebUrl": app.meeting().join_web_url})

    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["pointer"]) == (400, "/userId")
    assert "short Teams link" in error["detail"]


def test_a_given_organizer_wins_over_the_links_and_the_event_says_so(app: App) -> None:
    """An invited colleague's id with the organizer's link: Graph decides."""
    organizer, colleague = app.organizer(), app.organizer()
    meeting = app.meeting(organizer, long_link=True)
    request = _by_link(meeting, colleague)

    answer = app.post(request)

    assert answer.status_code in (403, 404)
    assert all(colleague.object_id in call.request.target for call in app.run.graph.calls)
    assert app.events(request["requestId"])[0]["note"] == "organizer_differs_from_link"


def test_an_unknown_user_principal_name_is_user_not_found(app: App) -> None:
    """Which differs from a missing permission."""
    answer = app.post(app.request(userId=f"{uuid.uuid4().hex}@clinic.example"))

    assert (answer.status_code, answer.json()["code"]) == (404, "user_not_found")


def _with_a_mail_address(app: App) -> tuple[User, Meeting]:
    user = app.run.graph.data.add_user(
        f"{uuid.uuid4().hex}@clinic.example",
        mail=app.log.forbid("a mail address", f"dr.{uuid.uuid4().hex}@clinic.example"),
    )
    return user, app.meeting(user)


@pytest.mark.parametrize("way", ["http", "queue"])
def test_a_mail_address_that_is_no_sign_in_name_finds_its_user(app: App, way: str) -> None:
    """By a second lookup, over HTTP and the queue."""
    user, meeting = _with_a_mail_address(app)
    request = _by_link(meeting, userId=user.mail)

    if way == "http":
        answer = app.post(request)
        assert _is_link(app, answer, meeting)
        assert answer.json()["userId"] == user.object_id
        assert app.run.graph.count() == 4
    else:
        app.enqueue(request)
        result = app.result(request["requestId"])["data"]
        assert result["virtualAppointmentJoinWebUrl"] == app.run.graph.join_link(meeting)


def test_a_mail_address_of_two_users_is_ambiguous(app: App) -> None:
    """409, which is final: only the caller can say who is meant."""
    user, meeting = _with_a_mail_address(app)
    app.run.graph.data.add_user(f"{uuid.uuid4().hex}@clinic.example", mail=user.mail)

    answer = app.post(_by_link(meeting, userId=user.mail))

    assert (answer.status_code, answer.json()["code"]) == (409, "user_ambiguous")
    assert "object id" in answer.json()["fix"]


def test_a_refused_lookup_by_mail_address_is_user_not_found(app: App) -> None:
    """The fix names the permission that would allow it."""
    user, meeting = _with_a_mail_address(app)
    app.run.graph.order(
        Status(403, "Authorization_RequestDenied", "Insufficient privileges."),
        when=lambda call: "mail%20eq" in call.request.target,
    )

    answer = app.post(_by_link(meeting, userId=user.mail))

    assert (answer.status_code, answer.json()["code"]) == (404, "user_not_found")
    assert "User.Read.All" in answer.json()["fix"]


def test_a_sign_in_name_may_begin_with_a_dollar_sign(app: App) -> None:
    """Graph accepts it only in parentheses, alone and in a batch. The stand-in is as strict."""
    user = app.run.graph.data.add_user(f"$dr.{uuid.uuid4().hex}@clinic.example")
    other = app.run.graph.data.add_user(f"$dr.{uuid.uuid4().hex}@clinic.example")
    meeting = app.meeting(user)
    named = [
        {"userId": each.user_principal_name, "onlineMeetingId": app.meeting(each).id}
        for each in (user, other)
    ]

    answer = app.post(_by_link(meeting, userId=user.user_principal_name))
    calls = app.run.graph.count()
    batched = app.session.post(
        f"{app.run.url}/api/join-links",
        json={"requests": named},  # of the first one the user is known by now
        headers={"x-functions-key": FUNCTION_KEY},
        timeout=30,
    )

    assert _is_link(app, answer, meeting)
    assert calls == 3
    assert [result["status"] for result in batched.json()["results"]] == [200, 200]
    assert app.run.graph.calls[calls].request.target == "/v1.0/$batch"


def test_a_link_of_another_tenant_says_so(app: App) -> None:
    """If Graph does not find it. Otherwise nobody would know why."""
    organizer = app.organizer()
    link = app.meeting(organizer, long_link=True).join_web_url
    foreign = link.replace(app.run.graph.data.tenant_id, str(uuid.uuid4()))
    request = {"requestId": uuid.uuid4().hex, "joinWebUrl": foreign}

    answer = app.post(request)

    assert (answer.status_code, answer.json()["code"]) == (404, "meeting_not_found")
    assert "another organization's tenant" in answer.json()["detail"]
    assert app.events(request["requestId"])[0]["note"] == "tenant_differs_from_link"


def test_empty_texts_count_as_left_out(app: App) -> None:
    """Flows make them of null."""
    meeting = app.meeting(long_link=True)
    empty = dict.fromkeys(["userId", "onlineMeetingId", "joinMeetingId", "language"], "")

    answer = app.post({**empty, "joinWebUrl": meeting.join_web_url, "requestId": ""})

    assert _is_link(app, answer, meeting)
    assert answer.json()["requestId"]


@pytest.mark.parametrize("form", ["Meeting ID: {}", "{}\u00a0", "\tMeeting ID:\u00a0{}\r\n"])
def test_the_number_may_be_pasted_with_its_label_and_any_blanks(app: App, form: str) -> None:
    """No-break ones, as invitations hold them."""
    organizer = app.organizer()
    meeting = app.meeting(organizer)
    number = "\u00a0".join(re.findall("..?.?", meeting.join_meeting_id))

    answer = app.post({"userId": organizer.object_id, "joinMeetingId": form.format(number)})

    assert _is_link(app, answer, meeting)


def test_of_a_pasted_text_only_the_link_waits_on_the_queue(app: App) -> None:
    """The text around it may be about a patient."""
    organizer = app.organizer()
    meeting = app.meeting(organizer)
    text = f"Zoë Canary, Monday at ten\r\nJoin: <{meeting.join_web_url}&anon=true>".ljust(8192)
    request = _by_link(meeting, organizer, joinWebUrl=text)
    app.run.graph.order(throttle("0"))

    app.enqueue(request)

    result = app.result(request["requestId"])["data"]
    assert result["virtualAppointmentJoinWebUrl"] == app.run.graph.join_link(meeting)
    assert result["attempts"] == 2


@pytest.mark.parametrize(
    ("instead", "meeting_id"),
    [
        ("Teams-JS", base64.b64encode(b"0#19:meeting_Mjk@thread.v2#0").decode()),
        ("calendar event", "040000008200E00074C5B7101A82E00800000000"),
        ("calendar event", "AAMkAGI2THVSAAA="),
        ("calendar event", "AQMkADAwATM0MDAAMS0yMGZ"),
        ("chat thread", "19:meeting_Mjk@thread.v2"),
        ("chat thread", "19:abc@thread.tacv2"),
        ("link", "https://teams.microsoft.com/meet/1234567890"),
        ("join meeting id", "234 567 890 123"),
    ],
)
def test_a_text_that_is_clearly_no_meeting_id_is_named(
    app: App, instead: str, meeting_id: str
) -> None:
    """Refused before any call. The error says what it is and what to send."""
    answer = app.post({"userId": str(uuid.uuid4()), "onlineMeetingId": meeting_id})

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (400, "meeting_id_malformed")
    assert instead in problem["detail"]
    assert problem["errors"][0]["pointer"] == "/onlineMeetingId"
    assert app.run.graph.count() == 0


MISSING_ROLE = Status(403, "Forbidden", "Missing role permissions on the request.")
NO_POLICY = Status(403, "Forbidden", "No application access policy found for this app")


@pytest.mark.parametrize(
    ("fault", "when", "code", "fix"),
    [
        (MISSING_ROLE, "$filter", "lookup_not_permitted", "OnlineMeetings.Read.All"),
        (MISSING_ROLE, "$select", "lookup_not_permitted", "User.ReadBasic.All"),
        (NO_POLICY, "$filter", "access_policy_missing", "CsApplicationAccessPolicy"),
        (
            Status(403, "Forbidden", "3003: User does not have access to lookup meeting"),
            "$filter",
            "meeting_not_accessible",
            "organizer",
        ),
    ],
)
def test_a_lookup_that_is_not_permitted_says_what_to_grant(
    app: App, fault: Status, when: str, code: str, fix: str
) -> None:
    """With the table of the link, and its own fix."""
    organizer = app.organizer()
    app.run.graph.order(fault, when=lambda call: when in call.request.target)

    answer = app.post(_by_link(app.meeting(organizer), userId=organizer.user_principal_name))

    assert (answer.status_code, answer.json()["code"]) == (403, code)
    assert fix in answer.json()["fix"]


def test_a_meeting_id_can_be_derived_from_a_long_link(fresh_app: FreshApp) -> None:
    """`DERIVE_MEETING_ID` saves the lookup. If the id is wrong, the lookup is made."""
    app = fresh_app({"DERIVE_MEETING_ID": "true"})
    meeting = app.meeting(long_link=True)
    # Its link names another thread than its id does, so that the guess leads nowhere.
    odd_link = app.meeting(long_link=True).join_web_url.replace("meeting_", "meeting_x")
    odd = app.meeting(app.run.clinic.doctor, join_web_url=odd_link)

    derived = app.post(_by_link(meeting))
    calls = app.run.graph.count()
    looked_up = app.post(_by_link(odd, app.run.clinic.doctor))

    assert _is_link(app, derived, meeting)
    assert calls == 1
    assert _is_link(app, looked_up, odd)
    assert app.run.graph.count() - calls == 3
