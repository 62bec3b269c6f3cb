"""The diagnostics in the real worker: a valid setup, and checks that fail on order."""

import json

import pytest

from dev.stand_ins.faults import Body, Status
from shared.diagnostics.checks import CHECKS
from tests.integration.app_under_test import App
from tests.integration.conftest import FreshApp
from tests.integration.diagnostics_runs import BESIDE, NOBODY, run_checks


def test_in_a_valid_setup_all_checks_pass(app: App) -> None:
    """By a Teams link and a mail address."""
    organizer = app.organizer()
    meeting = app.meeting(organizer)

    checks = run_checks(
        app, {"userId": organizer.user_principal_name, "joinWebUrl": meeting.join_web_url}
    )

    assert checks.body["verdict"] == "pass"
    assert checks.with_status("pass") == [check.name for check in CHECKS]
    assert checks["organizer"]["seen"] == {"userId": organizer.object_id}
    assert checks["token"]["seen"]["appid"] == app.run.identity.client_id
    assert checks["token"]["seen"]["oid"] == app.run.identity.object_id
    assert "VirtualAppointment.Read.All" in checks["roles"]["seen"]["roles"]
    assert checks["permission"]["seen"] == {
        "permission v1.0": "accepted",
        "permission beta": "accepted",
    }
    assert checks["queues"]["seen"]["join-link-dead-letters"] == 0
    assert checks["join_link_v1"]["graphRequestId"]


@pytest.mark.parametrize("reference", ["onlineMeetingId", "joinMeetingId", "long link"])
def test_each_meeting_reference_is_accepted(app: App, reference: str) -> None:
    """As for a join link. A long Teams link names its organizer as well."""
    meeting = app.meeting(long_link=reference == "long link")
    bodies = {
        "onlineMeetingId": {"userId": meeting.organizer, "onlineMeetingId": meeting.id},
        "joinMeetingId": {"userId": meeting.organizer, "joinMeetingId": meeting.join_meeting_id},
        "long link": {"joinWebUrl": meeting.join_web_url},
    }

    checks = run_checks(app, bodies[reference])

    assert checks.body["verdict"] == "pass"
    assert checks["join_link_v1"]["status"] == "pass"
    assert checks.with_status("fail") == []


@pytest.mark.parametrize("body", [None, {}])
def test_without_parameters_it_runs_the_checks_that_need_none(app: App, body: object) -> None:
    """Up to the roles, and the checks of other services."""
    checks = run_checks(app, body)

    assert checks.body["verdict"] == "incomplete"
    assert checks.body["summary"].startswith(
        "Nothing failed, but not everything was checked. No organizer was named."
    )
    beside = [check.name for check in CHECKS if check.name in BESIDE]
    assert checks.with_status("pass") == ["settings", "identity", "token", "roles", *beside]
    assert checks["organizer"]["detail"] == "No organizer was named."


def test_with_an_organizer_alone_it_proves_the_policy(app: App) -> None:
    """It makes up a meeting id, and the expected answer is "not found"."""
    checks = run_checks(app, {"userId": app.organizer().object_id})

    assert checks.body["verdict"] == "incomplete"
    assert checks["access_policy"]["status"] == "pass"
    assert checks["meeting"] == {
        "name": "meeting",
        "title": "Meeting",
        "status": "not_reached",
        "detail": "No meeting was named.",
    }


def test_invalid_settings_are_named_and_the_other_checks_run(fresh_app: FreshApp) -> None:
    """No value is shown. The identity and the queues are checked."""
    app = fresh_app({"GRAPH_VERSION": "v-wrong", "KEY_VAULT_URI": "http://wrong.example"})

    checks = run_checks(app, {"userId": NOBODY})

    settings = checks["settings"]
    assert settings["status"] == "fail"
    assert settings["seen"] == {"invalid": ["GRAPH_VERSION", "KEY_VAULT_URI"]}
    assert "environment variables" in settings["fix"]
    assert "wrong" not in json.dumps(checks.body)
    assert {"identity", "token", "roles", "queues"} <= set(checks.with_status("pass"))
    assert checks["organizer"]["detail"] == "The setting GRAPH_VERSION is invalid."
    assert checks["key_vault"]["detail"] == "The setting KEY_VAULT_URI is invalid."


def test_a_missing_bundle_of_authorities_is_an_invalid_setting(
    fresh_app: FreshApp,
) -> None:
    """Graph and the queues are not reached, but the identity is."""
    app = fresh_app({"REQUESTS_CA_BUNDLE": "/nowhere.pem", "GRAPH_VERSION": "v9"})

    checks = run_checks(app, {"userId": NOBODY})

    assert checks["settings"]["status"] == "fail"
    assert checks.with_status("pass") == [
        "identity",
        "token",
        "roles",
        "sign_in",  # not needed here, as the next but one
        "queues",
        "destinations",
    ]
    app = fresh_app({"REQUESTS_CA_BUNDLE": "/nowhere.pem"})
    checks = run_checks(app, {"userId": NOBODY})
    assert checks["settings"]["seen"] == {"invalid": ["REQUESTS_CA_BUNDLE"]}
    assert checks.with_status("pass") == ["identity", "token", "roles"]


def test_no_token_fails_at_the_identity(app: App) -> None:
    """Although the app may still have a valid token in memory."""
    app.run.identity.always(Status(400, "", "No such identity."))

    failed = run_checks(app, {"userId": NOBODY}).fails_at("identity")

    assert failed["code"] == "identity_unavailable"
    assert "MANAGED_IDENTITY_CLIENT_ID" in failed["fix"]


def test_another_applications_token_fails_at_the_token(fresh_app: FreshApp) -> None:
    """The check names the application."""
    app = fresh_app()
    token = app.run.authority.issue(
        audience="https://graph.microsoft.com", client_id=NOBODY, object_id=NOBODY
    )
    answer = {"access_token": token, "expires_on": "9999999999", "token_type": "Bearer"}
    app.run.identity.always(Body(json.dumps(answer).encode()))

    failed = run_checks(app, {"userId": NOBODY}).fails_at("token")

    assert failed["seen"]["appid"] == NOBODY
    assert "MANAGED_IDENTITY_CLIENT_ID" in failed["fix"]


def test_a_token_that_cannot_be_read_is_a_warning(fresh_app: FreshApp) -> None:
    """It may be valid, but its roles are not known."""
    app = fresh_app()
    answer = {"access_token": "opaque", "expires_on": "9999999999", "token_type": "Bearer"}
    app.run.identity.always(Body(json.dumps(answer).encode()))

    checks = run_checks(app, {"userId": NOBODY})

    assert checks["token"]["status"] == "warn"
    assert checks["roles"]["status"] == "fail"
    assert "None" not in checks["roles"]["detail"]


def test_for_a_missing_role_the_tokens_age_and_the_command_are_shown(
    fresh_app: FreshApp,
) -> None:
    """The detail also says whether a newer token, which the app does not use yet, has the role."""
    app = fresh_app()
    app.run.identity.roles = frozenset({"OnlineMeetings.Read.All"})

    before = run_checks(app, {"userId": NOBODY})
    app.run.identity.roles = frozenset({"VirtualAppointment.ReadWrite.All"})
    after = run_checks(app, {"userId": NOBODY})

    failed = before.fails_at("roles")
    assert failed["code"] == "permission_missing"
    assert failed["seen"] == {"roles": ["OnlineMeetings.Read.All"]}
    assert before["token"]["seen"]["issued"] in failed["detail"]
    assert before["token"]["seen"]["ends"] in failed["detail"]
    assert "may take that long" in failed["detail"]
    assert f"az ad sp show --id {app.run.identity.client_id} " in failed["fix"]
    assert "d4f67ec2-59b5-4bdc-b4af-d78f6f9c1954" in failed["fix"]
    assert "restart" not in failed["detail"]
    assert "restart the app" in after.fails_at("roles")["detail"]
