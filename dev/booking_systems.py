"""The booking systems of the local run: what they post, and how they sign it."""

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
"""The local run's WEBHOOK_SOURCES: one for each way to sign."""

SECRETS = {
    "webhook-calcom": "local-calcom-secret",
    "webhook-calendly": "local-calendly-secret",
    "webhook-bookings": "local-bookings-secret",
    "webhook-clinic": f"whsec_{base64.b64encode(b'a secret for the local run alone').decode()}",
}
"""What the local run's Key Vault holds at first."""


ANY_SECRET = f"whsec_{base64.b64encode(b'whatever a source of your own names').decode()}"
"""What every other secret is, that somebody's own sources name. It will do for each scheme."""


@dataclass(frozen=True)
class Preset:
    """A kind of booking system that the app knows.

    Attributes:
        scheme: How it signs, as WEBHOOK_SOURCES says it.
        event: Makes what it posts when somebody books at the clinic.
    """

    scheme: Mapping[str, Any]
    event: Callable[[Clinic], dict[str, Any]]


def read_sources(path: Path) -> dict[str, Any]:
    """Read sources of somebody's own: the JSON of WEBHOOK_SOURCES.

    Raises:
        StartError: The file cannot be read, or holds no JSON object.
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


def secrets_of(sources: Mapping[str, Any]) -> set[str]:
    """Name the secrets that sources name, beside the local run's own."""
    named = {entry.get("secret") for entry in sources.values() if isinstance(entry, dict)}
    return {name for name in named if isinstance(name, str)} - SECRETS.keys()


def secret_of(source: Mapping[str, Any]) -> str:
    """Give the secret that a source signs with here."""
    return SECRETS.get(source["secret"], ANY_SECRET)


def scheme_of(source: Mapping[str, Any]) -> Mapping[str, Any]:
    """Say how a source signs: as it says itself, else as its preset does."""
    scheme = source.get("scheme") or PRESETS[source["preset"]].scheme
    return {"type": scheme} if isinstance(scheme, str) else scheme


def event_of(source: Mapping[str, Any], clinic: Clinic) -> dict[str, Any] | None:
    """Make an event for a booking at the clinic; None where its mapping is too unusual for that."""
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
    """Write what Cal.com posts when somebody books, as far as it matters here."""
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
    """Sign as Standard Webhooks ask for: id, time and body, in base64."""
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
    # Who organizes the meeting, only a link of the long form says.
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
"""Each preset of the app, as the system behind it behaves."""
