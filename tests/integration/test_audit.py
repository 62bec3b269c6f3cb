"""Each event of an outcome names its caller by kind and id, from the request to the delivery."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from dev.booking_systems import SECRETS, calcom_booking, sign_as_calcom
from dev.local_run import FUNCTION_KEY
from dev.stand_ins.receiver import Receiver
from tests.integration.app_under_test import App
from tests.integration.conftest import FreshApp
from tests.integration.test_sign_in import application_token, token

SECRET = "whsec_YSBzZWNyZXQgb2YgdGhlIGRlbGl2ZXJpZXMgb2YgdGVzdHM="
CLIENT = "90000000-0000-4000-8000-000000000009"
ON_THE_QUEUE = ["join_link.resolved", "delivery.succeeded"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of all outcomes of the queue."""
    with Receiver(secret=SECRET) as there:
        yield there


def start(fresh_app: FreshApp, receiver: Receiver, **settings: str) -> App:
    """Start an app with deliveries."""
    destination = {"url": receiver.url, "secret": "delivery-crm", "private": True}
    app = fresh_app({"DELIVERIES": json.dumps({"crm": destination}), **settings})
    app.run.vault.set_secret("delivery-crm", app.log.forbid("a delivery's secret", SECRET))
    return app


def post(app: App, route: str, body: Any, **headers: str) -> requests.Response:  # noqa: ANN401
    """Call a route."""
    answer = app.session.post(f"{app.run.url}/api/{route}", json=body, headers=headers, timeout=30)
    assert answer.status_code in (200, 202, 400), answer.text
    return answer


def told(app: App, request_id: str, *events: str) -> set[str]:
    """Wait for these events of a request, and give the callers that they name."""
    found = app.events(request_id, at_least=len(events))
    assert [event["event"] for event in found] == list(events)
    return {event["caller"] for event in found}


def ask_everywhere(app: App, headers: dict[str, str], **members: Any) -> set[str]:  # noqa: ANN401
    """Request join links by each route, once with an error, and give the callers in the events."""
    one, many, later = (app.request(**members) for _ in range(3))
    wrong = app.request(onlineMeetingId=7)

    post(app, "join-link", one, **headers)
    post(app, "join-link", wrong, **headers)
    post(app, "join-links", {"requests": [many]}, **headers)
    post(app, "join-link-requests", later, **headers)

    return (
        told(app, one["requestId"], "join_link.resolved")
        | told(app, wrong["requestId"], "join_link.failed")
        | told(app, many["requestId"], "join_link.resolved")
        | told(app, later["requestId"], "join_link.accepted", *ON_THE_QUEUE)
    )


def test_callers_with_a_key_the_queue_and_sources_are_named(
    fresh_app: FreshApp, receiver: Receiver
) -> None:
    """`key`, `queue` and the source's name, from the request to its delivery."""
    app = start(fresh_app, receiver)
    queued, wrong = app.request(), app.request(userId="nobody")
    meeting = app.meeting()
    organizer = app.run.graph.data.user(meeting.organizer)
    assert organizer is not None
    booking = calcom_booking(meeting, organizer)

    assert ask_everywhere(app, {"x-functions-key": FUNCTION_KEY}) == {"key"}
    app.enqueue(queued)
    app.enqueue(wrong)
    webhook = app.session.post(
        f"{app.run.url}/api/webhooks/calcom",
        data=booking,
        headers=sign_as_calcom(booking, SECRETS["webhook-calcom"]),
        timeout=30,
    )

    assert told(app, queued["requestId"], *ON_THE_QUEUE) == {"queue"}
    failed = told(app, wrong["requestId"], "join_link.failed", "delivery.succeeded")
    assert failed == {"queue"}
    by_webhook = told(app, webhook.json()["requestId"], "webhook.accepted", *ON_THE_QUEUE)
    assert by_webhook == {"calcom"}


def test_callers_with_a_token_are_named_by_their_ids(
    fresh_app: FreshApp, receiver: Receiver
) -> None:
    """An application by its client id, a person by the object id."""
    app = start(fresh_app, receiver, HTTP_AUTH="entra")
    person = app.organizer()
    name = app.log.forbid("a caller's name", f"Dr. {uuid.uuid4().hex}")
    address = app.log.forbid("a caller's address", f"{uuid.uuid4().hex}@clinic.example")
    says = {"name": name, "preferred_username": address, "upn": address, "email": address}
    by_application = application_token(app, azp=CLIENT, app_displayname=name)
    by_person = token(app, person, roles=["JoinLink.Read.All"], **says)

    applications = ask_everywhere(app, {"Authorization": f"Bearer {by_application}"})
    persons = ask_everywhere(app, {"Authorization": f"Bearer {by_person}"})
    own = app.request(app.meeting(person), userId="me")
    post(app, "join-link", own, Authorization=f"Bearer {token(app, person, **says)}")

    guest = token(app, person, acct=1, **says)
    without_role = application_token(app, azp=CLIENT, roles=[])
    refused = {"Authorization": f"Bearer {guest}"}, {"Authorization": f"Bearer {without_role}"}
    answers = [app.post(app.request(), headers={**key, "x-functions-key": None}) for key in refused]

    assert [answer.status_code for answer in answers] == [403, 403]
    ids = [answer.json()["requestId"] for answer in answers]
    assert told(app, ids[0], "join_link.failed") == {f"user:{person.object_id}"}
    assert told(app, ids[1], "join_link.failed") == {f"app:{CLIENT}"}
    assert applications == {f"app:{CLIENT}"}
    assert persons == {f"user:{person.object_id}"}
    assert told(app, own["requestId"], "join_link.resolved") == {f"user:{person.object_id}"}
