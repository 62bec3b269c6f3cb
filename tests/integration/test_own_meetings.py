"""A person's own meetings, through the real worker: by the person's token, exchanged with Entra."""

import base64
import json
import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import requests

from dev.booking_systems import SECRETS, sign_as_standard
from dev.stand_ins.entra import EntraError, is_exchange
from dev.stand_ins.faults import Hang, Status
from dev.stand_ins.graph_data import Meeting, User
from dev.stand_ins.stand_in import Fault
from tests.integration.app_under_test import App, eventually
from tests.integration.conftest import FreshApp

ROLE = "JoinLink.Read.All"
GRAPH_REJECTS = Status(401, "InvalidAuthenticationToken", "Access token validation failure.")


@pytest.fixture
def app(sign_in_app: App) -> App:
    """An app whose callers sign in."""
    return sign_in_app


@pytest.fixture
def doctor(app: App) -> User:
    """A person, whom no access policy covers."""
    return app.organizer(covered=False)


def token(app: App, person: User, **claims: Any) -> str:  # noqa: ANN401 - as claims are
    """Issue a token to a person, which must not be logged."""
    return app.log.forbid("a person's token", app.run.token_of(person, **claims))


def ask(
    app: App, authorization: str, body: Mapping[str, Any], *, route: str = "join-link"
) -> requests.Response:
    """Call a route with a token."""
    return app.session.post(
        f"{app.run.url}/api/{route}",
        json=body,
        headers={"Authorization": f"Bearer {authorization}"},
        timeout=30,
    )


def exchanges(app: App) -> int:
    """Count how often a token was exchanged."""
    return app.run.entra.count(is_exchange)


def paths(app: App) -> list[str]:
    """Give what Graph was asked, without the version."""
    return [call.path.removeprefix("/v1.0") for call in app.run.graph.calls]


def own(meeting: Meeting, **members: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Ask for a meeting by its id, as one's own."""
    return {"onlineMeetingId": meeting.id, **members}


def test_a_person_gets_the_link_of_their_own_meeting(fresh_app: FreshApp) -> None:
    """Without an application permission or access policy. The response has their object id."""
    app = fresh_app({"HTTP_AUTH": "entra"})
    app.run.identity.roles = frozenset()
    doctor = app.organizer(covered=False)
    meeting = app.meeting(doctor)

    answer = ask(app, token(app, doctor), own(meeting, requestId="r", context=[1]))

    assert (answer.status_code, answer.json()) == (
        200,
        {
            "requestId": "r",
            "userId": doctor.object_id,
            "onlineMeetingId": meeting.id,
            "virtualAppointmentJoinWebUrl": app.run.graph.join_link(meeting),
            "context": [1],
        },
    )
    assert all(path.startswith("/me/onlineMeetings/") for path in paths(app))


def test_every_way_to_name_a_meeting_works_for_ones_own(app: App, doctor: User) -> None:
    """By id, Teams link or number, and for each way to say that it is one's own."""
    meeting, older = app.meeting(doctor), app.meeting(doctor, long_link=True)
    references = [
        (meeting, {"onlineMeetingId": meeting.id}),
        (meeting, {"joinWebUrl": meeting.join_web_url}),
        (older, {"joinWebUrl": older.join_web_url}),
        (meeting, {"joinMeetingId": meeting.join_meeting_id}),
    ]
    ways = [{}, {"userId": "me"}, {"userId": doctor.object_id.upper()}]
    authorization = token(app, doctor)

    for expected, reference in references:
        for way in ways:
            answer = ask(app, authorization, {**reference, **way})
            assert answer.json().get("virtualAppointmentJoinWebUrl") == app.run.graph.join_link(
                expected
            )

    assert all(path.startswith("/me/") for path in paths(app))
    assert exchanges(app) == 1


def test_it_works_on_beta_as_well(fresh_app: FreshApp) -> None:
    """GRAPH_VERSION applies to people as to the app."""
    app = fresh_app({"HTTP_AUTH": "entra", "GRAPH_VERSION": "beta"})
    doctor = app.organizer(covered=False)

    assert ask(app, token(app, doctor), own(app.meeting(doctor))).status_code == 200
    assert app.run.graph.calls[0].path.startswith("/beta/me/")


def test_a_hundred_calls_of_one_person_cost_one_exchange(app: App, doctor: User) -> None:
    """The token for Graph is cached while it is valid."""
    meeting, authorization = app.meeting(doctor), token(app, doctor)

    answers = [ask(app, authorization, own(meeting)) for _ in range(100)]

    assert {answer.status_code for answer in answers} == {200}
    assert exchanges(app) == 1


def test_two_persons_share_nothing(app: App, doctor: User) -> None:
    """Each is asked for as themselves, and has an own cache."""
    colleague = app.organizer(covered=False)
    meeting = app.meeting(doctor)
    by_link = {"joinWebUrl": meeting.join_web_url}

    found = ask(app, token(app, doctor), by_link)
    app.run.graph.clear()
    refused = ask(app, token(app, colleague), by_link)

    assert found.status_code == 200
    assert paths(app) == ["/me/onlineMeetings"]  # the look-up, and not what was found before
    assert (refused.status_code, refused.json()["code"]) == (403, "meeting_not_accessible")
    assert "userId" in refused.json()["fix"]  # for whoever has the app role already
    assert exchanges(app) == 2
    assert app.run.graph.join_link(meeting) not in refused.text


def test_the_app_and_a_person_do_not_share_the_cache(app: App, doctor: User) -> None:
    """Each needs the right to look the meeting up."""
    covered = app.organizer()
    meeting = app.meeting(covered)
    by_link = {"userId": covered.object_id, "joinWebUrl": meeting.join_web_url}
    clerk = token(app, doctor, roles=[ROLE])

    assert ask(app, clerk, by_link).status_code == 200
    app.run.graph.clear()
    assert ask(app, token(app, covered), by_link).status_code == 200

    assert len(paths(app)) == 2


def test_two_tokens_of_one_person_are_exchanged_each(app: App, doctor: User) -> None:
    """One sign-in may have fulfilled more conditions than the other."""
    meeting = app.meeting(doctor)

    for _ in range(2):
        assert ask(app, token(app, doctor), own(meeting)).status_code == 200

    assert exchanges(app) == 2


def test_for_another_organizers_meeting_neither_entra_nor_graph_is_called(
    app: App, doctor: User
) -> None:
    """403, and the fix names the app role."""
    theirs = app.meeting(app.organizer(), long_link=True)
    authorization = token(app, doctor)

    for body in (
        own(theirs, userId=theirs.organizer),
        {"joinWebUrl": theirs.join_web_url},
        {"joinWebUrl": theirs.join_web_url, "userId": "me"},
        own(theirs, userId=doctor.user_principal_name),
    ):
        answer = ask(app, authorization, body)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert ROLE in answer.json()["fix"]
    assert (app.run.graph.count(), exchanges(app)) == (0, 0)


def test_a_guess_at_somebody_elses_meeting_id_gets_no_link(app: App, doctor: User) -> None:
    """Graph knows the organizer."""
    theirs = app.meeting(app.organizer())

    answer = ask(app, token(app, doctor), own(theirs))

    assert (answer.status_code, answer.json()["code"]) == (404, "meeting_not_found")


def test_with_the_app_role_a_person_gets_others_meetings_as_the_app(app: App, doctor: User) -> None:
    """Their own are still asked for on their behalf."""
    theirs, mine = app.meeting(), app.meeting(doctor)
    authorization = token(app, doctor, roles=[ROLE])

    assert ask(app, authorization, own(theirs, userId=theirs.organizer)).status_code == 200
    assert exchanges(app) == 0
    assert ask(app, authorization, own(mine)).status_code == 200
    assert exchanges(app) == 1


def test_a_mixed_batch_is_one_exchange_and_one_batch_for_each_credential(
    app: App, doctor: User
) -> None:
    """An item that is not allowed has its own problem."""
    mine = [app.meeting(doctor) for _ in range(3)]
    theirs = [app.meeting() for _ in range(3)]
    requests_ = [
        item
        for own_one, other in zip(mine, theirs, strict=True)
        for item in (own(own_one), own(other, userId=other.organizer))
    ]
    app.run.graph.clear()

    answer = ask(
        app,
        token(app, doctor, roles=[ROLE]),
        {"requests": requests_},
        route="join-links",
    )

    assert [item["status"] for item in answer.json()["results"]] == [200] * 6
    assert (exchanges(app), paths(app)) == (1, ["/$batch", "/$batch"])
    batches = [json.loads(call.request.body)["requests"] for call in app.run.graph.calls]
    assert sorted(item["url"].startswith("/me/") for batch in batches for item in batch) == (
        [False] * 3 + [True] * 3
    )


def test_an_entra_that_hangs_does_not_delay_the_apps_own_items(app: App, doctor: User) -> None:
    """Each credential's items are sent separately."""
    app.run.entra.always(Hang(), when=is_exchange)
    mine, theirs = app.meeting(doctor), app.meeting()
    body = {"requests": [own(mine), own(theirs, userId=theirs.organizer)]}

    answer = ask(app, token(app, doctor, roles=[ROLE]), body, route="join-links")

    assert [item["status"] for item in answer.json()["results"]] == [503, 200]


def test_in_a_batch_the_refused_item_alone_is_refused(app: App, doctor: User) -> None:
    """The others get their results."""
    theirs, mine = app.meeting(), app.meeting(doctor)
    body = {"requests": [own(mine), own(theirs, userId=theirs.organizer), own(mine, userId="me")]}

    answer = ask(app, token(app, doctor), body, route="join-links")

    assert [item["status"] for item in answer.json()["results"]] == [200, 403, 200]
    assert exchanges(app) == 1


def test_an_application_has_no_meetings_of_its_own(app: App) -> None:
    """`me` is 400, and nothing is exchanged. With the app role it may ask for any organizer's."""
    meeting = app.meeting()
    service = app.run.authority.issue_to_application(audience=app.run.registration.client_id)

    me = ask(app, service, own(meeting, userId="me"))
    any_organizers = ask(app, service, own(meeting, userId=meeting.organizer))

    assert (me.status_code, me.json()["errors"][0]["pointer"]) == (400, "/userId")
    assert any_organizers.status_code == 200
    assert exchanges(app) == 0


def test_events_name_who_asked(app: App, doctor: User) -> None:
    """A person by the object id, an application by its client id, refused or not."""
    meeting, theirs = app.meeting(doctor), app.meeting()
    service = app.run.authority.issue_to_application(
        audience=app.run.registration.client_id, azp="the-service"
    )
    asked = {
        "own": (token(app, doctor), own(meeting)),
        "refused": (token(app, doctor), own(theirs, userId=theirs.organizer)),
        "service": (service, own(theirs, userId=theirs.organizer)),
    }
    callers = {}
    for name, (authorization, body) in asked.items():
        request_id = f"{name}-{uuid.uuid4().hex}"
        ask(app, authorization, {**body, "requestId": request_id})
        (event,) = eventually(partial(app.events, request_id))
        callers[name] = event["caller"]

    person = f"user:{doctor.object_id}"
    assert callers == {"own": person, "refused": person, "service": "app:the-service"}


def test_a_guest_is_forbidden(app: App, doctor: User) -> None:
    """Whatever the guest's token holds."""
    meeting = app.meeting(doctor)

    for claims in ({"acct": 1}, {"acct": 1, "roles": [ROLE]}):
        answer = ask(app, token(app, doctor, **claims), own(meeting))
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert exchanges(app) == 0


def test_with_a_key_and_on_the_queue_me_is_invalid(fresh_app: FreshApp) -> None:
    """400, and on the queue a final failure."""
    app = fresh_app()
    request = {**app.request(), "userId": "me"}

    answer = app.post(request)
    app.enqueue({**request, "requestId": "queued"})
    event = app.result("queued")

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/userId")
    assert "person who signs in" in answer.json()["errors"][0]["detail"]
    assert event["type"].endswith(".failed")
    assert event["data"]["code"] == "invalid_request"
    assert exchanges(app) == 0


def test_in_a_webhook_me_is_invalid(fresh_app: FreshApp) -> None:
    """The event is accepted, because a sender would give up, and its outcome is a final failure."""
    app = fresh_app()
    data = {"userId": "me", "joinMeetingId": app.meeting().join_meeting_id}
    body = json.dumps({"type": "appointment.booked", "data": data}).encode()
    headers = sign_as_standard(body, SECRETS["webhook-clinic"], delivery_id=uuid.uuid4().hex)

    answer = app.session.post(
        f"{app.run.url}/api/webhooks/clinic", data=body, headers=headers, timeout=30
    )
    event = app.result(answer.json()["requestId"])

    assert answer.status_code == 202
    assert event["type"].endswith(".failed")
    assert event["data"]["code"] == "invalid_request"
    assert event["data"]["errors"][0]["pointer"] == "/userId"
    assert exchanges(app) == 0


ATTACKS: dict[str, dict[str, Any]] = {
    "another tenant's": {"tid": "90000000-0000-4000-8000-00000000000a"},
    "another tenant's issuer": {"iss": "https://login.microsoftonline.com/other/v2.0"},
    "for another audience": {"aud": "20000000-0000-4000-8000-0000000000ff"},
    "for Graph": {"aud": "https://graph.microsoft.com"},
    "an application's": {"idtyp": "app"},
    "an ID token": {"scp": None, "azp": None},
    "ended": {"lifetime": -120},
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_only_a_valid_token_is_exchanged(app: App, doctor: User, attack: str) -> None:
    """It is checked first, so that the app reveals nothing about stolen tokens."""
    answer = ask(app, token(app, doctor, **ATTACKS[attack]), own(app.meeting(doctor)))

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert exchanges(app) == 0


def test_a_token_is_checked_before_the_cache_is_used(app: App, doctor: User) -> None:
    """With one byte changed it is another token."""
    meeting, good = app.meeting(doctor), token(app, doctor)
    assert ask(app, good, own(meeting)).status_code == 200
    head, payload, signature = good.split(".")
    changed = ("A" if signature[0] != "A" else "B") + signature[1:]

    assert ask(app, f"{head}.{payload}.{changed}", own(meeting)).status_code == 401


def test_a_token_that_ended_within_our_leeway_is_refused_by_entra(app: App, doctor: User) -> None:
    """Its exchange fails, and nothing that was remembered serves it."""
    meeting = app.meeting(doctor)

    answer = ask(app, token(app, doctor, lifetime=-20), own(meeting))

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].endswith('error="invalid_token"')
    assert exchanges(app) == 1


def test_a_token_that_graph_rejects_is_exchanged_once_more(app: App, doctor: User) -> None:
    """The new token is used, and the old one no more."""
    meeting, authorization = app.meeting(doctor), token(app, doctor)
    ask(app, authorization, own(meeting))
    app.run.graph.order(GRAPH_REJECTS)

    assert ask(app, authorization, own(meeting)).status_code == 200
    assert ask(app, authorization, own(meeting)).status_code == 200
    assert exchanges(app) == 2


def test_if_graph_rejects_each_token_there_is_one_exchange_a_minute(app: App, doctor: User) -> None:
    """For each person."""
    meeting, authorization = app.meeting(doctor), token(app, doctor)
    app.run.graph.always(GRAPH_REJECTS)

    answers = [ask(app, authorization, own(meeting)) for _ in range(5)]

    assert {(one.status_code, one.json()["code"]) for one in answers} == {
        (503, "identity_unavailable")
    }
    assert exchanges(app) == 2
    told = f"{answers[0].json()['detail']} {answers[0].json()['fix']}"
    assert "on your behalf" in told
    assert "Sign in again" in told
    assert "the app's token" not in told


CLAIMS = '{"access_token":{"capolids":{"essential":true,"values":["da9d1d9d"]}}}'
NEEDS_MFA = EntraError(
    "invalid_grant",
    50076,
    "You must use multi-factor authentication.",
    suberror="basic_action",
    claims=CLAIMS,
)
REFUSALS: dict[str, tuple[Fault, int, str]] = {
    "nobody consented": (
        EntraError("invalid_grant", 65001, "…", suberror="consent_required"),
        403,
        "consent_missing",
    ),
    "a policy of Graph wants more": (NEEDS_MFA, 401, "unauthorized"),
    "a policy blocks": (EntraError("invalid_grant", 53003, "…"), 403, "forbidden"),
    "not assigned": (EntraError("invalid_grant", 50105, "…"), 403, "forbidden"),
    "Entra throttles": (Status(429, "temporarily_unavailable", ""), 503, "identity_unavailable"),
    "Entra is ill": (Status(500, "server_error", ""), 503, "identity_unavailable"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_of_entra_has_its_code(app: App, doctor: User, name: str) -> None:
    """It is cached for this token, so a client's loop does not reach Entra."""
    refusal, status, code = REFUSALS[name]
    app.run.entra.always(refusal, when=is_exchange)
    meeting, authorization = app.meeting(doctor), token(app, doctor)

    answers = [ask(app, authorization, own(meeting)) for _ in range(5)]

    assert {(one.status_code, one.json()["code"]) for one in answers} == {(status, code)}
    assert exchanges(app) == 1
    assert ("Retry-After" in answers[0].headers) == (status == 503)
    assert app.run.graph.count() == 0


@pytest.mark.parametrize("capabilities", [None, ["cp1"]])
def test_a_claims_challenge_is_passed_on_to_clients_that_can_handle_it(
    app: App, doctor: User, capabilities: list[str] | None
) -> None:
    """Unchanged, to clients that declare cp1. Others are told whom to ask."""
    app.run.entra.always(NEEDS_MFA, when=is_exchange)
    meeting, authorization = app.meeting(doctor), token(app, doctor, xms_cc=capabilities)

    one = ask(app, authorization, own(meeting))
    many = ask(app, authorization, {"requests": [own(meeting)]}, route="join-links")

    assert (one.status_code, many.json()["results"][0]["status"]) == (401, 401)
    assert "administrator" in one.json()["fix"]
    for answer in (one, many) if capabilities else ():
        challenge = answer.headers["WWW-Authenticate"]
        assert 'error="insufficient_claims"' in challenge
        encoded = challenge.partition('claims="')[2].rstrip('"')
        assert base64.b64decode(encoded).decode() == CLAIMS
    if not capabilities:
        assert "claims=" not in one.headers["WWW-Authenticate"]
        assert "WWW-Authenticate" not in many.headers


def test_a_failed_exchange_affects_only_its_own_token(app: App, doctor: User) -> None:
    """Not even the same person's next token."""
    meeting = app.meeting(doctor)
    app.run.entra.order(EntraError("invalid_grant", 50173, "…"), when=is_exchange)
    colleague = app.organizer(covered=False)

    assert ask(app, token(app, doctor), own(meeting)).status_code == 401
    assert ask(app, token(app, colleague), own(app.meeting(colleague))).status_code == 200
    assert ask(app, token(app, doctor), own(meeting)).status_code == 200


def test_the_fix_for_a_missing_federated_credential_has_its_three_values(
    fresh_app: FreshApp,
) -> None:
    """After one more try, because a new credential is not known everywhere at once."""
    app = fresh_app({"HTTP_AUTH": "entra", "GRAPH_TIMEOUT_SECONDS": "10"})
    doctor = app.organizer(covered=False)
    app.run.registration.credential = None

    answer = ask(app, token(app, doctor), own(app.meeting(doctor)))

    assert (answer.status_code, answer.json()["code"]) == (503, "sign_in_setup_incomplete")
    for value in (
        app.run.entra.issuer,
        app.run.identity.object_id,
        "api://AzureADTokenExchange",
        app.run.registration.client_id,
    ):
        assert value in answer.json()["fix"]
    assert answer.headers["Retry-After"] == "60"
    assert exchanges(app) == 2


def test_a_new_federated_credential_causes_one_short_wait(
    fresh_app: FreshApp,
) -> None:
    """The caller still gets the link."""
    app = fresh_app({"HTTP_AUTH": "entra", "GRAPH_TIMEOUT_SECONDS": "10"})
    doctor = app.organizer(covered=False)
    app.run.registration.unspread = 1

    assert ask(app, token(app, doctor), own(app.meeting(doctor))).status_code == 200
    assert exchanges(app) == 2


def test_a_consented_permission_may_not_be_enough(fresh_app: FreshApp) -> None:
    """Each of two permissions is enough for a link, but a lookup needs OnlineMeetings.Read."""
    app = fresh_app({"HTTP_AUTH": "entra"})
    doctor = app.organizer(covered=False)
    app.run.registration.consented = frozenset({"VirtualAppointment.Read"})
    meeting, authorization = app.meeting(doctor), token(app, doctor)

    by_id = ask(app, authorization, own(meeting))
    by_link = ask(app, authorization, {"joinWebUrl": meeting.join_web_url})

    assert by_id.status_code == 200
    assert (by_link.status_code, by_link.json()["code"]) == (403, "consent_missing")
    assert "az ad app permission grant" in by_link.json()["fix"]


def test_the_persons_token_goes_to_entra_and_graphs_to_graph(app: App, doctor: User) -> None:
    """Each to one place only, and neither to the log."""
    app.run.graph.clear()
    ask(app, token(app, doctor), own(app.meeting(doctor)))

    (call,) = app.run.graph.calls
    assert call.claims["aud"] == "https://graph.microsoft.com"
    assert (call.claims["oid"], call.claims["scp"]) == (
        doctor.object_id,
        "OnlineMeetings.Read VirtualAppointment.Read",
    )
