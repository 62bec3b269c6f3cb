"""Processes a message of the request queue: tries the request once, and writes what follows."""

import json
import random
import time
from collections.abc import Callable
from copy import replace

from shared.app import Services
from shared.core import telemetry
from shared.core.deadline import Deadline, RequestStats
from shared.core.errors import (
    InternalError,
    InvalidRequest,
    QueueUnavailable,
    Retry,
    ServiceError,
)
from shared.handlers.processing import Draw, MessageProcessor
from shared.handlers.publishing import publish_outcome
from shared.meetings.models import JoinRequest, Outcome
from shared.queues import dead_letters, messages
from shared.queues.client import DEAD_LETTERS, REQUESTS
from shared.queues.dead_letters import DeadLetter, Reason
from shared.queues.messages import MAX_DEQUEUE_COUNT, Incoming, QueueMessage, read
from shared.queues.retry_policy import End


def process(
    services: Services,
    message: QueueMessage,
    *,
    now: Callable[[], float] = time.time,
    draw: Draw = random.uniform,
) -> None:
    """Try a request once. When this returns, the host may delete the message.

    Args:
        services: the app's services.
        message: the message.
        now: seconds since the epoch.
        draw: draws the jitter of the delay before the next try.

    Raises:
        MessageNotCompleted: if the host must give the message again.
    """
    _RequestProcessor(services, message, tries=message.dequeue_count, now=now).process(draw)


def process_poison(
    services: Services, message: QueueMessage, *, now: Callable[[], float] = time.time
) -> None:
    """Make a dead letter of a message that the host has moved to its poison queue.

    There is no second poison queue. So no content of a message makes this fail, only a queue that
    cannot be written. Then the host keeps the message hidden until its lease ends (ten
    minutes), and gives it again.

    Args:
        services: the app's services.
        message: the message on the poison queue.
        now: seconds since the epoch.

    Raises:
        MessageNotCompleted: if the host must give the message again.
    """
    _RequestProcessor(services, message, tries=MAX_DEQUEUE_COUNT, now=now).dead_letter(
        Reason.HOST_GAVE_UP,
        InternalError(
            f"The host started the request {MAX_DEQUEUE_COUNT} times. Each time the process ended "
            "before an outcome was written, or the queues could not be written.",
            fix="Look for the reason in the log, then replay the dead letter.",
        ),
    )


class _RequestProcessor(MessageProcessor):
    """Processes a message of the request queue, even if it is only partly readable.

    Args:
        services: the app's services.
        message: the message.
        tries: how often the request was tried through this message.
        now: seconds since the epoch.
    """

    def __init__(
        self, services: Services, message: QueueMessage, *, tries: int, now: Callable[[], float]
    ) -> None:
        super().__init__(services, message, now=now)
        self._deadline = Deadline(seconds=services.settings.graph_timeout_seconds)
        self._stats = RequestStats()
        self._reading = read(message.body)
        self._incoming = self._reading.incoming
        self._correlation = self._reading.correlation
        self._attempts = self._incoming.history.attempts + tries
        self._pending = list(self._incoming.items or (self._incoming,))
        """The requests that were not yet put back on the queue, and have no outcome yet."""
        self._finished: set[int] = set()
        """By their identity, those whose outcome is on a queue, or at least on some of them."""

    def _try_once(self, draw: Draw) -> None:
        if (unread := self._reading.error) is not None:
            if unread.retry is Retry.HOST:
                raise unread
            self._dead_letter(Reason.UNDECODABLE, unread)
            return
        if self._incoming.items:
            self._split()
            return
        outcome = self._services.resolver.attempt(
            self._incoming.document,
            self._correlation,
            deadline=self._deadline,
            stats=self._stats,
            max_tries=1,  # a retry is a delayed message: no thread waits for it
            alternatives=self._incoming.alternatives,
        )
        error = outcome.error
        if error is None or error.retry is Retry.NEVER:
            self._finish(outcome)
        elif error.retry is Retry.HOST:
            raise error
        else:
            self._try_later(outcome, error, draw)

    def _split(self) -> None:
        """Put each valid request of a list on the queue, and publish the errors of the others."""
        for item in self._incoming.items:
            correlation = item.correlation
            try:
                JoinRequest.from_document(item.document, request_id=correlation.request_id)
            except InvalidRequest as error:
                self._finish(Outcome.of(correlation, error), item)
            else:
                message = messages.write_request(
                    item.document.value,
                    request_id=correlation.request_id,
                    source=item.source,
                    traceparent=item.traceparent,
                    alternatives=item.alternatives,
                )
                self._write(REQUESTS, message)
            self._pending.remove(item)

    def _try_later(self, outcome: Outcome, error: ServiceError, draw: Draw) -> None:
        step, history = self._plan(error, self._incoming.history, draw)
        if step is End.FINAL:
            self._finish(outcome)
        elif step is End.TIME_SPENT:
            self._dead_letter(Reason.RETRY_TIME_SPENT, error)
        else:
            again = messages.write_request(
                self._incoming.document.value,
                request_id=outcome.request_id,
                source=self._incoming.source,
                caller=self._incoming.caller,
                traceparent=self._incoming.traceparent,
                history=history,
                alternatives=self._incoming.alternatives,
            )
            self._write(REQUESTS, again, delay=step)
            self._emit_retried(error)

    def _dead_letter(self, reason: Reason, error: ServiceError) -> None:
        """Publish the outcome of each request whose id is known, then write its dead letter.

        If writing the dead letter fails, the outcome is published again, and readers drop the
        duplicate by its id. At the last dequeue the dead letter is written even if the outcome
        cannot be.

        A request that already has an outcome gets no other one: the outcome could not be written
        everywhere, but a reader who has it must not be told the opposite. The operator sees the
        dead letter.

        Each request of a list has its own dead letter, because the whole list may not fit into one.
        """
        try:
            for each in self._pending:
                if each.correlation.request_id and id(each) not in self._finished:
                    self._finish(Outcome.of(each.correlation, error), each)
        except QueueUnavailable:
            if not self._message.is_last:
                raise
        for each in self._pending:
            request_id = each.correlation.request_id
            alone = each is self._incoming
            body = self._message.body if alone else json.dumps(each.document.value).encode()
            dead_letter = DeadLetter(
                reason=reason,
                error=error,
                request_id=request_id or None,
                original=dead_letters.restorable(body, each),
                message_id=self._message.message_id,
                dequeue_count=self._message.dequeue_count,
                first_seen=self._incoming.history.arrived(self._message.inserted_on),
                attempts=self._attempts,
                traceparent=each.traceparent,
            )
            self._write(DEAD_LETTERS, dead_letter.to_message())
            self._emit("join_link.dead_lettered", error, note=reason, request_id=request_id)

    def _finish(self, outcome: Outcome, incoming: Incoming | None = None) -> None:
        """Publish the outcome of the message's request, or of one request in its list."""
        incoming = incoming or self._incoming
        self._finished.add(id(incoming))
        publish_outcome(
            self._services,
            outcome,
            write=self._write,
            time=self._now(),
            attempts=self._attempts,
            source=incoming.source,
            caller=incoming.caller,
            traceparent=incoming.traceparent,
        )
        final = "join_link.resolved" if outcome.error is None else "join_link.failed"
        self._emit(final, outcome.error, request_id=outcome.request_id)

    def _emit_retried(self, error: ServiceError) -> None:
        self._emit("join_link.retried", error)

    def _emit(
        self,
        name: str,
        error: ServiceError | None,
        *,
        note: str | None = None,
        request_id: str | None = None,
    ) -> None:
        event = telemetry.outcome_event(
            "queue",
            error,
            self._deadline,
            self._stats,
            request_id=request_id or self._correlation.request_id,
            attempts=self._attempts,
            source=self._incoming.source,
            caller=self._incoming.caller,
        )
        telemetry.emit(replace(event, event=name, note=note or event.note))
