"""The booking systems of the local run: what they post, and how they sign it."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dev.errors import StartError
from dev.stand_ins.graph_data import Meeting, User

SOURCES: Mapping[str, Mapping[str, object]] = {
    "calcom": {"preset": "calcom", "secret": "webhook-calcom"},
    "clinic": {"preset": "standard", "secret": "webhook-clinic"},
}
"""The local run's WEBHOOK_SOURCES."""

SECRETS = {
    "webhook-calcom": "local-calcom-secret",
    "webhook-clinic": f"whsec_{base64.b64encode(b'a secret for the local run alone').decode()}",
}
"""What the local run's Key Vault holds at first."""


ANY_SECRET = f"whsec_{base64.b64encode(b'whatever a source of your own names').decode()}"
"""What every other secret is, that somebody's own sources name."""


def read_sources(path: Path) -> dict[str, Any]:
    """Read sources of somebody's own: the JSON of WEBHOOK_SOURCES.

    Raises:
        StartError: The file cannot be read, or holds no JSON object.
    """
    try:
        sources = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StartError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(sources, dict):
        raise StartError(f"{path} must hold a JSON object: a name and an entry for each source.")
    return sources


def secrets_of(sources: Mapping[str, Any]) -> set[str]:
    """Name the secrets that sources name, beside the local run's own."""
    named = {entry.get("secret") for entry in sources.values() if isinstance(entry, dict)}
    return {name for name in named if isinstance(name, str)} - SECRETS.keys()


def calcom_booking(meeting: Meeting, organizer: User, **payload: Any) -> bytes:  # noqa: ANN401
    """Write what Cal.com posts when somebody books, as far as it matters here."""
    event = {
        "triggerEvent": "BOOKING_CREATED",
        "createdAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
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
