"""The app's tokens: how often they are requested, and what happens without one."""

from concurrent.futures import ThreadPoolExecutor

from dev.booking_systems import SECRETS, sign_as_calcom
from dev.local_run import FUNCTION_KEY
from dev.stand_ins.faults import Body, Hang, Reset, Status
from dev.stand_ins.stand_in import Fault
from tests.integration.app_under_test import App
from tests.integration.conftest import FreshApp

EXPIRED = Status(401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid.")


def test_a_hundred_first_callers_are_one_token_request(fresh_app: FreshApp) -> None:
    """On a cold cache, azure-identity would send one for each thread."""
    app = fresh_app({"GRAPH_TIMEOUT_SECONDS": "10"})
    requests = [app.request() for _ in range(100)]

    with ThreadPoolExecutor(100) as callers:
        answers = list(callers.map(app.post, requests))

    assert {answer.status_code for answer in answers} == {200}
    assert app.run.identity.count() == 1
    assert app.run.graph.count() == 100


def test_the_token_is_asked_for_as_the_configured_identity(fresh_app: FreshApp) -> None:
    """By its client id, and for Graph only."""
    app = fresh_app()
    app.post(app.request())

    (call,) = app.run.identity.calls
    assert "client_id=72f988bf-0000-4000-8000-000000000002" in call.request.target
    assert "resource=https://graph.microsoft.com" in call.request.target


def test_a_rejected_token_is_replaced_once(fresh_app: FreshApp) -> None:
    """With the credential, because azure-identity would give the old token again."""
    app = fresh_app()
    app.post(app.request())
    app.run.graph.order(EXPIRED)

    answer = app.post(app.request())

    assert answer.status_code == 200
    assert app.run.identity.count() == 2


def test_an_unchanged_token_is_not_sent_again(fresh_app: FreshApp) -> None:
    """The endpoint may cache a token for a day."""
    app = fresh_app()
    app.post(app.request())
    app.run.identity.same_token = True
    app.run.graph.always(EXPIRED)
    app.run.graph.clear()

    answer = app.post(app.request())

    assert (answer.status_code, answer.json()["code"]) == (503, "identity_unavailable")
    assert app.run.graph.count() == 1


def test_the_credential_is_replaced_at_most_once_a_minute(fresh_app: FreshApp) -> None:
    """If Graph rejects each token, there must not be a flood of token requests."""
    app = fresh_app()
    app.run.graph.always(EXPIRED)

    answers = [app.post(app.request()) for _ in range(5)]

    assert {answer.status_code for answer in answers} == {503}
    assert app.run.identity.count() == 2


def test_a_failing_endpoint_is_identity_unavailable(fresh_app: FreshApp) -> None:
    """A problem with a fix and Retry-After, without a traceback, until the endpoint is back."""
    faults: list[Fault] = [
        Status(500, "", "An unexpected error"),
        Reset(),
        Body(b"not a token"),
    ]
    for fault in faults:
        app = fresh_app()
        app.run.identity.always(fault)

        answer = app.post(app.request())

        assert (answer.status_code, answer.json()["code"]) == (503, "identity_unavailable")
        assert "MANAGED_IDENTITY_CLIENT_ID" in answer.json()["fix"]
        assert "Retry-After" in answer.headers
        assert app.run.graph.count() == 0


def test_a_hanging_endpoint_delays_no_request_past_its_deadline(fresh_app: FreshApp) -> None:
    """The token request counts. The next request gets a token meanwhile."""
    app = fresh_app()
    app.run.identity.order(Hang())

    answer = app.post(app.request())
    next_answer = app.post(app.request())
    app.run.identity.release()

    assert answer.json()["code"] == "identity_unavailable"
    assert answer.elapsed.total_seconds() < 3
    assert next_answer.status_code == 200


def test_a_token_without_the_app_role_is_permission_missing(fresh_app: FreshApp) -> None:
    """The fix names the role and this identity."""
    app = fresh_app()
    app.run.identity.roles = frozenset()

    answer = app.post(app.request())

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (403, "permission_missing")
    assert "d4f67ec2-59b5-4bdc-b4af-d78f6f9c1954" in problem["fix"]
    assert "72f988bf-0000-4000-8000-000000000002" in problem["fix"]


def test_a_system_assigned_identity_needs_no_client_id(fresh_app: FreshApp) -> None:
    """An empty MANAGED_IDENTITY_CLIENT_ID means the app's own."""
    app: App = fresh_app({"MANAGED_IDENTITY_CLIENT_ID": ""})

    assert app.post(app.request()).status_code == 200
    assert "client_id" not in app.run.identity.calls[0].request.target


def test_a_fetch_that_fails_is_logged_wherever_it_happens(fresh_app: FreshApp) -> None:
    """The host drops what belongs to no invocation, as a thread's of the app's own might.

    A token for Graph, one for the queues in the thread that writes, one for the vault in the thread
    that reads, the secret itself, and the keys of callers' tokens.
    """
    app = fresh_app({"GRAPH_TIMEOUT_SECONDS": "10"}, storage_by_identity=True)
    app.run.identity.always(Status(400, "", "No such identity"))
    headers = {"x-functions-key": FUNCTION_KEY}
    later, webhook = f"{app.run.url}/api/join-link-requests", f"{app.run.url}/api/webhooks/calcom"

    assert app.post(app.request()).status_code == 503
    assert fetches_that_failed(app) == ["The token request"]
    answer = app.session.post(later, json=app.request(), headers=headers, timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (503, "queue_unavailable")
    assert set(fetches_that_failed(app)[1:]) == {"The token request"}
    before = len(fetches_that_failed(app))
    body = b'{"triggerEvent": "PING"}'
    signed = sign_as_calcom(body, SECRETS["webhook-calcom"])
    answer = app.session.post(webhook, data=body, headers=signed, timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (503, "secrets_unavailable")
    assert {*fetches_that_failed(app)[before:]} == {"The token request", "The read of a secret"}


def test_token_failures_of_two_credentials_are_both_logged(fresh_app: FreshApp) -> None:
    """A person's own meeting and another organizer's, each in its own thread."""
    app = fresh_app({"HTTP_AUTH": "entra", "GRAPH_TIMEOUT_SECONDS": "10"})
    person = app.organizer()
    token = app.run.token_of(person, roles=["JoinLink.Read.All"])
    app.run.identity.always(Status(400, "", "No such identity"))
    many = [app.request(app.meeting(person), userId="me"), app.request()]

    answer = app.session.post(
        f"{app.run.url}/api/join-links",
        json={"requests": many},
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    )

    assert [each["status"] for each in answer.json()["results"]] == [503, 503]
    told = sorted(fetches_that_failed(app))
    assert told == ["The token request", "The token request", "The token-exchange"]


def test_keys_that_cannot_be_fetched_are_logged(fresh_app: FreshApp) -> None:
    """By the caller who needed them."""
    app = fresh_app({"HTTP_AUTH": "entra"})
    app.run.entra.always(Status(503))
    token = app.run.token_of(app.organizer())

    answer = app.post(app.request(), headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 503
    assert fetches_that_failed(app) == ["The fetch of signing keys"]


def fetches_that_failed(app: App) -> list[str]:
    """Name them, by the warnings that reached the host, in order."""
    return [
        line.message.partition(" failed: ")[0]
        for line in app.run.host.logs
        if line.logger == "virtual_appointment" and " failed: " in line.message
    ]
