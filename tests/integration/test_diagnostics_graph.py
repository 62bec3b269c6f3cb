"""The diagnostics' checks of Graph, each failing by order to Graph's stand-in."""

import uuid
from typing import Any
from urllib.parse import quote

import pytest

from dev.stand_ins.faults import Status
from dev.stand_ins.graph_faults import NULL_LINK, throttle
from dev.stand_ins.messages import Call
from tests.integration.app_under_test import App
from tests.integration.conftest import FreshApp
from tests.integration.diagnostics_runs import Report, run_checks


@pytest.mark.parametrize(
    ("user_id", "code"),
    [("nobody@clinic.example", "user_not_found"), ("dr. meyer", "invalid_request")],
)
def test_an_organizer_that_cannot_be_resolved_fails(app: App, user_id: str, code: str) -> None:
    """Unknown to Graph, or not an id at all."""
    assert run_checks(app, {"userId": user_id}).fails_at("organizer")["code"] == code


def test_without_the_role_a_name_cannot_be_resolved_and_an_object_id_need_not(
    fresh_app: FreshApp,
) -> None:
    """With object ids the app needs no more than the role for links."""
    app = fresh_app()
    app.run.identity.roles = frozenset({"VirtualAppointment.Read.All"})
    organizer = app.organizer()
    meeting = app.meeting(organizer)

    named = run_checks(app, {"userId": organizer.user_principal_name})
    by_id = run_checks(app, {"userId": organizer.object_id, "onlineMeetingId": meeting.id})

    failed = named.fails_at("organizer")
    assert failed["code"] == "lookup_not_permitted"
    assert "97235f07-e226-4f63-ace3-39588e11d3a1" in failed["fix"]
    assert by_id["join_link_v1"]["status"] == "pass"
    assert "Without OnlineMeetings.Read.All the app cannot" in by_id["roles"]["detail"]


def test_an_organizer_other_than_the_links_is_a_warning(app: App) -> None:
    """The usual reason why a meeting is not found."""
    meeting = app.meeting(long_link=True)

    checks = run_checks(
        app, {"userId": app.organizer().object_id, "joinWebUrl": meeting.join_web_url}
    )

    assert checks["organizer"]["status"] == "warn"
    assert checks["organizer"]["seen"]["organizer in the link"] == meeting.organizer
    assert checks["meeting"]["code"] == "meeting_not_accessible"


def test_a_mail_address_and_a_pasted_text_are_read_as_in_a_request(app: App) -> None:
    """The diagnostics show what the request would show."""
    mail = app.log.forbid("a mail address", f"{uuid.uuid4().hex}@clinic.example")
    user = app.run.graph.data.add_user(f"{uuid.uuid4().hex}@clinic.example", mail=mail)
    meeting = app.meeting(user)
    safe = "https://eur03.safelinks.protection.outlook.com/?url="
    text = f"Join:\r\n<{safe}{quote(meeting.join_web_url, safe='')}&data=05>"

    checks = run_checks(app, {"userId": mail, "joinWebUrl": text})

    assert checks["organizer"]["seen"] == {"userId": user.object_id}
    assert "two for a mail address" in checks["organizer"]["detail"]
    assert checks["join_link_v1"]["status"] == "pass"


def test_a_mail_address_of_two_users_fails_at_the_organizer(app: App) -> None:
    """With what to send instead."""
    mail = f"{uuid.uuid4().hex}@clinic.example"
    for _ in range(2):
        app.run.graph.data.add_user(f"{uuid.uuid4().hex}@clinic.example", mail=mail)

    failed = run_checks(app, {"userId": mail}).fails_at("organizer")

    assert failed["code"] == "user_ambiguous"
    assert "object id" in failed["fix"]


def test_a_link_of_another_tenant_is_a_warning(app: App) -> None:
    """It is the reason why the meeting is not found."""
    link = app.meeting(app.run.clinic.doctor, long_link=True).join_web_url
    tenant = str(uuid.uuid4())

    checks = run_checks(app, {"joinWebUrl": link.replace(app.run.graph.data.tenant_id, tenant)})

    assert checks["organizer"]["status"] == "warn"
    assert checks["organizer"]["seen"]["tenant in the link"] == tenant
    assert checks["meeting"]["code"] == "meeting_not_found"


def _link_at(version: str) -> Any:  # noqa: ANN401 - a condition
    def asks_for_a_link(call: Call) -> bool:
        target = call.request.target
        return target.startswith(f"/{version}/") and target.endswith("JoinWebUrl")

    return asks_for_a_link


def test_a_refused_permission_is_shown_for_both_versions(app: App) -> None:
    """Microsoft's documentation contradicts itself, so this tenant's answer counts."""
    app.run.graph.always(Status(403, "Forbidden", ""), when=_link_at("v1.0"))
    app.run.graph.always(Status(403, "Forbidden", ""), when=_link_at("beta"))
    organizer = app.organizer()

    failed = run_checks(app, {"userId": organizer.object_id}).fails_at("permission")

    assert failed["code"] == "permission_refused"
    assert failed["seen"] == {"permission v1.0": "refused", "permission beta": "refused"}
    assert f'-Identity "{organizer.object_id}"' in failed["fix"]
    assert failed["graphRequestId"]


def test_if_only_beta_accepts_the_permission_the_fix_names_the_setting(app: App) -> None:
    """Changing GRAPH_VERSION is enough."""
    app.run.graph.always(Status(403, "Forbidden", ""), when=_link_at("v1.0"))

    failed = run_checks(app, {"userId": app.organizer().object_id}).fails_at("permission")

    assert failed["seen"] == {"permission v1.0": "refused", "permission beta": "accepted"}
    assert failed["fix"].startswith("Set GRAPH_VERSION to beta.")


def test_a_refusal_for_an_unknown_reason_is_a_warning_and_the_next_checks_run(app: App) -> None:
    """For example if a version of Graph does not have the function."""
    meeting = app.meeting()
    refusal = Status(400, "BadRequest", "Resource not found for the segment.")
    app.run.graph.always(refusal, when=_link_at("v1.0"))

    checks = run_checks(
        app, {"userId": meeting.organizer, "joinMeetingId": meeting.join_meeting_id}
    )

    assert checks.with_status("warn") == ["permission", "access_policy"]
    assert checks["permission"]["seen"]["permission v1.0"] == "unknown (graph_refused)"
    assert checks.with_status("fail") == ["join_link_v1"]
    assert checks["join_link_beta"]["status"] == "pass"


def test_throttling_is_shown_as_throttling(app: App) -> None:
    """It is not shown as a missing permission."""
    app.run.graph.always(throttle("30"), when=_link_at("v1.0"))

    failed = run_checks(app, {"userId": app.organizer().object_id}).fails_at("permission")

    assert failed["code"] == "graph_throttled"
    assert failed["seen"]["permission v1.0"] == "unknown (graph_throttled)"
    assert failed["fix"]


def test_an_organizer_outside_the_policy_gets_the_powershell_lines(app: App) -> None:
    """With the app's client id and the organizer's object id."""
    organizer = app.organizer(covered=False)
    meeting = app.meeting(organizer)

    failed = run_checks(
        app, {"userId": organizer.object_id, "onlineMeetingId": meeting.id}
    ).fails_at("access_policy")

    assert failed["code"] == "access_policy_missing"
    assert f'-AppIds "{app.run.identity.client_id}"' in failed["fix"]
    assert f'-Identity "{organizer.object_id}"' in failed["fix"]
    assert failed["graphRequestId"]


def test_an_organizer_without_a_licence_fails_at_the_policy(app: App) -> None:
    """Graph answers as for a user that it does not know."""
    organizer = app.organizer(licensed=False)

    failed = run_checks(app, {"userId": organizer.object_id}).fails_at("access_policy")

    assert failed["code"] == "user_not_found"
    assert "licence" in failed["fix"]


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ({"joinMeetingId": "1234567890"}, "meeting_not_found"),
        ({"joinMeetingId": "not a number"}, "invalid_request"),
        ({"joinWebUrl": "https://teams.microsoft.com/meet/1234567890"}, "meeting_not_found"),
        ({"joinWebUrl": "https://example.com/"}, "invalid_request"),
        ({"onlineMeetingId": "AAMkAGI2"}, "meeting_id_malformed"),
        ({"onlineMeetingId": ".."}, "invalid_request"),
        ({"onlineMeetingId": "bm90IGEgbWVldGluZw=="}, "meeting_id_malformed"),
    ],
)
def test_a_wrong_meeting_fails_at_the_meeting(
    app: App, reference: dict[str, str], code: str
) -> None:
    """Deleted, unknown, or not a meeting. The check of the policy passes."""
    failed = run_checks(app, {"userId": app.organizer().object_id, **reference}).fails_at("meeting")

    assert failed["code"] == code
    assert failed["fix"]


def test_somebody_elses_meeting_fails_at_the_meeting(app: App) -> None:
    """3003: the fix names both of its meanings."""
    meeting = app.meeting()

    failed = run_checks(
        app, {"userId": app.organizer().object_id, "joinWebUrl": meeting.join_web_url}
    ).fails_at("meeting")

    assert failed["code"] == "meeting_not_accessible"
    assert "belongs to somebody else" in failed["fix"]


def test_no_link_fails_at_the_configured_version_and_warns_at_the_other(app: App) -> None:
    """The last step: Graph knows the meeting and gives no link."""
    meeting = app.meeting()

    def fault_at(version: str) -> Report:
        app.run.graph.always(
            NULL_LINK,
            when=lambda call: (
                _link_at(version)(call) and quote(meeting.id, safe="") in call.request.target
            ),
        )
        checks = run_checks(
            app, {"userId": meeting.organizer, "joinMeetingId": meeting.join_meeting_id}
        )
        app.run.graph.clear_orders()
        return checks

    at_v1, at_beta = fault_at("v1.0"), fault_at("beta")

    assert at_v1.with_status("fail") == ["join_link_v1"]
    assert at_v1["join_link_v1"]["code"] == "graph_unexpected"
    assert at_v1["join_link_beta"]["status"] == "pass"
    assert at_beta.body["verdict"] == "warn"
    assert at_beta.with_status("warn") == ["join_link_beta"]


def test_the_alternate_key_is_tried_for_information_only(app: App) -> None:
    """Whether it works or not, the verdict is the same."""
    meeting = app.meeting(long_link=True)
    app.run.graph.alternate_key = True
    try:
        works = run_checks(app, {"joinWebUrl": meeting.join_web_url})
    finally:
        app.run.graph.alternate_key = False
    without = run_checks(app, {"joinWebUrl": meeting.join_web_url})

    assert works["alternate_key"]["seen"] == {"alternateKey": "works"}
    assert without["alternate_key"]["seen"]["alternateKey"] == "does not work"
    assert works.body["verdict"] == without.body["verdict"] == "pass"
