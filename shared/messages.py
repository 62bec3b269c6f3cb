"""Queue messages: what workflows put in, in each of its forms, and what they get out."""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from shared import envelopes, strict_json
from shared.identifiers import is_request_id, is_traceparent
from shared.outcomes import Outcome
from shared.retries import History
from shared.strict_json import Document, Json, NotJson

_TYPE = "virtual-appointment.join-link"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Undecodable(ValueError):
    """The message holds no JSON in any form. The message of this error quotes nothing of it.

    Attributes:
        request_id: The envelope's id, where only what is in the envelope cannot be read.
    """

    def __init__(self, detail: str, *, request_id: str | None = None) -> None:
        super().__init__(detail)
        self.request_id = request_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A decoded message: the request's document, and what the envelope says beside it.

    `source`, a webhook source's name, and `history` come from envelopes of ours alone.
    """

    document: Document = field(repr=False)
    default_request_id: str
    traceparent: str | None = None
    source: str | None = None
    history: History = field(default_factory=History)


def decode(body: bytes) -> Incoming:
    """Read a request, bare or as the `data` of a CloudEvents or Event Grid envelope.

    The text may be plain JSON or its base64, and JSON in a JSON string is read once more. Without
    a request id of its own, a request gets the envelope's, else the hash of the message's bytes:
    the same one if the message comes again.

    Raises:
        Undecodable: if there is no JSON to be found.
    """
    try:
        document = _unwrapped(strict_json.read(_json_text(body)))
        value = document.value
        if not isinstance(value, dict) or not _is_envelope(value):
            return Incoming(document=document, default_request_id=digest(body))
    except NotJson as error:
        raise Undecodable(str(error)) from None
    envelope_id, traceparent = value.get("id"), value.get("traceparent")
    named = isinstance(envelope_id, str) and is_request_id(envelope_id)
    traced = isinstance(traceparent, str) and is_traceparent(traceparent)
    try:
        data = _data(document, value)
    except NotJson as error:
        raise Undecodable(str(error), request_id=str(envelope_id) if named else None) from None
    return Incoming(
        document=data,
        default_request_id=str(envelope_id) if named else digest(body),
        traceparent=str(traceparent) if traced else None,
        source=envelopes.read_source(value),
        history=envelopes.read_history(value),
    )


def digest(body: bytes) -> str:
    """Give a request id for a message that has none: the same one if it comes again."""
    return hashlib.sha256(body).hexdigest()


def _json_text(body: bytes) -> bytes:
    text = body.removeprefix(_BYTE_ORDER_MARK).strip()
    if text[:1] in (b"{", b"[", b'"'):
        return text
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Undecodable("The message is neither JSON nor base64.") from None


def _unwrapped(document: Document) -> Document:
    """Read a JSON string that holds JSON, once."""
    if isinstance(document.value, str) and not document.faults:
        return strict_json.read(document.value.encode())
    return document


def _is_envelope(value: Mapping[str, Json]) -> bool:
    cloud_event = "specversion" in value and ("data" in value or "data_base64" in value)
    event_grid = "eventType" in value and "data" in value
    return cloud_event or event_grid


def _data(envelope: Document, value: Mapping[str, Json]) -> Document:
    encoded = value.get("data_base64")
    if isinstance(encoded, str):
        try:
            data = base64.b64decode(encoded.encode(), validate=True)
        except binascii.Error:
            raise NotJson("The event's data_base64 is not base64.") from None
        return strict_json.read(data)
    return _unwrapped(Document(value.get("data"), envelope.faults))


def outcome(
    outcome: Outcome,
    *,
    time: float,
    attempts: int,
    source: str | None = None,
    traceparent: str | None = None,
) -> str:
    """Write an outcome as a CloudEvents 1.0 message (structured JSON, ASCII).

    Args:
        outcome: of the request.
        time: of the outcome, in seconds since the epoch.
        attempts: how often the request was tried.
        source: the webhook source's name, if it came from one.
        traceparent: of the request, where known.
    """
    event: dict[str, Json] = {
        "specversion": "1.0",
        "type": f"{_TYPE}.{'resolved' if outcome.error is None else 'failed'}",
        "id": outcome.request_id,
        "source": envelopes.source_uri(source),
        "time": datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds"),
        "datacontenttype": "application/json",
        "data": {
            **outcome.members,
            "context": outcome.context,
            "attempts": attempts,
            "source": source,
        },
    }
    if traceparent is not None:
        event["traceparent"] = traceparent
    return json.dumps(event, separators=(",", ":"))
