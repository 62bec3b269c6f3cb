"""The booking systems of the local run: their events, and how they sign them."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.clinic import Clinic
from dev.errors import StartError
from dev.stand_ins.graph_data import Meeting, User
from dev.webhook_events import event_for

SOURCES: Mapping[str, Mapping[str, Any]] = {
    "calcom": {"preset": "calcom", "secret": "webhook-calcom"},
    "calendly": {"preset": "calendly", "secret": "webhook-calendly"},
    "bookings": {"preset": "msbookings", "secret": "webhook-bookings"},
    "clinic": {"preset": "standard", "secret": "webhook-clinic"},
}
"""The local run's WEBHOOK_SOURCES, with one source for each preset."""

SECRETS = {
    "webhook-calcom": "local-calcom-secret",
    "webhook-calendly": "local-calendly-secret",
    "webhook-bookings": "local-bookings-secret",
    "webhook-clinic": f"whsec_{base64.b64encode(b'a secret for the local run alone').decode()}",
}
"""The secrets in the local run's Key Vault at the start."""


ANY_SECRET = f"whsec_{base64.b64encode(b'whatever a source of your own names').decode()}"
"""The value of each other secret, which a user's own sources name. It fits each scheme."""

DELIVERY_SECRET = f"whsec_{base64.b64encode(b'what the local run delivers with').decode()}"
"""The secret that outcomes are delivered with. It fits no source."""


@dataclass(frozen=True)
class Preset:
    """A kind of booking system that the app knows.

    Attributes:
        scheme: Its signature scheme, in the form of WEBHOOK_SOURCES.
        event: Makes the event that it posts for a booking at the clinic.
    """

    scheme: Mapping[str, Any]
    event: Callable[[Clinic], dict[str, Any]]


def read_sources(path: Path) -> dict[str, Any]:
    """Read a file with a user's own sources: the JSON of WEBHOOK_SOURCES.

    Raises:
        StartError: The file cannot be read, or is not a JSON object.
    """
    try:
        sources = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StartError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise StartError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(sources, dict):
        raise StartError(f"{path} must hold a JSON object: a name and an entry for each source.")
    return sources


def with_local_sources(own: Mapping[str, Any]) -> dict[str, Any]:
    """Give a user's own sources and, after them, those of the local run with other names.

    The app calls a source with a name that is not valid by its number.
    """
    return {**own, **{name: source for name, source in SOURCES.items() if name not in own}}


def secrets_of(sources: Mapping[str, Any]) -> set[str]:
    """Give the secrets that the sources name, without those of the local run."""
    named = {entry.get("secret") for entry in sources.values() if isinstance(entry, dict)}
    return {name for name in named if isinstance(name, str)} - SECRETS.keys()


def secret_of(source: Mapping[str, Any]) -> str:
    """Give the secret that a source signs with in the local run."""
    return SECRETS.get(source["secret"], ANY_SECRET)


def scheme_of(source: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a source's signature scheme: its own, else its preset's."""
    scheme = source.get("scheme") or PRESETS[source["preset"]].scheme
    return {"type": scheme} if isinstance(scheme, str) else scheme


def event_of(source: Mapping[str, Any], clinic: Clinic) -> dict[str, Any] | None:
    """Make an event for a booking at the clinic. None if the source's mapping is too unusual."""
    base = PRESETS[source["preset"]].event(clinic) if "preset" in source else {}
    values = {
        "userId": clinic.doctor.object_id,
        "organizer": clinic.doctor.user_principal_name,
        "onlineMeetingId": clinic.meeting.id,
        "joinWebUrl": clinic.meeting.join_web_url,
        "joinMeetingId": clinic.meeting.join_meeting_id,
    }
    return event_for(source.get("mapping") or {}, values, base=base)


def calcom_booking(meeting: Meeting, organizer: User, **payload: Any) -> bytes:  # noqa: ANN401
    """Make the event that Cal.com posts for a booking, with the members that matter here."""
    event = {
        "triggerEvent": "BOOKING_CREATED",
        "createdAt": _now(),
        "payload": {
            "uid": uuid.uuid4().hex,
            "title": "Consultation",
            "startTime": "2027-01-11T09:00:00Z",
            "endTime": "2027-01-11T09:30:00Z",
            "organizer": {"email": organizer.user_principal_name},
            "attendees": [{"name": "Zoë", "email": "zoe@example.org"}],
            "location": "integrations:office365_video",
            "videoCallData": {
                "type": "office365_video",
                "id": meeting.id,
                "url": meeting.join_web_url,
            },
            **payload,
        },
    }
    return json.dumps(event, ensure_ascii=False).encode()


def sign_as_calcom(body: bytes, secret: str) -> dict[str, str]:
    """Sign as Cal.com does: an HMAC of the body, in hex."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"Content-Type": "application/json", "X-Cal-Signature-256": signature}


def sign_as_standard(body: bytes, secret: str, *, delivery_id: str) -> dict[str, str]:
    """Sign by Standard Webhooks: an HMAC of id, time and body, in base64."""
    timestamp = str(int(time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "Content-Type": "application/json",
        "webhook-id": delivery_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }


def _calcom(clinic: Clinic) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(calcom_booking(clinic.meeting, clinic.doctor))
    return event


def _calendly(clinic: Clinic) -> dict[str, Any]:
    address = f"https://api.calendly.com/scheduled_events/{uuid.uuid4()}"
    return {
        "event": "invitee.created",
        "created_at": _now(),
        "payload": {
            "uri": f"{address}/invitees/{uuid.uuid4()}",
            "name": "Zoë",
            "email": "zoe@example.org",
            "scheduled_event": {
                "uri": address,
                "start_time": "2027-01-11T09:00:00Z",
                "end_time": "2027-01-11T09:30:00Z",
                "location": {
                    "type": "microsoft_teams_conference",
                    "status": "pushed",
                    "join_url": clinic.meeting.join_web_url,
                },
                "event_memberships": [{"user_email": clinic.doctor.user_principal_name}],
            },
        },
    }


def _bookings(clinic: Clinic) -> dict[str, Any]:
    # Only a Teams link of the long form names the organizer.
    return {
        "SelfServiceAppointmentId": uuid.uuid4().hex,
        "CustomerName": "Zoë",
        "CustomerEmail": "zoe@example.org",
        "StartTime": "2027-01-11T09:00:00Z",
        "JoinWebURL": clinic.older_meeting.join_web_url,
    }


def _standard(clinic: Clinic) -> dict[str, Any]:
    data = {"userId": clinic.doctor.object_id, "joinWebUrl": clinic.meeting.join_web_url}
    return {"type": "appointment.booked", "data": data}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


PRESETS = {
    "calcom": Preset({"type": "body-hmac", "header": "X-Cal-Signature-256"}, _calcom),
    "calendly": Preset({"type": "timestamped", "header": "Calendly-Webhook-Signature"}, _calendly),
    "msbookings": Preset({"type": "token", "header": "X-Webhook-Token"}, _bookings),
    "standard": Preset({"type": "standard"}, _standard),
}
"""The app's presets, each with its booking system's behaviour."""
