"""Events in the format of real booking systems, from the signature to the result queue."""

import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from dev.booking_systems import SECRETS, sign_as_calcom
from shared.webhooks.presets import PRESETS
from tests.integration.app_under_test import RESULTS, App, LogWatch
from tests.integration.conftest import running_app
from tests.unit import bookings
from tests.unit.bookings import Case, Place

SECRET = SECRETS["webhook-calcom"]
SOURCES = {
    **{name: {"preset": name, "secret": "webhook-calcom"} for name in PRESETS},
    **{
        f"{name}-inline": {
            "preset": name,
            "secret": "webhook-calcom",
            "scheme": {"type": "timestamped", "header": "Calendly-Webhook-Signature"},
            "reply": "inline",
        }
        for name in ("calcom", "calendly")
    },
    "form": {
        "scheme": {"type": "token", "header": "X-Token"},
        "secret": "webhook-calcom",
        "mapping": {"joinWebUrl": "link", "organizer": "who", "context": "note"},
    },
    "grid": {
        "scheme": {"type": "token", "header": "X-Token"},
        "secret": "webhook-calcom",
        "mapping": {"joinWebUrl": "data.link", "organizer": "data.who"},
    },
}


@pytest.fixture(scope="module")
def shared(log: LogWatch) -> Iterator[App]:
    """One app with all presets for the tests of this module."""
    with running_app(log, {"WEBHOOK_SOURCES": json.dumps(SOURCES)}) as app:
        yield app


@pytest.fixture
def app(shared: App) -> App:
    """The app, with an empty result queue."""
    shared.run.queue(RESULTS).clear_messages()
    return shared


def sign(source: str, body: bytes) -> dict[str, str]:
    """Sign as the source's booking system does."""
    if source == "calcom":
        return sign_as_calcom(body, SECRET)
    if source.startswith("calendly") or source.endswith("inline"):
        now = str(int(time.time()))
        signature = hmac.new(SECRET.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
        return {"Calendly-Webhook-Signature": f"t={now},v1={signature}"}
    return {"X-Webhook-Token": SECRET, "X-Token": SECRET}


def post(
    app: App, source: str, event: object, content_type: str = "application/json"
) -> requests.Response:
    """Post bytes as they are, and other bodies as JSON."""
    body = event if isinstance(event, bytes) else json.dumps(event, ensure_ascii=False).encode()
    app.log.forbid("a webhook's secret", SECRET)
    return app.session.post(
        f"{app.run.url}/api/webhooks/{source}",
        data=body,
        headers={"Content-Type": content_type, **sign(source, body)},
        timeout=30,
    )


def place(app: App) -> tuple[Place, str]:
    """Make a meeting with a short link and one with a long link. Give the first one's join link."""
    organizer = app.organizer(mail=f"{uuid.uuid4().hex[:12]}@mail.example")
    meeting, other = app.meeting(organizer), app.meeting(organizer, long_link=True)
    colleague = app.organizer().user_principal_name
    words = Place(
        link=meeting.join_web_url,
        long_link=other.join_web_url,
        meeting_id=meeting.id,
        organizer=organizer.user_principal_name,
        mail=organizer.mail,
        colleague=colleague,
    )
    return words, app.run.graph.join_link(meeting)


def is_empty(app: App) -> bool:
    """Tell whether the result queue is empty."""
    return not app.run.queue(RESULTS).peek_messages()


@pytest.mark.parametrize("case", bookings.cases(), ids=str)
def test_a_booking_has_the_expected_outcome(app: App, case: Case) -> None:
    """A link, an error for a booking without a Teams link, or nothing for an event to ignore."""
    words, link = place(app)

    answer = post(app, case.system, case.event(words))

    told = answer.json()
    assert answer.status_code == 202
    if "ignored" in case.expect:
        assert (told["status"], told["reason"]) == ("ignored", "not_for_us")
        assert told["detail"].startswith("The signature is valid.")
        assert "requestId" not in told
        assert is_empty(app)
    elif "missing" in case.expect:
        assert (told["status"], told["reason"]) == ("ignored", "meeting_missing")
        data = app.result(told["requestId"])["data"]
        assert data["code"] == "meeting_missing"
        assert data["detail"] == "The booking names no Teams meeting."
        assert data["fix"]
    else:
        data = app.result(told["requestId"])["data"]
        assert data["virtualAppointmentJoinWebUrl"]
        assert data["context"].items() >= case.expect.get("context", {}).items()
        if "LONG LINK" not in case.expect.get("members", {}).values():
            assert data["virtualAppointmentJoinWebUrl"].startswith(link)
            assert app.events(told["requestId"], at_least=2)[-1]["graphCalls"] <= 7


@pytest.mark.parametrize(
    "case", [case for case in bookings.cases() if case.expect.get("alternatives")], ids=str
)
def test_an_unusable_reference_is_replaced_by_the_next_inline(app: App, case: Case) -> None:
    """The next reference or organizer is tried within the same request."""
    words, link = place(app)

    answer = post(app, f"{case.system}-inline", case.event(words))

    assert answer.status_code == 200
    assert answer.json()["virtualAppointmentJoinWebUrl"].startswith(link)


@pytest.mark.parametrize(
    ("envelope", "content_type"),
    [
        ({"eventType": "booked", "dataVersion": "1"}, "application/json; charset=utf-8"),
        (
            {"specversion": "1.0", "type": "booked", "source": "/x"},
            "application/cloudevents-batch+json",
        ),
        ({}, "text/plain"),
    ],
)
def test_each_event_of_a_list_is_accepted_separately(
    app: App, envelope: dict[str, str], content_type: str
) -> None:
    """As Event Grid posts. Each has its id, which is the same at a redelivery in any order."""
    words, _ = place(app)
    events: list[Any] = [
        {**envelope, "id": uuid.uuid4().hex, "data": data}
        for data in ({"link": words.link, "who": words.organizer}, {"link": words.long_link})
    ]

    first = post(app, "grid", events, content_type)
    again = post(app, "grid", events[::-1], content_type)

    assert (first.status_code, first.json()["status"]) == (202, "accepted")
    ids = first.json()["requestIds"]
    assert len(set(ids)) == 2
    assert again.json()["requestIds"] == ids[::-1]
    for request_id in ids:
        assert app.result(request_id)["type"].endswith(".resolved")


@pytest.mark.parametrize("quotes", [1, 2])
def test_a_body_quoted_as_a_json_string_is_read(app: App, quotes: int) -> None:
    """As a flow posts it that passes its trigger's body on as text."""
    words, _ = place(app)
    body: Any = {"SelfServiceAppointmentId": "A3", "JoinWebURL": words.long_link}
    for _ in range(quotes):
        body = json.dumps(body)

    answer = post(app, "msbookings", body)

    data = app.result(answer.json()["requestId"])["data"]
    assert data["virtualAppointmentJoinWebUrl"]
    assert data["context"]["bookingId"] == "A3"


@pytest.mark.parametrize("write", [urlencode, json.dumps])
def test_a_form_is_read(app: App, write: Callable[[Any], str]) -> None:
    """Also JSON with a form's content type."""
    words, link = place(app)
    fields = {"link": words.link, "who": words.organizer, "note": "Zoë & Co"}
    content_type = "application/x-www-form-urlencoded"

    answer = post(app, "form", write(fields).encode(), content_type)

    data = app.result(answer.json()["requestId"])["data"]
    assert data["virtualAppointmentJoinWebUrl"] == link
    assert data["context"] == "Zoë & Co"


def test_a_body_that_is_not_json_is_reported(app: App) -> None:
    """A template that does not escape its values would otherwise lose bookings unnoticed."""
    answer = post(app, "calcom", b'{"triggerEvent": "BOOKING_CREATED", "title": "With "quotes""}')

    assert (answer.status_code, answer.json()["reason"]) == (202, "undecodable")
    assert app.result(answer.json()["requestId"])["data"]["code"] == "invalid_request"
