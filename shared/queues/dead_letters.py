"""Dead letters: requests and deliveries that are not tried again, in a form to replay them."""

import base64
import enum
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

from shared.core.errors import InvalidRequest, ServiceError
from shared.core.problem_details import to_problem
from shared.core.strict_json import Json
from shared.meetings.models import JoinRequest
from shared.queues import messages
from shared.queues.client import REQUESTS
from shared.queues.messages import Incoming

MOST_ORIGINAL = 54_000
"""How many ASCII characters the original may have, so that the dead letter fits into a message."""

_LEFT_OUT = frozenset({"message", "errors"})
"""Members of the problem that are left out: they repeat others, or may be long."""


class Reason(enum.StrEnum):
    """Why a request or delivery is not tried again."""

    UNDECODABLE = "undecodable"
    """The message holds no request or delivery that can be read."""
    RETRY_TIME_SPENT = "retry_time_spent"
    """QUEUE_RETRY_HOURS have passed since the request arrived."""
    FAILED_ON_LAST_DELIVERY = "failed_on_last_delivery"
    """The app itself failed when the host gave out the message for the last time."""
    HOST_GAVE_UP = "host_gave_up"
    """The host moved the message to the poison queue, because each invocation ended early."""
    DELIVERY_FAILED = "delivery_failed"
    """The destination did not take the outcome within QUEUE_RETRY_HOURS."""
    DESTINATION_GONE = "destination_gone"
    """The destination answered 410, or its filter no longer takes the outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A request or delivery that is not tried again.

    Attributes:
        reason: Why it is not tried again.
        error: The error of the last try.
        request_id: The request's id, where it could be read.
        original: The message to put back for a replay.
        queue: The queue of that message.
        destination: The destination's name, for a delivery.
        message_id: The queue's id of the last message.
        dequeue_count: How often the host had given out that message.
        first_seen: When the request first arrived, in seconds since the epoch.
        attempts: How often it was tried.
        traceparent: The request's trace context, where known.
    """

    reason: Reason
    error: ServiceError
    request_id: str | None
    original: bytes = field(repr=False)
    message_id: str
    dequeue_count: int
    first_seen: float
    attempts: int
    traceparent: str | None
    queue: str = REQUESTS
    destination: str | None = None

    def to_message(self) -> str:
        """Write the queue message (ASCII JSON).

        The original is written as a text. It is written in base64 if it is not a text, or is too
        long with its escapes. If it is too long even then, only its beginning is kept.
        """
        problem = to_problem(self.error, request_id=self.request_id)
        members: dict[str, Json] = {
            "reason": self.reason,
            "queue": self.queue,
            "destination": self.destination,
            "error": {name: problem[name] for name in problem if name not in _LEFT_OUT},
            **_written(self.original),
            "originalLength": len(self.original),
            "originalSha256": hashlib.sha256(self.original).hexdigest(),
            "messageId": self.message_id,
            "dequeueCount": self.dequeue_count,
            "firstSeen": datetime.fromtimestamp(self.first_seen, UTC).isoformat(),
            "attempts": self.attempts,
            "traceparent": self.traceparent,
        }
        return json.dumps(members, separators=(",", ":"))


def _written(original: bytes) -> dict[str, Json]:
    try:
        text = original.decode()
    except UnicodeDecodeError:
        text = None
    if text is not None and len(json.dumps(text)) <= MOST_ORIGINAL:
        return {"original": text}
    return {"originalBase64": base64.b64encode(original[: MOST_ORIGINAL // 4 * 3]).decode()}


def restorable(body: bytes, incoming: Incoming) -> bytes:
    """Give the message that replays a request from the start.

    It holds the request as it was read: without blanks around it, with only the Teams link of a
    pasted text, and without earlier tries. If there is no valid request, it is the message itself.

    Args:
        body: the message.
        incoming: what was read from it.
    """
    try:
        JoinRequest.from_document(incoming.document, request_id=incoming.default_request_id)
    except InvalidRequest:
        return body
    return messages.write_request(
        incoming.document.value,
        request_id=incoming.default_request_id,
        source=incoming.source,
        caller_name=incoming.caller_name,
        traceparent=incoming.traceparent,
        alternatives=incoming.alternatives,
    ).encode()
