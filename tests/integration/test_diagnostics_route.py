"""The routes of the diagnostics: keys, body, number of runs, and the page."""

import threading

import pytest
import requests

from dev.local_run import DIAGNOSTICS_KEY, FUNCTION_KEY
from dev.stand_ins.faults import Hang
from tests.integration.app_under_test import App, eventually
from tests.integration.conftest import FreshApp
from tests.integration.diagnostics_runs import NOBODY, Report, post, run_checks


def test_a_hanging_graph_fails_its_check_and_a_second_run_is_refused(app: App) -> None:
    """Only one run at a time and of limited length. The second gets 429 with Retry-After."""
    app.run.graph.always(Hang())
    found: list[Report] = []
    first = threading.Thread(target=lambda: found.append(run_checks(app, {"userId": NOBODY})))
    first.start()
    eventually(lambda: app.run.graph.held)

    second = post(app, {})
    first.join(timeout=20)

    assert (second.status_code, second.json()["code"]) == (429, "diagnostics_busy")
    assert int(second.headers["Retry-After"]) <= 20
    (checks,) = found
    assert checks.fails_at("organizer")["code"] == "graph_timeout"
    assert checks.body["durationMs"] < 20_000


@pytest.mark.parametrize(
    ("body", "status"), [({"user": "x"}, 400), ([], 400), ({"userId": "x" * 70_000}, 413)]
)
def test_an_invalid_request_is_a_problem(app: App, body: object, status: int) -> None:
    """Besides 200 and 429 there is no other answer."""
    answer = post(app, body)

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("key", "status"), [(DIAGNOSTICS_KEY, 200), (FUNCTION_KEY, 200), ("wrong", 401), ("", 401)]
)
def test_it_requires_a_key(app: App, key: str, status: int) -> None:
    """Its own, or the host's."""
    assert post(app, {}, headers={"x-functions-key": key}).status_code == status


def test_its_own_key_opens_no_other_function(app: App) -> None:
    """It can be given to an administrator of Teams."""
    answer = app.post(app.request(), headers={"x-functions-key": DIAGNOSTICS_KEY})

    assert answer.status_code == 401


def test_it_requires_a_key_with_sign_in_as_well(fresh_app: FreshApp) -> None:
    """For each HTTP_AUTH, because the sign-in may be what does not work."""
    app = fresh_app({"HTTP_AUTH": "entra", "ENTRA_TENANT_ID": NOBODY, "ENTRA_CLIENT_ID": NOBODY})

    assert post(app, {}, headers={"x-functions-key": ""}).status_code == 401
    assert run_checks(app)["settings"]["seen"]["HTTP_AUTH"] == "entra"


def test_the_page_needs_no_key_and_has_a_strict_policy(app: App) -> None:
    """It is static, and its policy allows only requests to the app."""
    answer = requests.get(f"{app.run.url}/api/diagnostics", timeout=10)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert app.run.identity.client_id not in answer.text
