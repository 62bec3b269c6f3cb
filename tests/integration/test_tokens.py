"""The app's identity: how often it asks for a token, and what happens when there is none."""

from concurrent.futures import ThreadPoolExecutor

from dev.stand_ins.faults import Body, Hang, Reset, Status
from dev.stand_ins.stand_in import Fault
from tests.integration.app_under_test import App
from tests.integration.conftest import FreshApp

EXPIRED = Status(401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid.")


def test_a_hundred_first_callers_are_one_token_request(fresh_app: FreshApp) -> None:
    """Cold cache, every thread at once: azure-identity by itself would send one each."""
    app = fresh_app({"GRAPH_TIMEOUT_SECONDS": "10"})
    requests = [app.request() for _ in range(100)]

    with ThreadPoolExecutor(100) as callers:
        answers = list(callers.map(app.post, requests))

    assert {answer.status_code for answer in answers} == {200}
    assert app.run.identity.count() == 1
    assert app.run.graph.count() == 100


def test_the_token_is_asked_for_as_the_configured_identity(fresh_app: FreshApp) -> None:
    """By its client id, for Graph; and nothing more is asked."""
    app = fresh_app()
    app.post(app.request())

    (call,) = app.run.identity.calls
    assert "client_id=72f988bf-0000-4000-8000-000000000002" in call.request.target
    assert "resource=https://graph.microsoft.com" in call.request.target


def test_a_rejected_token_is_replaced_once(fresh_app: FreshApp) -> None:
    """The credential goes with it: azure-identity would hand out the old token again."""
    app = fresh_app()
    app.post(app.request())
    app.run.graph.order(EXPIRED)

    answer = app.post(app.request())

    assert answer.status_code == 200
    assert app.run.identity.count() == 2


def test_an_unchanged_token_is_not_sent_again(fresh_app: FreshApp) -> None:
    """The endpoint may cache for a day: sending the same token twice proves nothing new."""
    app = fresh_app()
    app.post(app.request())
    app.run.identity.same_token = True
    app.run.graph.always(EXPIRED)
    app.run.graph.clear()

    answer = app.post(app.request())

    assert (answer.status_code, answer.json()["code"]) == (503, "identity_unavailable")
    assert app.run.graph.count() == 1


def test_the_credential_is_replaced_at_most_once_a_minute(fresh_app: FreshApp) -> None:
    """A Graph that rejects everything must not become a flood of token requests."""
    app = fresh_app()
    app.run.graph.always(EXPIRED)

    answers = [app.post(app.request()) for _ in range(5)]

    assert {answer.status_code for answer in answers} == {503}
    assert app.run.identity.count() == 2


def test_a_failing_endpoint_is_identity_unavailable(fresh_app: FreshApp) -> None:
    """A problem with a fix and a hint when to come again; no stack trace, and not for ever."""
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


def test_a_hanging_endpoint_holds_a_request_no_longer_than_its_time(fresh_app: FreshApp) -> None:
    """The token counts towards the request's deadline. The next request has a token meanwhile."""
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
