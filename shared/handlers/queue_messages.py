"""One message of the request queue, from its arrival until it may be deleted.

A message is completed, by returning, only after what follows from it is safely written: its
result, the message that tries it again later, or its dead letter. Being cut off in between costs a
duplicate and never a request.
"""

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
    to_service_error,
)
from shared.meetings.models import JoinRequest, Outcome
from shared.queues import dead_letters, messages, retry_policy
from shared.queues.client import DEAD_LETTERS, REQUESTS, RESULTS
from shared.queues.dead_letters import DeadLetter, Reason
from shared.queues.messages import MAX_DEQUEUE_COUNT, Incoming, QueueMessage, read
from shared.queues.retry_policy import End

_HOUR = 3600.0


class MessageNotCompleted(Exception):
    """Fails the invocation, so that the host gives the message again. Holds a code, no more."""


def process(
    services: Services,
    message: QueueMessage,
    *,
    now: Callable[[], float] = time.time,
    draw: Callable[[float, float], float] = random.uniform,
) -> None:
    """Try a request once. When this returns, the host may delete the message.

    Args:
        services: what it takes.
        message: the message.
        now: seconds since the epoch.
        draw: draws a number between two bounds.

    Raises:
        MessageNotCompleted: if the message has to come again.
    """
    processor = _MessageProcessor(services, message, tries=message.dequeue_count, now=now)
    try:
        processor.try_once(draw)
    except Exception as error:  # noqa: BLE001 - on its last delivery a message must not be lost
        fault = to_service_error(error)
        if not message.is_last:
            raise processor.not_completed(fault) from None
        processor.dead_letter(Reason.FAILED_ON_LAST_DELIVERY, fault)


def process_poison(
    services: Services, message: QueueMessage, *, now: Callable[[], float] = time.time
) -> None:
    """Make a dead letter of a message that the host has moved to its poison queue.

    There is no poison queue behind that one. So nothing about the message makes this fail: only a
    queue that cannot be written does. The host then keeps the message hidden until its lease ends
    (ten minutes), and gives it again.

    Args:
        services: what it takes.
        message: the message on the poison queue.
        now: seconds since the epoch.

    Raises:
        MessageNotCompleted: if the message has to come again.
    """
    _MessageProcessor(services, message, tries=MAX_DEQUEUE_COUNT, now=now).dead_letter(
        Reason.HOST_GAVE_UP,
        InternalError(
            f"The request was given out {MAX_DEQUEUE_COUNT} times. Each time the process ended "
            "before an answer was written, or nothing could be written.",
            fix="Look into the log for the reason, then replay the dead letter.",
        ),
    )


class _MessageProcessor:
    """A message, read as far as it can be, and what may become of it.

    Args:
        services: what it takes.
        message: the message.
        tries: how often the request was tried through this message.
        now: seconds since the epoch.
    """

    def __init__(
        self, services: Services, message: QueueMessage, *, tries: int, now: Callable[[], float]
    ) -> None:
        self._settings = services.settings
        self._resolver = services.resolver
        self._queues = services.queues
        self._message = message
        self._now = now
        self._deadline = Deadline(seconds=self._settings.graph_timeout_seconds)
        self._stats = RequestStats()
        self._reading = read(message.body)
        self._incoming = self._reading.incoming
        self._correlation = self._reading.correlation
        self._attempts = self._incoming.history.attempts + tries

    def try_once(self, draw: Callable[[float, float], float]) -> None:
        """Try the request, and write what follows from it.

        Raises:
            ServiceError: where nothing follows from it but that the message has to come again.
        """
        if (unread := self._reading.error) is not None:
            if unread.retry is Retry.HOST:
                raise unread
            self._dead_letter(Reason.UNDECODABLE, unread)
            return
        if self._incoming.items:
            self._split()
            return
        outcome = self._resolver.attempt(
            self._incoming.document,
            self._correlation,
            deadline=self._deadline,
            stats=self._stats,
            max_tries=1,  # a retry is a delayed message, which holds no thread meanwhile
        )
        error = outcome.error
        if error is None or error.retry is Retry.NEVER:
            self._answer(outcome)
        elif error.retry is Retry.HOST:
            raise error
        else:
            self._try_later(outcome, error, draw)

    def dead_letter(self, reason: Reason, error: ServiceError) -> None:
        """Answer and write the dead letter.

        Raises:
            MessageNotCompleted: if that could not be done: the message has to come again.
        """
        try:
            self._dead_letter(reason, error)
        except Exception as fault:  # noqa: BLE001 - the host must be told, and nothing quoted
            raise self.not_completed(to_service_error(fault)) from None

    def not_completed(self, fault: ServiceError) -> MessageNotCompleted:
        """Report that the message has to come again, and make the exception that says so."""
        self._emit("join_link.retried", fault)
        return MessageNotCompleted(fault.code)

    def _split(self) -> None:
        """Put each request of a list on the queue by itself, or answer it where it is not valid."""
        for item in self._incoming.items:
            correlation = item.correlation
            try:
                JoinRequest.from_document(item.document, request_id=correlation.request_id)
            except InvalidRequest as error:
                self._answer(Outcome.of(correlation, error), item)
            else:
                message = messages.write_request(
                    item.document.value,
                    request_id=correlation.request_id,
                    source=item.source,
                    traceparent=item.traceparent,
                )
                self._queues.send(REQUESTS, message)

    def _try_later(
        self, outcome: Outcome, error: ServiceError, draw: Callable[[float, float], float]
    ) -> None:
        history = self._incoming.history.after(
            error,
            deliveries=self._message.dequeue_count,
            inserted_on=self._message.inserted_on,
        )
        step = retry_policy.plan(
            error,
            history,
            now=self._now(),
            retry_seconds=self._settings.queue_retry_hours * _HOUR,
            draw=draw,
        )
        if step is End.FINAL:
            self._answer(outcome)
        elif step is End.TIME_SPENT:
            self._dead_letter(Reason.RETRY_TIME_SPENT, error)
        else:
            again = messages.write_request(
                self._incoming.document.value,
                request_id=outcome.request_id,
                source=self._incoming.source,
                traceparent=self._incoming.traceparent,
                history=history,
            )
            self._queues.send(REQUESTS, again, delay=step)
            self._emit("join_link.retried", error)

    def _dead_letter(self, reason: Reason, error: ServiceError) -> None:
        """Answer each request whose id is known, and then write its dead letter.

        In this order: if the second write fails, the first is repeated, and whoever reads answers
        takes each once. On the last delivery the dead letter counts for more than the answer.

        Of a list each request has its own: the whole of it might not fit into one.
        """
        requests = self._incoming.items or (self._incoming,)
        try:
            for each in requests:
                if each.correlation.request_id:
                    self._answer(Outcome.of(each.correlation, error), each)
        except QueueUnavailable:
            if not self._message.is_last:
                raise
        for each in requests:
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
            self._queues.send(DEAD_LETTERS, dead_letter.to_message())
            self._emit("join_link.dead_lettered", error, note=reason, request_id=request_id)

    def _answer(self, outcome: Outcome, incoming: Incoming | None = None) -> None:
        """Write an outcome: of the message, or of one request in its list."""
        incoming = incoming or self._incoming
        written = messages.write_outcome(
            outcome,
            time=self._now(),
            attempts=self._attempts,
            source=incoming.source,
            traceparent=incoming.traceparent,
        )
        self._queues.send(RESULTS, written)
        final = "join_link.resolved" if outcome.error is None else "join_link.failed"
        self._emit(final, outcome.error, request_id=outcome.request_id)

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
        )
        telemetry.emit(replace(event, event=name, note=note or event.note))
