"""The demo's steps with a signed-in person: a meeting of their own, and another organizer's."""

from collections.abc import Mapping
from typing import Any

import requests

from dev.local_run import LocalApp
from dev.stand_ins.entra import is_exchange


def own_meeting(url: str, run: LocalApp) -> Mapping[str, Any]:
    """Ask for a meeting of one's own, as an organizer whom no access policy covers.

    Args:
        url: The address of the app whose callers sign in.
        run: The services that the app needs.
    """
    meeting = run.clinic.locum_meeting
    run.entra.clear()
    token = run.token_of(run.clinic.locum)
    answer = _ask(url, token, {"userId": "me", "joinWebUrl": meeting.join_web_url})
    again = _ask(url, token, {"onlineMeetingId": meeting.id})
    exchanges = run.entra.count(is_exchange)
    print(f"   {exchanges} exchange of the token at Entra for both; no policy, no permission")
    return {**answer, "again": again, "exchanges": exchanges}


def another_meeting(url: str, run: LocalApp) -> Mapping[str, Any]:
    """Ask as the same person for the doctor's meeting."""
    clinic = run.clinic
    run.graph.clear()
    answer = _ask(
        url,
        run.token_of(clinic.locum),
        {"userId": clinic.doctor.object_id, "onlineMeetingId": clinic.meeting.id},
    )
    print(f"   {run.graph.count()} calls to Graph")
    return {**answer, "calls": run.graph.count()}


def _ask(url: str, token: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    print(f"   in:  POST /api/join-link {{{', '.join(body)}}}, signed in as dr.locum")
    answer = requests.post(
        f"{url}/api/join-link",
        json=body,
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    )
    print(f"   out: {answer.status_code} {answer.headers['Content-Type']}")
    members: Mapping[str, Any] = answer.json()
    return members
