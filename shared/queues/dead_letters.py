"""Dead letters: requests that are not tried any more, with what is needed to replay them."""

import base64
import enum
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

from shared.core.errors import ServiceError
from shared.core.problem_details import to_problem
from shared.core.strict_json import Json
from shared.queues import messages
from shared.queues.messages import Incoming
from shared.queues.retry_policy import History

MOST_ORIGINAL_BYTES = 40_000
"""In base64, and with the rest of the dead letter beside it, this many fit into a message."""

_LEFT_OUT = frozenset({"message", "errors"})
"""Of the problem: what is said twice, and what could be long; the original shows it as well."""


class Reason(enum.StrEnum):
    """Why a request was given up on."""

    UNDECODABLE = "undecodable"
    RETRY_TIME_SPENT = "retry_time_spent"
    FAILED_ON_LAST_DELIVERY = "failed_on_last_delivery"
    HOST_GAVE_UP = "host_gave_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One message that was given up on.

    Attributes:
        reason: Why.
        error: What went wrong the last time.
        request_id: The request's, where it could be read.
        original: The message that would try the request anew.
        message_id: The queue's id of the message that was given up on.
        dequeue_count: How often the host had given out that message.
        first_seen: When the request first arrived, in seconds since the epoch.
        attempts: How often it was tried.
        traceparent: Of the request, where known.
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

    def to_message(self) -> str:
        """Write it as a queue message. Of a longer original only the beginning is kept."""
        problem = to_problem(self.error, request_id=self.request_id)
        members: dict[str, Json] = {
            "reason": self.reason,
            "error": {name: problem[name] for name in problem if name not in _LEFT_OUT},
            "original": base64.b64encode(self.original[:MOST_ORIGINAL_BYTES]).decode(),
            "originalLength": len(self.original),
            "originalSha256": hashlib.sha256(self.original).hexdigest(),
            "messageId": self.message_id,
            "dequeueCount": self.dequeue_count,
            "firstSeen": datetime.fromtimestamp(self.first_seen, UTC).isoformat(),
            "attempts": self.attempts,
            "traceparent": self.traceparent,
        }
        return json.dumps(members, separators=(",", ":"))


def restorable(body: bytes, incoming: Incoming) -> bytes:
    """Give the message that would try a request anew, from the start.

    That is the message itself, unless it tells of earlier tries, or is too long for a dead letter
    and gets shorter by being written compactly.

    Args:
        body: the message.
        incoming: what was read in it.
    """
    begins_anew = incoming.history == History()
    if incoming.document.field_errors or (begins_anew and len(body) <= MOST_ORIGINAL_BYTES):
        return body
    return messages.write_request(
        incoming.document.value,
        request_id=incoming.default_request_id,
        source=incoming.source,
        traceparent=incoming.traceparent,
    ).encode()
