"""Reads the messages of the request queue in each of their forms, and writes the app's messages.

The app writes requests in its own envelope: CloudEvents 1.0 (structured JSON, ASCII), with the
request's history as extension attributes. The envelope has a version, because messages can be older
than a deployment. It is read like any other envelope. Outcomes are CloudEvents as well.
"""

import base64
import binascii
import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from copy import replace
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from shared.core import strict_json
from shared.core.errors import InternalError, InvalidRequest, ServiceError, describe
from shared.core.identifiers import is_caller_name, is_request_id, is_source_name, is_traceparent
from shared.core.strict_json import Document, FieldError, Json, NotJson
from shared.meetings.models import Alternatives, Correlation, Outcome, reduce_link
from shared.queues.retry_policy import History

MAX_DEQUEUE_COUNT = 5
"""How often the host gives out a message (maxDequeueCount in host.json)."""

_TYPE = "virtual-appointment.join-link"
REQUESTED = f"{_TYPE}.requested"
RESOLVED = f"{_TYPE}.resolved"
FAILED = f"{_TYPE}.failed"
VERSION = 1
"""The version of the app's envelope. A change that an earlier app would misread needs a new one."""
QUEUE_CALLER = "queue"
"""The caller's name in events for a message that somebody else has put on the queue."""
_QUEUE_URI = "/virtual-appointment/queue"
_WEBHOOKS_URI = "/virtual-appointment/webhooks/"
_MOST_ALTERNATIVES = 4096
"""How many characters the alternatives may have, with the escapes of a dead letter."""
_MOST_ITEMS = 1000
"""How many requests a list may have. No more valid ones fit into a message."""
_REQUEST_ID = re.compile(rb'"requestId\\*"\s*:\s*\\*"([!\x23-\x5b\x5d-\x7e]{1,128})\\*"')
_MOST_ENCODINGS = 2
"""How often a message may be encoded in base64: a queue's client may do it once more."""
_PYTHON_BYTES = re.compile(rb"b'([A-Za-z0-9+/=_-]*)'")
"""Base64 as Python's `str` writes bytes, which senders take for the text."""
_FROM_BASE64URL = bytes.maketrans(b"-_", b"+/")
_logger = logging.getLogger("virtual_appointment")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueMessage:
    """A message as the host gives it out.

    Attributes:
        body: Its text.
        message_id: Its id on the queue.
        dequeue_count: How often it was given out, including this time.
        inserted_on: When it was put on the queue, in seconds since the epoch.
    """

    body: bytes = field(repr=False)
    message_id: str
    dequeue_count: int
    inserted_on: float

    @property
    def is_last(self) -> bool:
        """Whether this is the last time that the host gives out the message."""
        return self.dequeue_count >= MAX_DEQUEUE_COUNT


class MessageUndecodable(ValueError):
    """The queue message holds no JSON in any form. The error's text does not quote it.

    Attributes:
        request_id: The envelope's id, if only the envelope can be read; or the request's own id, if
            nothing else can be read.
    """

    def __init__(self, detail: str, *, request_id: str | None = None) -> None:
        super().__init__(detail)
        self.request_id = request_id


class VersionUnknown(MessageUndecodable):
    """A later version of the app has written this message. This version cannot read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A decoded message: the request's document, and what the envelope says about it.

    `source` (a webhook source's name), `caller_name` (who asked over HTTP), `history` and
    `alternatives` are read only from the app's own envelopes. `items` are the requests of a list.
    """

    document: Document = field(repr=False)
    default_request_id: str
    traceparent: str | None = None
    source: str | None = None
    caller_name: str = QUEUE_CALLER
    history: History = field(default_factory=History)
    alternatives: Alternatives = field(default=(), repr=False)
    items: "tuple[Incoming, ...]" = field(default=(), repr=False)

    @property
    def correlation(self) -> Correlation:
        """The request's id and context."""
        return Correlation.of(self.document, default_request_id=self.default_request_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The readable part of a message.

    Attributes:
        incoming: What was decoded. It has no request if nothing could be.
        correlation: The request's id and context. The id is empty if there is none.
        error: Why the message could not be decoded; None if it could.
    """

    incoming: Incoming
    correlation: Correlation
    error: ServiceError | None = None


def read(body: bytes) -> Reading:
    """Read a message as far as it can be read. This raises nothing."""
    error: ServiceError
    try:
        incoming = decode(body)
        return Reading(incoming=incoming, correlation=incoming.correlation)
    except VersionUnknown as newer:
        request_id = newer.request_id or ""
        error = InternalError(
            str(newer), fix="Deploy the later version again, then replay the dead letter."
        )
    except MessageUndecodable as undecodable:
        request_id, error = undecodable.request_id or "", InvalidRequest(str(undecodable))
    except Exception as unforeseen:  # noqa: BLE001 - an unreadable message becomes a dead letter as well
        _logger.error("%s", describe(unforeseen))  # noqa: TRY400 - a traceback may quote it
        request_id, error = "", InvalidRequest("The message could not be read; the log says where.")
    return Reading(
        incoming=Incoming(document=_nothing(error.detail), default_request_id=request_id),
        correlation=Correlation(request_id=request_id),
        error=error,
    )


def decode(body: bytes) -> Incoming:
    """Read a request or a list of them, bare or as the `data` of a CloudEvents or Event Grid event.

    The text may be JSON, base64 of JSON, or JSON in a JSON string. A request without an id gets the
    envelope's id, else a hash of the message's bytes, or in a list a hash of its content. So it has
    the same id if the message comes again.

    Raises:
        MessageUndecodable: if the message holds no JSON.
        VersionUnknown: if it has the app's own envelope, in another version.
    """
    text = body
    try:
        text = _json_text(body)
        document, parts = _unquoted(text)
        return _single(document, parts, default_request_id=digest(body))
    except NotJson as error:
        raise MessageUndecodable(str(error), request_id=_find_request_id(text)) from None


def digest(body: bytes) -> str:
    """Give a request id for a message without one. It is the same if the message comes again."""
    return hashlib.sha256(body).hexdigest()


def _single(
    document: Document, parts: Sequence[object] | None, *, default_request_id: str
) -> Incoming:
    """Read a request, a list of them, or the event around either.

    Args:
        document: the document that was read.
        parts: the items of the list, if the document or its `data` is a list.
        default_request_id: the request's id, if neither it nor the event has one.
    """
    value = document.value
    if not isinstance(value, dict):
        return _list(document, parts or (), default_request_id=default_request_id)
    if not _is_envelope(value):
        return Incoming(document=document, default_request_id=default_request_id)
    envelope_id, traceparent = value.get("id"), value.get("traceparent")
    named = isinstance(envelope_id, str) and is_request_id(envelope_id)
    traced = isinstance(traceparent, str) and is_traceparent(traceparent)
    request_id = str(envelope_id) if named else default_request_id
    if value.get("type") == REQUESTED and value.get("version", VERSION) != VERSION:
        raise VersionUnknown(
            "A later version of the app has written this message.",
            request_id=request_id if named else None,
        )
    try:
        inside = _data(document, value, parts, request_id=request_id)
    except NotJson as error:
        raise MessageUndecodable(str(error), request_id=request_id if named else None) from None
    traceparent = str(traceparent) if traced else None
    source = _read_source(value)
    return replace(
        inside,
        traceparent=traceparent,
        source=source,
        caller_name=_read_caller_name(value) or source or QUEUE_CALLER,
        history=_read_history(value),
        alternatives=_read_alternatives(value),
        items=tuple(replace(each, traceparent=traceparent, source=source) for each in inside.items),
    )


def _list(document: Document, parts: Sequence[object], *, default_request_id: str) -> Incoming:
    """Read a list of requests. An invalid one does not affect the others."""
    if len(parts) > _MOST_ITEMS:
        raise NotJson(f"The list holds {len(parts):,} items; at most {_MOST_ITEMS:,} fit.")
    items = []
    for part in parts:
        one = strict_json.check(part)
        content = digest(json.dumps(one.value, sort_keys=True).encode())
        try:
            if isinstance(one.value, str):
                one, _ = _unquoted(_json_text(one.value.encode()))
            item = _single(one, None, default_request_id=content)
        except NotJson as error:
            item = Incoming(document=_nothing(str(error)), default_request_id=content)
        except MessageUndecodable as error:
            request_id = error.request_id or content
            item = Incoming(document=_nothing(str(error)), default_request_id=request_id)
        items.append(item)
    return Incoming(document=document, default_request_id=default_request_id, items=tuple(items))


def _data(
    envelope: Document,
    value: Mapping[str, Json],
    parts: Sequence[object] | None,
    *,
    request_id: str,
) -> Incoming:
    """Read the request or the list of requests in an envelope."""
    data, encoded = value.get("data"), value.get("data_base64")
    if isinstance(encoded, str) or (isinstance(data, str) and not envelope.field_errors):
        inner = _from_base64(encoded.encode()) if isinstance(encoded, str) else str(data).encode()
        document, parts = _unquoted(_json_text(inner))
        if not isinstance(document.value, list):
            parts = ()
    else:
        document = Document(data, envelope.field_errors)
    return _list(document, parts or (), default_request_id=request_id)


def _nothing(detail: str) -> Document:
    return Document(None, (FieldError("", detail),))


def _json_text(body: bytes) -> bytes:
    """Decode a text that may be base64, or base64 of base64, until it begins as JSON does."""
    text = strict_json.to_utf_8(body).strip()
    if written := _PYTHON_BYTES.fullmatch(text):
        text = written[1]
    for _ in range(_MOST_ENCODINGS):
        if text[:1] in (b"{", b"[", b'"'):
            break
        text = _from_base64(text)
    return text


def _from_base64(text: bytes) -> bytes:
    """Decode base64 or base64url, which may have line breaks and lack its padding."""
    joined = b"".join(text.split()).translate(_FROM_BASE64URL)
    try:
        decoded = base64.b64decode(joined + b"=" * (-len(joined) % 4), validate=True)
    except binascii.Error:
        raise NotJson("The text is neither JSON nor base64.") from None
    return strict_json.to_utf_8(decoded).strip()


def _unquoted(text: bytes) -> tuple[Document, list[object] | None]:
    """Read JSON, which may be quoted as a JSON string, and the items of its list, if any."""
    read = partial(strict_json.read_parts, member="data", control_characters=True)
    return strict_json.read_quoted(text, read, inside=_inside)


def _inside(read: tuple[Document, list[object] | None]) -> bytes | None:
    document, _ = read
    text = None if document.field_errors else strict_json.quoted(document.value)
    return None if text is None else _json_text(text)


def _find_request_id(text: bytes) -> str | None:
    """Find the request's id in a text that is not JSON. None if there is not exactly one."""
    found = set(_REQUEST_ID.findall(text))
    return found.pop().decode() if len(found) == 1 else None


def _is_envelope(value: Mapping[str, Json]) -> bool:
    cloud_event = "specversion" in value and ("data" in value or "data_base64" in value)
    event_grid = "eventType" in value and "data" in value
    return cloud_event or event_grid


def to_event(
    outcome: Outcome,
    *,
    time: float,
    attempts: int,
    source: str | None = None,
    traceparent: str | None = None,
) -> dict[str, Json]:
    """Make the event of an outcome (CloudEvents 1.0).

    Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md

    Args:
        outcome: the request's outcome.
        time: the time of the outcome, in seconds since the epoch.
        attempts: how often the request was tried.
        source: the webhook source's name, if the request came from one.
        traceparent: the request's trace context, where known.
    """
    event: dict[str, Json] = {
        "specversion": "1.0",
        "type": RESOLVED if outcome.error is None else FAILED,
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
    return event


def write_event(event: Mapping[str, Json]) -> str:
    """Write an outcome's event as a queue message (structured JSON, ASCII)."""
    return json.dumps(event, separators=(",", ":"))


def write_request(
    value: Json,
    *,
    request_id: str,
    source: str | None = None,
    caller_name: str | None = None,
    traceparent: str | None = None,
    history: History | None = None,
    alternatives: Alternatives = (),
) -> str:
    """Write a request as a queue message.

    A valid request always fits into a message. Only the Teams link of a pasted text is written.

    Args:
        value: the request's JSON.
        request_id: the request's id. It is also the envelope's, for a request without its own.
        source: the webhook source's name, if it came from one.
        caller_name: who asked, as events name it. The queue's or a source's need not be written.
        traceparent: the request's trace context, where known.
        history: its earlier tries; None for a request that starts from the beginning.
        alternatives: what to try in place of the request's own members. As many are written as
            there is room for.
    """
    event: dict[str, Json] = {
        "specversion": "1.0",
        "type": REQUESTED,
        "version": VERSION,
        "id": request_id,
        "source": _source_uri(source),
        "datacontenttype": "application/json",
        "data": reduce_link(value),
    }
    if traceparent is not None:
        event["traceparent"] = traceparent
    if caller_name is not None and is_caller_name(caller_name):
        event["caller"] = caller_name
    if alternatives:
        event["alternatives"] = _write_alternatives(alternatives)
    if history is not None:
        event |= history.to_members()
    return json.dumps(event, separators=(",", ":"))


def _source_uri(source: str | None) -> str:
    """Give the CloudEvents `source` of a request: a webhook source, or the queue."""
    return _QUEUE_URI if source is None else _WEBHOOKS_URI + source


def _is_ours(envelope: Mapping[str, Json]) -> bool:
    return envelope.get("type") == REQUESTED and envelope.get("version") == VERSION


def _read_source(envelope: Mapping[str, Json]) -> str | None:
    """Read the webhook source's name from the app's own envelope."""
    uri = envelope.get("source")
    if not _is_ours(envelope) or not isinstance(uri, str):
        return None
    name = uri.removeprefix(_WEBHOOKS_URI)
    return name if name != uri and is_source_name(name) else None


def _read_caller_name(envelope: Mapping[str, Json]) -> str | None:
    """Read the name of the caller over HTTP from the app's own envelope."""
    name = envelope.get("caller")
    valid = _is_ours(envelope) and isinstance(name, str) and is_caller_name(name)
    return str(name) if valid else None


def _write_alternatives(alternatives: Alternatives) -> str:
    """Write alternatives as JSON in a string, because CloudEvents attributes cannot be lists."""
    reduced = [reduce_link(dict(each)) for each in alternatives]
    for count in range(len(reduced), 0, -1):
        text = json.dumps(reduced[:count], ensure_ascii=False, separators=(",", ":"))
        if len(json.dumps(json.dumps(text))) <= _MOST_ALTERNATIVES:
            return text
    return "[]"


def _read_alternatives(envelope: Mapping[str, Json]) -> Alternatives:
    """Read a request's alternatives from the app's own envelope."""
    text = envelope.get("alternatives")
    if not _is_ours(envelope) or not isinstance(text, str):
        return ()
    try:
        alternatives = strict_json.read(text.encode()).value
    except NotJson:
        return ()
    if not isinstance(alternatives, list):
        return ()
    return tuple(each for each in alternatives if isinstance(each, dict) and len(each) == 1)


def _read_history(envelope: Mapping[str, Json]) -> History:
    """Read a request's history from the app's own envelope."""
    return History.from_members(envelope) if _is_ours(envelope) else History()
