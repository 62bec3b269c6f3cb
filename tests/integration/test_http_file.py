"""test.http: each of its requests, sent to the local run, gets the answer in its comment."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from dev.booking_systems import SECRETS
from dev.host.routes import RouteTable
from dev.local_run import DIAGNOSTICS_KEY, FUNCTION_KEY
from tests.integration.app_under_test import App

FILE = Path(__file__).resolve().parents[2] / "test.http"


@dataclass(frozen=True)
class Request:
    """One request with its variables except `url` filled in."""

    title: str
    status: int
    method: str
    path: str
    headers: dict[str, str]
    body: str

    def send(self, url: str) -> requests.Response:
        """Send it to an app at another address than the file's."""
        return requests.request(
            self.method, f"{url}{self.path}", headers=self.headers, data=self.body, timeout=30
        )


def variables() -> dict[str, str]:
    """The variables above the first request."""
    head = FILE.read_text(encoding="utf-8").partition("\n###")[0]
    return dict(re.findall(r"^@(\w+) = (\S+)$", head, re.MULTILINE))


def read(block: str) -> Request:
    """Read a request as REST Client does: without comments and without empty lines at the end."""
    title, *lines = block.splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).strip()
    for name, value in variables().items():
        if name != "url":
            text = text.replace(f"{{{{{name}}}}}", value)
    head, _, body = text.partition("\n\n")
    first, *headers = head.splitlines()
    method, target = first.split(" ")
    (status,) = re.findall(r"^# (\d{3})$", block, re.MULTILINE)
    return Request(
        title=title.strip(),
        status=int(status),
        method=method,
        path=target.removeprefix("{{url}}"),
        headers=dict(header.split(": ", 1) for header in headers),
        body=body,
    )


REQUESTS = [read(block) for block in FILE.read_text(encoding="utf-8").split("\n### ")[1:]]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.title)
def test_a_request_is_answered_as_the_file_says(app: App, request_: Request) -> None:
    """Unchanged, with the clinic of the local run."""
    assert "{{" not in request_.path + request_.body

    answer = request_.send(app.run.url)

    assert answer.status_code == request_.status, answer.text


def test_every_route_of_the_app_has_a_request(app: App) -> None:
    """Each request has an existing route as well."""
    routes = {
        name for name, one in app.run.host.functions.items() if one.trigger["type"] == "httpTrigger"
    }
    table = RouteTable(functions=list(app.run.host.functions.values()), prefix="api")

    found = [table.find(method=one.method, path=one.path) for one in REQUESTS]

    assert {match[0].name for match in found if match} == routes
    assert None not in found


def test_the_variables_are_those_of_the_local_run(app: App) -> None:
    """Its keys, its clinic, and the port of the comment."""
    clinic = app.run.clinic
    text = FILE.read_text(encoding="utf-8")
    (port,) = re.findall(r"python dev\.py serve --port (\d+)", text)

    assert variables() == {
        "url": f"http://127.0.0.1:{port}",
        "key": FUNCTION_KEY,
        "diagnosticsKey": DIAGNOSTICS_KEY,
        "organizer": clinic.doctor.object_id,
        "email": clinic.doctor.user_principal_name,
        "meeting": clinic.meeting.id,
        "teamsLink": clinic.meeting.join_web_url,
        "deletedMeeting": clinic.deleted_meeting.id,
    }


def test_the_signed_booking_is_of_the_clinic_and_signed_with_its_secret(app: App) -> None:
    """After a change of one of them, this test's output has the right header."""
    (booking,) = [one for one in REQUESTS if one.status == 202 and "/webhooks/" in one.path]
    meeting = app.run.clinic.meeting

    signature = hmac.new(
        SECRETS["webhook-calcom"].encode(), booking.body.encode(), hashlib.sha256
    ).hexdigest()

    assert booking.headers["X-Cal-Signature-256"] == signature
    assert meeting.id in booking.body
    assert meeting.join_web_url in booking.body


def test_the_signed_booking_becomes_a_link(app: App) -> None:
    """The webhook's answer only says that it was accepted."""
    (booking,) = [one for one in REQUESTS if one.status == 202 and "/webhooks/" in one.path]

    accepted = booking.send(app.run.url).json()

    event = app.result(accepted["requestId"])
    assert event["data"]["virtualAppointmentJoinWebUrl"] == app.run.graph.join_link(
        app.run.clinic.meeting
    )
