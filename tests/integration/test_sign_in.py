"""HTTP_AUTH=entra: the host checks no key, and the app checks the token."""

from typing import Any

import pytest
import requests

from dev.local_run import FUNCTION_KEY
from dev.stand_ins.faults import Status
from dev.stand_ins.graph_data import Meeting, User
from tests.integration.app_under_test import App, eventually
from tests.integration.conftest import FreshApp

ROUTES = ("join-link", "join-links")


@pytest.fixture
def entra_app(fresh_app: FreshApp) -> App:
    """An app whose callers sign in, which has not read Entra's keys yet."""
    return make(fresh_app)


def make(fresh_app: FreshApp, **settings: str | None) -> App:
    """Make the app, with settings of one's own."""
    return fresh_app({"HTTP_AUTH": "entra", **settings})


def call(
    app: App, route: str, authorization: str | None = None, *, meeting: Meeting | None = None
) -> requests.Response:
    """Ask for one join link by either route, without a function key."""
    request = app.request(meeting)
    body = request if route == "join-link" else {"requests": [request]}
    headers = {} if authorization is None else {"Authorization": authorization}
    return app.session.post(f"{app.run.url}/api/{route}", json=body, headers=headers, timeout=30)


def token(app: App, person: User | None = None, **claims: Any) -> str:  # noqa: ANN401
    """Issue a token to a person, which must not be logged."""
    issued = app.run.token_of(person or app.organizer(), **claims)
    return app.log.forbid("a caller's token", issued)


def application_token(app: App, **claims: Any) -> str:  # noqa: ANN401
    """Issue a token to an application."""
    issued = app.run.authority.issue_to_application(
        audience=app.run.registration.client_id, **claims
    )
    return app.log.forbid("a caller's token", issued)


def test_a_token_is_accepted_on_both_routes_and_a_key_is_not(entra_app: App) -> None:
    """Without a token the problem has the challenge of RFC 6750."""
    doctor = entra_app.organizer()
    meeting = entra_app.meeting(doctor)
    for route in ROUTES:
        good = call(entra_app, route, f"Bearer {token(entra_app, doctor)}", meeting=meeting)
        none = call(entra_app, route)
        bad = call(entra_app, route, f"Bearer {token(entra_app, aud='other')}")
        scopeless = call(entra_app, route, f"Bearer {token(entra_app, scp='User.Read')}")
        guest = call(entra_app, route, f"Bearer {token(entra_app, doctor, acct=1)}")

        assert good.status_code == 200
        assert [
            (answer.status_code, answer.json()["code"]) for answer in (none, bad, scopeless, guest)
        ] == [
            (401, "unauthorized"),
            (401, "unauthorized"),
            (403, "forbidden"),
            (403, "forbidden"),
        ]
        assert [
            answer.headers.get("WWW-Authenticate") for answer in (none, bad, scopeless, guest)
        ] == [
            'Bearer realm="virtual-appointment"',
            'Bearer realm="virtual-appointment", error="invalid_token"',
            'Bearer realm="virtual-appointment", error="insufficient_scope", scope="JoinLink.Read"',
            None,
        ]
        assert none.headers["Content-Type"] == "application/problem+json"
    keyed = entra_app.post(entra_app.request(), headers={"x-functions-key": FUNCTION_KEY})
    assert keyed.status_code == 401
    assert entra_app.run.entra.count(lambda call: call.method == "GET") == 1  # the keys


def test_a_connection_is_tested_as_a_meeting_is_asked_for(entra_app: App) -> None:
    """A person's token and an application's pass, and what opens nothing does not."""

    def test(authorization: str) -> tuple[int, dict[str, Any]]:
        answer = entra_app.session.get(
            f"{entra_app.run.url}/api/connection",
            headers={"Authorization": authorization, "Accept": "application/json"},
            timeout=30,
        )
        assert answer.headers["Content-Type"] == "application/json"
        return answer.status_code, answer.json()

    assert test(f"Bearer {token(entra_app)}") == (200, {})
    assert test(f"Bearer {application_token(entra_app)}") == (200, {})
    status, problem = test(f"Bearer {token(entra_app, scp='User.Read')}")
    assert (status, problem["code"]) == (403, "forbidden")
    status, problem = test("Bearer none")
    assert (status, problem["code"]) == (401, "unauthorized")
    assert entra_app.run.graph.count() == 0


def test_without_a_token_the_body_is_not_read(entra_app: App) -> None:
    """Graph is not called."""
    answer = entra_app.post(data=b"{", headers={"x-functions-key": None})

    assert answer.status_code == 401
    assert entra_app.run.graph.count() == 0


def test_an_application_with_the_app_role_is_accepted(entra_app: App) -> None:
    """With a token of version 1 or 2."""
    for version in ({}, {"ver": "1.0", "iss": f"https://sts.windows.net/{tenant(entra_app)}/"}):
        daemon = application_token(entra_app, **version)

        assert call(entra_app, "join-link", f"Bearer {daemon}").status_code == 200


def tenant(app: App) -> str:
    """Give the tenant's id."""
    return app.run.authority.tenant_id


def test_without_signing_keys_the_answer_is_503(entra_app: App) -> None:
    """Their token may be valid. With keys it is accepted."""
    entra_app.run.entra.order(Status(503))

    away = call(entra_app, "join-link", f"Bearer {application_token(entra_app)}")

    assert (away.status_code, away.json()["code"]) == (503, "identity_unavailable")
    assert away.headers["Retry-After"]
    assert "WWW-Authenticate" not in away.headers
    # Keys are asked for again only some seconds later.
    service = f"Bearer {application_token(entra_app)}"
    assert eventually(lambda: call(entra_app, "join-link", service).ok)


def test_health_needs_no_token(entra_app: App) -> None:
    """Monitors have none."""
    assert entra_app.session.get(f"{entra_app.run.url}/api/health", timeout=10).status_code == 200


def test_without_both_ids_the_settings_are_invalid(fresh_app: FreshApp) -> None:
    """The answer is 503, and no key is accepted."""
    app = make(fresh_app, ENTRA_TENANT_ID=None, ENTRA_CLIENT_ID="")

    answer = call(app, "join-link", f"Bearer {token(app)}")

    assert (answer.status_code, answer.json()["code"]) == (503, "settings_invalid")
    assert "ENTRA_TENANT_ID" in answer.json()["detail"]
    assert "ENTRA_CLIENT_ID" in answer.json()["detail"]
