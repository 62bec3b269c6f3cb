"""Booking systems' webhooks, through the host, the worker, Key Vault and the queues."""

import json
import re
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from dev.booking_systems import SECRETS, calcom_booking, sign_as_calcom, sign_as_standard
from dev.stand_ins.faults import Hang, Status
from dev.stand_ins.graph_data import Meeting
from tests.integration.app_under_test import App, eventually
from tests.integration.conftest import FreshApp

SECRET = SECRETS["webhook-calcom"]
STANDARD_SECRET = SECRETS["webhook-clinic"]
GUIDE = Path(__file__).parents[2] / "docs" / "webhooks.md"


def post(app: App, source: str, body: bytes, headers: dict[str, str]) -> requests.Response:
    """Post as a booking system does."""
    for name in ("X-Cal-Signature-256", "webhook-signature"):
        if name in headers:
            app.log.forbid("a signature", headers[name])
    return app.session.post(
        f"{app.run.url}/api/webhooks/{source}", data=body, headers=headers, timeout=30
    )


def book(app: App, *, secret: str = SECRET, **payload: Any) -> tuple[Meeting, requests.Response]:  # noqa: ANN401
    """Post a booking as Cal.com does, with a new id."""
    organizer = app.organizer()
    meeting = app.meeting(organizer)
    app.log.forbid("a webhook's secret", secret)
    app.log.forbid("an attendee's address", "zoe@example.org")
    body = calcom_booking(meeting, organizer, **payload)
    return meeting, post(app, "calcom", body, sign_as_calcom(body, secret))


def book_and_wait_ten_seconds(app: App) -> requests.Response:
    """Post a booking with a short timeout."""
    organizer = app.organizer()
    body = calcom_booking(app.meeting(organizer), organizer)
    return requests.post(
        f"{app.run.url}/api/webhooks/calcom",
        data=body,
        headers=sign_as_calcom(body, SECRET),
        timeout=10,
    )


def count_invocations(app: App, function: str) -> int:
    """Say how often the host has begun to run a function."""
    begun = f"Executing 'Functions.{function}'"
    return sum(line.message.startswith(begun) for line in app.run.host.logs)


def last_event(app: App, name: str) -> dict[str, Any]:
    """Wait for the app's newest event of a kind."""

    def look() -> dict[str, Any] | None:
        lines = [line.message for line in app.run.host.logs if f'"event":"{name}"' in line.message]
        return json.loads(lines[-1]) if lines else None

    return eventually(look)


def test_a_signed_booking_becomes_a_result(app: App) -> None:
    """The answer is 202. The link arrives on the result queue, with the source and the context."""
    meeting, answer = book(app)

    assert answer.status_code == 202
    event = app.result(answer.json()["requestId"])
    assert event["type"] == "virtual-appointment.join-link.resolved"
    assert event["source"] == "/virtual-appointment/webhooks/calcom"
    assert event["data"]["source"] == "calcom"
    assert event["data"]["virtualAppointmentJoinWebUrl"] == app.run.graph.join_link(meeting)
    assert event["data"]["context"]["attendees"] == [{"name": "Zoë", "email": "zoe@example.org"}]
    sources = {one["event"]: one["source"] for one in app.events(event["id"], at_least=2)}
    assert sources == {"webhook.accepted": "calcom", "join_link.resolved": "calcom"}


def test_the_bytes_are_verified_as_they_came(app: App) -> None:
    """Unusual white space and text outside ASCII pass the host unchanged."""
    meeting = app.meeting()
    data = json.dumps({"userId": meeting.organizer, "onlineMeetingId": meeting.id})
    body = f'\r\n {{"data" :\t{data},  "text": "Zoë \\u00fc ☂"}}\n\n'.encode()

    answer = post(
        app, "clinic", body, sign_as_standard(body, STANDARD_SECRET, delivery_id=uuid.uuid4().hex)
    )

    assert answer.status_code == 202
    assert "virtualAppointmentJoinWebUrl" in app.result(answer.json()["requestId"])["data"]


def test_a_forged_booking_and_an_unknown_source_look_the_same(app: App) -> None:
    """Status, headers and body, byte for byte."""
    _, forged = book(app, secret="a guess")
    unknown = post(app, "nobody", b"{}", sign_as_calcom(b"{}", SECRET))

    assert (forged.status_code, forged.content) == (401, unknown.content)
    for answer in (forged, unknown):
        answer.headers.pop("Date", None)
    assert forged.headers == unknown.headers
    assert forged.json()["code"] == "signature_invalid"


def test_a_body_in_chunks_is_named_in_the_event(app: App) -> None:
    """The host passes no body on, so the signature cannot be valid."""
    body = b'{"triggerEvent": "PING"}'
    answer = app.session.post(
        f"{app.run.url}/api/webhooks/calcom",
        data=iter([body]),
        headers=sign_as_calcom(body, SECRET),
        timeout=30,
    )
    assert answer.status_code == 401
    note = last_event(app, "webhook.refused")["note"]
    assert note == "signature_differs body_without_content_length"


def test_a_booking_without_its_link_is_published_as_a_failure(app: App) -> None:
    """Cal.com sometimes posts before the link exists."""
    _, answer = book(app, videoCallData=None)

    assert (answer.status_code, answer.json()["reason"]) == (202, "meeting_missing")
    event = app.result(answer.json()["requestId"])
    assert event["type"] == "virtual-appointment.join-link.failed"
    assert event["data"]["code"] == "meeting_missing"
    assert event["source"] == "/virtual-appointment/webhooks/calcom"


def test_a_secret_is_rotated_without_one_refusal(fresh_app: FreshApp) -> None:
    """A new version, the sender's change in any order, and the end of the old version."""
    app = fresh_app()
    assert book(app)[1].status_code == 202

    app.run.vault.set_secret("webhook-calcom", "the new secret")

    secrets = ["the new secret", SECRET, "the new secret", SECRET]
    assert [book(app, secret=secret)[1].status_code for secret in secrets] == [202] * 4


def test_without_the_vault_the_sender_tries_again(fresh_app: FreshApp) -> None:
    """503 in time. When the vault is back, the same booking is accepted."""
    app = fresh_app()
    app.run.vault.always(Status(503))
    _, answer = book(app)
    assert (answer.status_code, answer.json()["code"]) == (503, "secrets_unavailable")

    app.run.vault.clear_orders()
    app.run.vault.always(Hang())
    _, answer = book(app)
    assert answer.status_code == 503
    assert answer.elapsed.total_seconds() < 9
    app.run.vault.clear_orders()
    app.run.vault.release()

    assert book(app)[1].status_code == 202


def test_while_the_queue_service_hangs_senders_get_503_in_time(fresh_app: FreshApp) -> None:
    """Within ten seconds, and 32 of them delay no join link."""
    app = fresh_app(queue_proxy=True)
    assert book(app)[1].status_code == 202
    request = app.request()
    assert app.post(request).status_code == 200
    begun = count_invocations(app, "webhooks")

    with app.run.queue_proxy.stalled(), ThreadPoolExecutor(32) as senders:
        answers = [senders.submit(book_and_wait_ten_seconds, app) for _ in range(32)]
        eventually(lambda: count_invocations(app, "webhooks") - begun == 32)
        link = app.post(request)
        still_waiting = [answer for answer in answers if not answer.done()]

        assert link.status_code == 200
        assert len(still_waiting) == 32
        codes = {(one.result().status_code, one.result().json()["code"]) for one in answers}

    assert codes == {(503, "queue_unavailable")}
    assert eventually(lambda: book(app)[1].status_code == 202)


def test_an_invalid_source_affects_no_other(fresh_app: FreshApp) -> None:
    """503 for it, its name in health, and links for the others, also inline."""
    calcom = {"preset": "calcom", "secret": "webhook-calcom"}
    sources = {
        "calcom": {**calcom, "reply": "inline"},
        "broken": {**calcom, "mapping": {"when": "a["}},
    }
    app = fresh_app({"WEBHOOK_SOURCES": json.dumps(sources)})

    meeting, answer = book(app)

    assert answer.status_code == 200
    assert answer.json()["virtualAppointmentJoinWebUrl"] == app.run.graph.join_link(meeting)
    assert post(app, "broken", b"{}", {}).status_code == 503
    health = app.session.get(f"{app.run.url}/api/health", timeout=30)
    assert health.json() == {
        "status": "healthy",
        "faultySources": [{"name": "broken", "places": ["/mapping/when"]}],
    }


def test_without_webhooks_the_vault_is_not_called(fresh_app: FreshApp) -> None:
    """Neither at the start nor by another route."""
    app = fresh_app()
    assert app.post(app.request()).status_code == 200
    assert app.run.proxy.asked == []


def run_the_guide(
    app: App, language: str, *more: object, secret: str = STANDARD_SECRET
) -> subprocess.CompletedProcess[str]:
    """Run the unchanged program of docs/webhooks.md, and print the response."""
    code, *_ = re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 14
    arguments = ", ".join(map(json.dumps, (f"{app.run.url}/api/webhooks/clinic", secret, *more)))
    programs = {
        "python": [sys.executable, "-c", f"{code}\nprint(json.dumps(post({arguments})))"],
        "javascript": [
            *("node", "--input-type=module", "-e"),
            f"{code}\nconsole.log(JSON.stringify(await post({arguments})));",
        ],
    }
    return subprocess.run(  # noqa: S603 - ours
        programs[language], capture_output=True, timeout=60, check=False, text=True
    )


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_the_guides_program_signs_correctly(app: App, language: str) -> None:
    """It returns the status and the body. The same message id gives the same request id."""
    meeting = app.meeting()
    data = {"userId": meeting.organizer, "onlineMeetingId": meeting.id, "context": {"name": "Zoë"}}
    named = ({"data": data}, f"visit-{uuid.uuid4()}")

    runs = [run_the_guide(app, language, *more) for more in (named, named, named[:1])]

    assert [done.returncode for done in runs] == [0, 0, 0], [done.stderr for done in runs]
    answers = [json.loads(done.stdout) for done in runs]
    assert [(status, body["status"]) for status, body in answers] == [(202, "accepted")] * 3
    first, again, other = (body["requestId"] for _, body in answers)
    assert first == again != other
    for request_id in (first, again, other):
        assert app.result(request_id)["data"]["context"] == {"name": "Zoë"}


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_the_guides_program_raises_for_a_refusal(app: App, language: str) -> None:
    """With the status, so that nobody takes it for accepted, and the problem, which says why."""
    done = run_the_guide(app, language, {"data": {}}, secret="whsec_YSBndWVzcw==")

    assert (done.returncode, done.stdout) == (1, "")
    assert "HTTP 401: {" in done.stderr
    assert '"code": "signature_invalid"' in done.stderr
