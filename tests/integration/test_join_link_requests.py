"""POST /api/join-link-requests: accepted for later, through the real worker and a real queue."""

from typing import Any

import pytest
import requests

from dev.local_run import FUNCTION_KEY
from dev.stand_ins.graph_faults import unavailable
from tests.integration.app_under_test import App
from tests.integration.conftest import FreshApp
from tests.integration.test_sign_in import application_token, make, token


def ask(app: App, body: dict[str, Any], **headers: str) -> requests.Response:
    """Ask for one join link, for later."""
    return app.session.post(
        f"{app.run.url}/api/join-link-requests", json=body, headers=headers, timeout=30
    )


@pytest.mark.parametrize("reference", ["onlineMeetingId", "joinWebUrl"])
def test_a_request_for_later_is_resolved_on_the_queue(app: App, reference: str) -> None:
    """Under the id that the caller was given, with its context."""
    meeting = app.meeting(long_link=True)
    request = app.request(meeting)
    if reference == "joinWebUrl":
        request = {"joinWebUrl": meeting.join_web_url, "context": request["context"]}

    answer = ask(app, request, **{"x-functions-key": FUNCTION_KEY})

    assert answer.status_code == 202
    request_id = answer.json()["requestId"]
    event = app.result(request_id)
    assert event["type"] == "virtual-appointment.join-link.resolved"
    assert event["source"] == "/virtual-appointment/queue"
    assert event["data"]["virtualAppointmentJoinWebUrl"] == app.run.graph.join_link(meeting)
    assert (event["data"]["context"], event["data"]["source"]) == (request["context"], None)
    assert [event["event"] for event in app.events(request_id, at_least=2)] == [
        "join_link.accepted",
        "join_link.resolved",
    ]


def test_what_graph_does_not_answer_now_is_answered_later(app: App) -> None:
    """The caller does not wait."""
    request = app.request()
    app.run.graph.order(unavailable(503))

    assert ask(app, request, **{"x-functions-key": FUNCTION_KEY}).status_code == 202

    assert app.result(request["requestId"], within=30)["data"]["attempts"] == 2


def test_without_a_key_nothing_is_accepted(app: App) -> None:
    """The host checks the key."""
    assert ask(app, app.request()).status_code == 401


def test_with_tokens_the_app_role_is_needed(
    fresh_app: FreshApp,
) -> None:
    """The scope allows a person's own meetings, which need the person's token."""
    app = make(fresh_app)
    doctor = app.organizer()
    request = app.request(app.meeting(doctor))
    roles = {"roles": ["JoinLink.Read.All"]}

    answers = {
        "application": ask(app, request, Authorization=f"Bearer {application_token(app)}"),
        "person": ask(app, request, Authorization=f"Bearer {token(app, doctor)}"),
        "person with the role": ask(
            app, request, Authorization=f"Bearer {token(app, doctor, **roles)}"
        ),
        "nobody": ask(app, request),
    }
    own = ask(
        app, {**request, "userId": "me"}, Authorization=f"Bearer {token(app, doctor, **roles)}"
    )

    assert {who: answer.status_code for who, answer in answers.items()} == {
        "application": 202,
        "person": 403,
        "person with the role": 202,
        "nobody": 401,
    }
    assert (own.status_code, own.json()["errors"][0]["pointer"]) == (400, "/userId")
