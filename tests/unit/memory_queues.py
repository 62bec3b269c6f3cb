"""Queues in memory, the messages of the app in them, and a host that delivers one message."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared.app import Application, Services
from shared.core.deadline import Deadline, RequestStats
from shared.core.errors import QueueUnavailable
from shared.handlers.queue_messages import process
from shared.meetings.models import JoinLink, JoinRequest
from shared.meetings.resolver import Resolver
from shared.queues.client import REQUESTS, Queues
from shared.queues.messages import QueueMessage

COMPLETE = "complete"
START = 1_800_000_000.0
LINK = JoinLink(
    user_id="11111111-1111-4111-8111-111111111111",
    online_meeting_id="MSo1",
    virtual_appointment_join_web_url="https://visit.teams.microsoft.com/webrtc-svc/api/route?tid=1",
)


def make_request(request_id: str = "booking-1", **members: Any) -> dict[str, Any]:  # noqa: ANN401
    """Make a valid request."""
    return {
        "requestId": request_id,
        "userId": LINK.user_id,
        "onlineMeetingId": LINK.online_meeting_id,
        "context": {"patient": 7},
        **members,
    }


class ResolverOfOneMind(Resolver):
    """Resolves each request, or raises the same error for each.

    Args:
        error: The error to raise, if any.
    """

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self.requests: list[JoinRequest] = []
        self.deadlines: list[Deadline] = []

    def resolve(
        self,
        request: JoinRequest,
        *,
        deadline: Deadline,
        stats: RequestStats,  # noqa: ARG002 - the resolver's
        max_tries: int = 4,  # noqa: ARG002 - as above
    ) -> JoinLink:
        """Resolve, or raise the given error."""
        self.requests.append(request)
        self.deadlines.append(deadline)
        if self._error is not None:
            raise self._error
        return LINK


@dataclass(frozen=True)
class Written:
    """A message on a queue, the time for which it is hidden, and the deadline for writing it."""

    queue: str
    text: str
    delay: float
    deadline: Deadline

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON is anything
        """The message's content."""
        return json.loads(self.text)


class MemoryQueues(Queues):
    """Keeps the written messages, in order.

    Attributes:
        written: All messages.
        journal: The queues in that order, and `complete` where the host deletes a message.
        away: The queues that cannot be written.
        sizes: How many messages each `send_all` was given.
    """

    def __init__(self, *away: str) -> None:
        self.written: list[Written] = []
        self.journal: list[str] = []
        self.away = set(away)
        self.sizes: list[int] = []
        self.on_send: Callable[[Written], None] = lambda _: None

    def send(self, queue: str, message: str, *, deadline: Deadline, delay: float = 0) -> None:
        """Keep a message, or raise for a queue that cannot be written."""
        assert deadline.remaining() > 0
        if queue in self.away:
            raise QueueUnavailable(f"The queue {queue} could not be written.")
        assert len(message) <= 64 * 1024
        written = Written(queue, message, delay, deadline)
        self.written.append(written)
        self.journal.append(queue)
        self.on_send(written)

    def send_all(
        self,
        messages: Sequence[tuple[str, str]],
        *,
        deadline: Deadline,
        on_written: Callable[[int], object] = lambda _: None,
    ) -> None:
        """Keep several messages, in order, or refuse the first that cannot be written."""
        self.sizes.append(len(messages))
        for position, (queue, message) in enumerate(messages):
            self.send(queue, message, deadline=deadline)
            on_written(position)

    def on(self, queue: str) -> list[Written]:
        """The messages of one queue."""
        return [written for written in self.written if written.queue == queue]


def make_services(resolver: Resolver, queues: Queues, *, hours: float = 24) -> Services:
    """Make the triggers' services with this resolver and these queues."""
    environment = {
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "QUEUE_RETRY_HOURS": str(hours),
    }
    return replace(Application(environment).services(), resolver=resolver, queues=queues)


def as_bytes(value: object) -> bytes:
    """Write a message as bytes, as most workflows do."""
    return json.dumps(value).encode()


def delivery(body: bytes, *, dequeue_count: int = 1, age: float = 0) -> QueueMessage:
    """Make a queue message of the given age in seconds."""
    return QueueMessage(
        body=body, message_id="message-1", dequeue_count=dequeue_count, inserted_on=START - age
    )


def run(
    queues: MemoryQueues,
    message: QueueMessage,
    error: Exception | None = None,
    *,
    action: Callable[..., None] = process,
) -> ResolverOfOneMind:
    """Process a message, and complete it as the host would."""
    resolver = ResolverOfOneMind(error)
    action(make_services(resolver, queues), message, now=lambda: START)
    queues.journal.append(COMPLETE)
    return resolver


def retried(queues: MemoryQueues) -> QueueMessage:
    """Give the message that was put back as the host would."""
    (again,) = queues.on(REQUESTS)
    return delivery(again.text.encode())
