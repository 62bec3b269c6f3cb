"""Queue messages: what workflows put in, in each of its forms, and what this app writes.

The app puts requests on the request queue in an envelope of its own: CloudEvents 1.0 (structured
JSON, ASCII) with what a request has been through as extension attributes. It is read back like any
other envelope. Outcomes are CloudEvents, too.
"""

import base64
import binascii
import hashlib
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from shared.core import strict_json
from shared.core.errors import CODES, InvalidRequest, describe
from shared.core.field_errors import FieldError
from shared.core.identifiers import is_request_id, is_source_name, is_traceparent
from shared.core.strict_json import Document, Json, NotJson
from shared.meetings.models import Correlation, Outcome
from shared.queues.retry_policy import History

MAX_DEQUEUE_COUNT = 5
"""How often the host gives out a message: the figure of host.json."""

_TYPE = "virtual-appointment.join-link"
REQUESTED = f"{_TYPE}.requested"
_QUEUE = "/virtual-appointment/queue"
_WEBHOOKS = "/virtual-appointment/webhooks/"
_MOST_ATTEMPTS = 10**9
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_logger = logging.getLogger("virtual_appointment")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueMessage:
    """A message as the host gives it out.

    Attributes:
        body: Its text.
        message_id: The queue's id of it.
        dequeue_count: How often it was given out, this time included.
        inserted_on: When it was put on the queue, in seconds since the epoch.
    """

    body: bytes = field(repr=False)
    message_id: str
    dequeue_count: int
    inserted_on: float

    @property
    def is_last(self) -> bool:
        """Whether the host gives up on the message if this time fails."""
        return self.dequeue_count >= MAX_DEQUEUE_COUNT


class MessageUndecodable(ValueError):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What can be read of a message.

    Attributes:
        incoming: What was decoded; without a request where nothing could be.
        correlation: The request's id and context. The id is empty where none can be found.
        undecodable: Why nothing could be decoded.
    """

    incoming: Incoming
    correlation: Correlation
    undecodable: InvalidRequest | None = None


def read(body: bytes) -> Reading:
    """Read a message as far as it goes. Raises nothing."""
    try:
        incoming = decode(body)
        correlation = Correlation.of(
            incoming.document, default_request_id=incoming.default_request_id
        )
        return Reading(incoming=incoming, correlation=correlation)
    except MessageUndecodable as error:
        request_id, detail = error.request_id or "", str(error)
    except Exception as unforeseen:  # noqa: BLE001 - an unreadable message becomes a dead letter all the same
        _logger.error("%s", describe(unforeseen))  # noqa: TRY400 - a traceback may quote it
        request_id, detail = "", "The message could not be read; the log says where."
    nothing = Document(None, (FieldError("", detail),))
    return Reading(
        incoming=Incoming(document=nothing, default_request_id=request_id),
        correlation=Correlation(request_id=request_id),
        undecodable=InvalidRequest(detail),
    )


def decode(body: bytes) -> Incoming:
    """Read a request, bare or as the `data` of a CloudEvents or Event Grid envelope.

    The text may be plain JSON or its base64, and JSON in a JSON string is read once more. Without
    a request id of its own, a request gets the envelope's, else the hash of the message's bytes:
    the same one if the message comes again.

    Raises:
        MessageUndecodable: if there is no JSON to be found.
    """
    try:
        document = _unwrapped(strict_json.read(_json_text(body)))
        value = document.value
        if not isinstance(value, dict) or not _is_envelope(value):
            return Incoming(document=document, default_request_id=digest(body))
    except NotJson as error:
        raise MessageUndecodable(str(error)) from None
    envelope_id, traceparent = value.get("id"), value.get("traceparent")
    named = isinstance(envelope_id, str) and is_request_id(envelope_id)
    traced = isinstance(traceparent, str) and is_traceparent(traceparent)
    try:
        data = _data(document, value)
    except NotJson as error:
        raise MessageUndecodable(
            str(error), request_id=str(envelope_id) if named else None
        ) from None
    return Incoming(
        document=data,
        default_request_id=str(envelope_id) if named else digest(body),
        traceparent=str(traceparent) if traced else None,
        source=_read_source(value),
        history=_read_history(value),
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
        raise MessageUndecodable("The message is neither JSON nor base64.") from None


def _unwrapped(document: Document) -> Document:
    """Read a JSON string that holds JSON, once."""
    if isinstance(document.value, str) and not document.field_errors:
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
    return _unwrapped(Document(value.get("data"), envelope.field_errors))


def write_outcome(
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
        "source": _source_uri(source),
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


def write_request(
    value: Json,
    *,
    request_id: str,
    source: str | None = None,
    traceparent: str | None = None,
    history: History | None = None,
) -> str:
    """Write a request as a message.

    One that is valid takes at most half of a message, however its characters are escaped.

    Args:
        value: the request's JSON.
        request_id: of the request; the envelope's id, for a request that does not hold its own.
        source: the webhook source's name, if it came from one.
        traceparent: of the request, where known.
        history: what it has been through; None for one that is to be tried from the start.
    """
    event: dict[str, Json] = {
        "specversion": "1.0",
        "type": REQUESTED,
        "id": request_id,
        "source": _source_uri(source),
        "datacontenttype": "application/json",
        "data": value,
    }
    if traceparent is not None:
        event["traceparent"] = traceparent
    if history is not None:
        event |= {
            "attempts": history.attempts,
            "repeats": history.repeats,
            "lasterror": history.last_error,
            "firstseen": history.first_seen,
        }
    return json.dumps(event, separators=(",", ":"))


def _source_uri(source: str | None) -> str:
    """Say where a request came from, as CloudEvents do: a webhook source, or the queue."""
    return _QUEUE if source is None else _WEBHOOKS + source


def _read_source(envelope: Mapping[str, Json]) -> str | None:
    """Find the webhook source's name in an envelope; in one of ours only."""
    uri = envelope.get("source")
    if envelope.get("type") != REQUESTED or not isinstance(uri, str):
        return None
    name = uri.removeprefix(_WEBHOOKS)
    return name if name != uri and is_source_name(name) else None


def _read_history(envelope: Mapping[str, Json]) -> History:
    """Find what a request has been through; what makes no sense was never written by us."""
    match envelope:
        case {
            "type": str(kind),
            "attempts": int(attempts),
            "repeats": int(repeats),
            "lasterror": str(last_error),
            "firstseen": (int() | float()) as first_seen,
        } if (
            kind == REQUESTED
            and 1 <= repeats <= attempts <= _MOST_ATTEMPTS
            and last_error in CODES
            and 0 <= first_seen < math.inf
        ):
            return History(
                attempts=attempts, repeats=repeats, last_error=last_error, first_seen=first_seen
            )
        case _:
            return History()
