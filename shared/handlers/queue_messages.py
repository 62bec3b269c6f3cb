"""Processes a message of the request queue: tries the request once, and writes what follows."""

import json
import random
import time
from collections.abc import Callable
from copy import replace
from itertools import chain

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
from shared.handlers.processing import WRITE_SECONDS, Draw, MessageProcessor
from shared.handlers.publishing import outcome_messages
from shared.meetings.models import JoinRequest, Outcome
from shared.queues import dead_letters, messages
from shared.queues.client import DEAD_LETTERS, REQUESTS
from shared.queues.dead_letters import DeadLetter, Reason
from shared.queues.messages import MAX_DEQUEUE_COUNT, Incoming, QueueMessage, read
from shared.queues.retry_policy import End

_LIST_SECONDS = 200.0
"""How long a list may be written: a thousand messages, 16 at a time, each in just the 3 seconds for
which the queues' client waits for a response."""


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
    """Make an outcome and a dead letter of a message that the host has moved to its poison queue.

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
        self._pending = dict(enumerate(self._incoming.items or (self._incoming,)))
        """By their position, the requests that have no outcome yet, and were not put back on the
        queue."""
        self._published = False
        """Whether an outcome is on a queue, or at least on some of them."""

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
        """Publish the errors of a list's invalid requests, and put each valid one on the queue.

        If a write fails, the host gives the list again, and all of it is written again with the
        same ids. The errors are first: if they cannot be written, no request is on the queue yet.
        """
        failed: list[tuple[int, Outcome]] = []
        valid: list[int] = []
        requests: list[tuple[str, str]] = []
        for position, item in self._pending.items():
            correlation = item.correlation
            try:
                JoinRequest.from_document(item.document, request_id=correlation.request_id)
            except InvalidRequest as error:
                failed.append((position, Outcome.of(correlation, error)))
            else:
                message = messages.write_request(
                    item.document.value,
                    request_id=correlation.request_id,
                    source=item.source,
                    traceparent=item.traceparent,
                    alternatives=item.alternatives,
                )
                valid.append(position)
                requests.append((REQUESTS, message))
        deadline = Deadline(seconds=_LIST_SECONDS)
        errors = [self._messages_of(outcome, self._pending[n]) for n, outcome in failed]
        self._queues.send_all([*chain.from_iterable(errors)], deadline=deadline)
        for position, outcome in failed:
            del self._pending[position]
            self._emit_outcome(outcome)
        self._queues.send_all(
            requests, deadline=deadline, on_written=lambda n: self._pending.pop(valid[n])
        )

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
                caller_name=self._incoming.caller_name,
                traceparent=self._incoming.traceparent,
                history=history,
                alternatives=self._incoming.alternatives,
            )
            self._write(REQUESTS, again, delay=step)
            self._emit_retried(error)

    def _dead_letter(self, reason: Reason, error: ServiceError) -> None:
        """Publish the outcome of a request whose id is known, then write its dead letter.

        If writing the dead letter fails, the outcome is published again, and readers drop the
        duplicate by its id. At the last dequeue the dead letter is written even if the outcome
        cannot be.

        Where somebody may have another outcome, none is published: nobody must be told the
        opposite. The operator sees the dead letter, and its replay publishes the outcome. So it is

        - where an outcome could not be written everywhere,
        - in a list, whose requests may be on the queue since an earlier delivery of the list.

        Each request of a list has its own dead letter, because the whole list may not fit into one.
        """
        listed = bool(self._incoming.items)
        if self._correlation.request_id and not self._published and not listed:
            try:
                self._finish(Outcome.of(self._correlation, error))
            except QueueUnavailable:
                if not self._message.is_last:
                    raise
        pending = self._pending.values()
        self._queues.send_all(
            [(DEAD_LETTERS, self._dead_letter_of(each, reason, error)) for each in pending],
            deadline=Deadline(seconds=_LIST_SECONDS if listed else WRITE_SECONDS),
        )
        for each in pending:
            request_id = each.correlation.request_id
            self._emit("join_link.dead_lettered", error, note=reason, request_id=request_id)

    def _dead_letter_of(self, incoming: Incoming, reason: Reason, error: ServiceError) -> str:
        alone = incoming is self._incoming
        body = self._message.body if alone else json.dumps(incoming.document.value).encode()
        return DeadLetter(
            reason=reason,
            error=error,
            request_id=incoming.correlation.request_id or None,
            original=dead_letters.restorable(body, incoming),
            message_id=self._message.message_id,
            dequeue_count=self._message.dequeue_count,
            first_seen=self._incoming.history.arrived(self._message.inserted_on),
            attempts=self._attempts,
            traceparent=incoming.traceparent,
        ).to_message()

    def _finish(self, outcome: Outcome) -> None:
        """Publish the outcome of the message's request."""
        self._published = True
        self._queues.send_all(
            self._messages_of(outcome, self._incoming), deadline=Deadline(seconds=WRITE_SECONDS)
        )
        self._emit_outcome(outcome)

    def _messages_of(self, outcome: Outcome, incoming: Incoming) -> list[tuple[str, str]]:
        return outcome_messages(
            self._services,
            outcome,
            time=self._now(),
            attempts=self._attempts,
            source=incoming.source,
            caller_name=incoming.caller_name,
            traceparent=incoming.traceparent,
        )

    def _emit_outcome(self, outcome: Outcome) -> None:
        name = "join_link.resolved" if outcome.error is None else "join_link.failed"
        self._emit(name, outcome.error, request_id=outcome.request_id)

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
            caller=self._incoming.caller_name,
        )
        telemetry.emit(replace(event, event=name, note=note or event.note))
