"""The demo's receiver: what is delivered to it, and how it is verified."""

import time
import uuid
from collections.abc import Mapping
from typing import Any

import requests

from dev.local_run import FUNCTION_KEY, LocalApp
from dev.stand_ins.faults import Status
from dev.stand_ins.receiver import Receiver

SECRET = "whsec_YSBzZWNyZXQgb2YgdGhlIGRlbW8ncyBkZWxpdmVyaWVz"  # noqa: S105 - made up
SECRET_NAME = "delivery-demo"  # noqa: S105 - a name
_WAIT = 60.0  # seconds for a delivery, its second try included


def destination(receiver: Receiver) -> dict[str, Any]:
    """Write the receiver's entry of DELIVERIES."""
    return {"url": receiver.url, "secret": SECRET_NAME, "private": True}


def delivered(receiver: Receiver, run: LocalApp) -> Mapping[str, Any]:
    """Ask for a link for later, and wait for its delivery."""
    return _ask(receiver, run)


def second_try(receiver: Receiver, run: LocalApp) -> Mapping[str, Any]:
    """As `delivered`, of a receiver that is busy at first."""
    receiver.order(Status(503))
    return _ask(receiver, run)


def _ask(receiver: Receiver, run: LocalApp) -> Mapping[str, Any]:
    clinic = run.clinic
    request_id = f"visit-{uuid.uuid4().hex[:8]}"
    receiver.clear()
    print(f'   in:  POST /api/join-link-requests {{"requestId": "{request_id}", …}}')
    answer = requests.post(
        f"{run.url}/api/join-link-requests",
        json={
            "requestId": request_id,
            "userId": clinic.doctor.object_id,
            "onlineMeetingId": clinic.meeting.id,
        },
        headers={"x-functions-key": FUNCTION_KEY},
        timeout=30,
    )
    print(f"   out: {answer.status_code}")
    deadline = time.monotonic() + _WAIT
    while time.monotonic() < deadline:
        for taken in receiver.taken:
            if taken.event["data"]["requestId"] == request_id:
                calls = [
                    call
                    for call in receiver.calls
                    if call.request.headers["webhook-id"] == taken.id
                ]
                tries = " and ".join(str(call.status) for call in calls)
                print(f"   the receiver answered {tries}: {taken.id}")
                print("   its signature was verified by the package standardwebhooks")
                data: Mapping[str, Any] = taken.event["data"]
                return {**data, "statuses": [call.status for call in calls]}
        time.sleep(0.2)
    print(f"   out: nothing was delivered within {_WAIT:.0f} seconds")
    return {}
