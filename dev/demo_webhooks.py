"""The demo's steps with booking systems: their events and the results."""

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import requests

from dev.booking_systems import (
    SECRETS,
    calcom_booking,
    sign_as_calcom,
    sign_as_standard,
)
from dev.local_run import LocalApp

_WAIT = 30.0  # seconds for results on the queue
_FLOW = 12
_EVENT_ID = "AAMkADAwATM0MDAAMS0wMDAAMS0wMAItMDAKAEYAAAA="


def calcom(run: LocalApp) -> Mapping[str, Any]:
    """Post a signed Cal.com booking, and wait for its result."""
    answer = _post(run, "calcom", *_booking(run, SECRETS["webhook-calcom"]))
    return _result(run, answer)


def calcom_outlook(run: LocalApp) -> Mapping[str, Any]:
    """Post a booking as Cal.com does with an Outlook calendar, and wait for its result."""
    clinic = run.clinic
    video = {"type": "office365_video", "id": _EVENT_ID, "url": clinic.meeting.join_web_url}
    body = calcom_booking(clinic.meeting, clinic.doctor, videoCallData=video)
    print(f"   the id in it is that of a calendar event: {_EVENT_ID[:16]}…")
    return _result(run, _post(run, "calcom", body, sign_as_calcom(body, SECRETS["webhook-calcom"])))


def standard(run: LocalApp) -> Mapping[str, Any]:
    """Post an event of a home-made system, and wait for its result."""
    clinic = run.clinic
    data = {"userId": clinic.doctor.object_id, "joinMeetingId": clinic.meeting.join_meeting_id}
    body = json.dumps({"type": "appointment.booked", "data": data}).encode()
    headers = sign_as_standard(body, SECRETS["webhook-clinic"], delivery_id=uuid.uuid4().hex)
    return _result(run, _post(run, "clinic", body, headers))


def forged(run: LocalApp) -> Mapping[str, Any]:
    """Post a booking with somebody else's signature."""
    answer = _post(run, "calcom", *_booking(run, "a guess"))
    members: Mapping[str, Any] = answer.json()
    return members


def rotated(run: LocalApp) -> Mapping[str, Any]:
    """Add a version of the secret, and let the sender change to it while it posts bookings."""
    old, new = SECRETS["webhook-calcom"], uuid.uuid4().hex
    answers = []
    for number in range(_FLOW):
        if number == _FLOW // 3:
            run.vault.set_secret("webhook-calcom", new)
            print("   Key Vault <- a new version of webhook-calcom")
        # Cal.com's servers do not all change to the new secret at the same moment.
        secret = new if number >= _FLOW // 3 and number % 2 else old
        body, headers = _booking(run, secret)
        answers.append(
            requests.post(_address(run, "calcom"), data=body, headers=headers, timeout=30)
        )
    statuses = [answer.status_code for answer in answers]
    told = ", ".join(f"{count} times {status}" for status, count in Counter(statuses).items())
    print(f"   {_FLOW} bookings, by turns with the old secret and the new: {told}")
    ids = [answer.json()["requestId"] for answer in answers if answer.ok]
    results = _results(run, ids)
    return {
        "statuses": statuses,
        "links": [one.get("virtualAppointmentJoinWebUrl") for one in results],
    }


def _booking(run: LocalApp, secret: str) -> tuple[bytes, dict[str, str]]:
    body = calcom_booking(run.clinic.meeting, run.clinic.doctor)
    return body, sign_as_calcom(body, secret)


def _address(run: LocalApp, source: str) -> str:
    return f"{run.url}/api/webhooks/{source}"


def _post(run: LocalApp, source: str, body: bytes, headers: Mapping[str, str]) -> requests.Response:
    print(f"   in:  POST /api/webhooks/{source} ({len(body)} bytes, signed)")
    answer = requests.post(_address(run, source), data=body, headers=headers, timeout=30)
    print(f"   out: {answer.status_code} {answer.headers['Content-Type']}")
    return answer


def _result(run: LocalApp, answer: requests.Response) -> Mapping[str, Any]:
    if answer.status_code != 202:
        members: Mapping[str, Any] = answer.json()
        return members
    (result,) = _results(run, [answer.json()["requestId"]])
    print("   out: join-link-results -> the link, under the same request id")
    return result


def _results(run: LocalApp, ids: Iterable[str]) -> list[Mapping[str, Any]]:
    """Take the results of these requests off the queue. A missing one is empty."""
    found: dict[str, Mapping[str, Any]] = {request_id: {} for request_id in ids}
    queue = run.queue("join-link-results")
    deadline = time.monotonic() + _WAIT
    while not all(found.values()) and time.monotonic() < deadline:
        for message in queue.receive_messages(messages_per_page=32):
            queue.delete_message(message)
            event = json.loads(message.content)
            found[event["id"]] = event["data"]
        time.sleep(0.1)
    return list(found.values())
