"""One outcome for one destination: its queue message, and the body that is posted.

The message holds the destination's name and never its URL. It also holds the outcome's event as on
the result queue, so that each try posts the same body.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeIs

from shared.core import strict_json
from shared.core.errors import InternalError, InvalidRequest, ServiceError, describe
from shared.core.identifiers import is_caller_name, is_request_id, is_source_name, is_traceparent
from shared.core.strict_json import Json, NotJson
from shared.queues.messages import FAILED, QUEUE_CALLER, RESOLVED
from shared.queues.retry_policy import History

_OUTCOMES = {RESOLVED: "resolved", FAILED: "failed"}
_TYPE = "virtual-appointment.join-link.delivery"
VERSION = 1
"""The version of the message. A change that an earlier app would misread needs a new one."""
_NOT_OURS = "The message is not a delivery of this app."
_logger = logging.getLogger("virtual_appointment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An outcome for a destination.

    Attributes:
        destination: The destination's name in DELIVERIES.
        event: The outcome's event (CloudEvents).
        history: The earlier tries.
        caller_name: Who asked, as events name it. The receiver is not told.
    """

    destination: str
    event: dict[str, Json] = field(repr=False)
    caller_name: str
    history: History = field(default_factory=History)

    @property
    def request_id(self) -> str:
        """The request's id."""
        return str(self.event["id"])

    @property
    def source(self) -> str | None:
        """The webhook source's name; None for a request that came by HTTP or by the queue."""
        source = self._data["source"]
        return None if source is None else str(source)

    @property
    def traceparent(self) -> str | None:
        """The request's trace context, where known."""
        traceparent = self.event.get("traceparent")
        return None if traceparent is None else str(traceparent)

    @property
    def outcome(self) -> str:
        """How the request ended: `resolved` or `failed`."""
        return _OUTCOMES[str(self.event["type"])]

    @property
    def id(self) -> str:
        """The delivery's id for its receiver.

        It is the same for each try, and for the same outcome that is written twice. So members that
        differ between tries of the request, such as its time, are not part of it.
        """
        data = self._data
        ended = data.get("virtualAppointmentJoinWebUrl") or data.get("code")
        facts = [self.request_id, self.source, data.get("context"), self.outcome, ended]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return f"msg_{digest[:32]}"

    def body(self) -> bytes:
        """Write the body to post (ASCII JSON)."""
        event = {
            "type": f"join_link.{self.outcome}",
            "timestamp": self.event["time"],
            "data": self.event["data"],
        }
        return json.dumps(event, separators=(",", ":")).encode()

    def to_message(self) -> str:
        """Write the queue message (ASCII JSON)."""
        members: dict[str, Json] = {
            "type": _TYPE,
            "version": VERSION,
            "destination": self.destination,
            "caller": self.caller_name,
            "event": self.event,
        }
        if self.history != History():
            members |= self.history.to_members()
        return json.dumps(members, separators=(",", ":"))

    @property
    def _data(self) -> dict[str, Json]:
        data = self.event["data"]
        assert isinstance(data, dict)  # noqa: S101 - read_delivery sees to it
        return data


def read_delivery(body: bytes) -> Delivery | ServiceError:
    """Read a message of the delivery queue. This raises nothing.

    Returns:
        The delivery. Or an error: InvalidRequest if this app has not written the message,
        InternalError if a later version of the app has.
    """
    try:
        return _read(body)
    except NotJson as error:
        return InvalidRequest(str(error))
    except Exception as unforeseen:  # noqa: BLE001 - an unreadable message becomes a dead letter as well
        _logger.error("%s", describe(unforeseen))  # noqa: TRY400 - a traceback may quote it
        return InvalidRequest("The message could not be read; the log says where.")


def _read(body: bytes) -> Delivery | ServiceError:
    document = strict_json.read(body)
    members = document.value
    if document.field_errors or not isinstance(members, dict) or members.get("type") != _TYPE:
        return InvalidRequest(_NOT_OURS)
    if members.get("version") != VERSION:
        return InternalError(
            "A later version of the app has written this message.",
            fix="Deploy the later version again, then replay the dead letter.",
        )
    destination, event = members.get("destination"), members.get("event")
    if not (isinstance(destination, str) and is_source_name(destination) and _is_outcome(event)):
        return InvalidRequest(_NOT_OURS)
    return Delivery(
        destination=destination,
        event=event,
        history=History.from_members(members),
        caller_name=_read_caller_name(members, event),
    )


def _read_caller_name(members: Mapping[str, Json], event: Mapping[str, Json]) -> str:
    """Find who asked: the source, the queue, or what the message says of a caller over HTTP."""
    data, name = event["data"], members.get("caller")
    source = data.get("source") if isinstance(data, dict) else None
    if isinstance(source, str):
        return source
    return name if isinstance(name, str) and is_caller_name(name) else QUEUE_CALLER


def _is_outcome(event: Json) -> TypeIs[dict[str, Json]]:
    if not isinstance(event, dict):
        return False
    kind, request_id, data = event.get("type"), event.get("id"), event.get("data")
    source = data.get("source", 0) if isinstance(data, dict) else 0
    traceparent = event.get("traceparent")
    return (
        isinstance(kind, str)
        and kind in _OUTCOMES
        and isinstance(request_id, str)
        and is_request_id(request_id)
        and isinstance(event.get("time"), str)
        and (source is None or (isinstance(source, str) and is_source_name(source)))
        and (traceparent is None or (isinstance(traceparent, str) and is_traceparent(traceparent)))
    )
