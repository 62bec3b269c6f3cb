"""A queue message, from its arrival until it may be deleted: what requests and deliveries share.

A message is completed, by returning, only after what follows from it is safely written: its
outcome, the message that tries it again later, or its dead letter. Being cut off in between costs a
duplicate and never a message.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

from shared.app import Services
from shared.core.deadline import Deadline
from shared.core.errors import ServiceError, to_service_error
from shared.queues import retry_policy
from shared.queues.dead_letters import Reason
from shared.queues.messages import QueueMessage
from shared.queues.retry_policy import End, History

type Draw = Callable[[float, float], float]
"""Draws a number between two bounds."""

_HOUR = 3600.0
_WRITE_SECONDS = 10.0


class MessageNotCompleted(Exception):
    """Fails the invocation, so that the host gives the message again. Holds a code, no more."""


class MessageProcessor(ABC):
    """A message, and what may become of it.

    Args:
        services: what it takes.
        message: the message.
        now: seconds since the epoch.
    """

    def __init__(
        self, services: Services, message: QueueMessage, *, now: Callable[[], float]
    ) -> None:
        self._services = services
        self._queues = services.queues
        self._message = message
        self._now = now

    def process(self, draw: Draw) -> None:
        """Try once. When this returns, the host may delete the message.

        Raises:
            MessageNotCompleted: if the message has to come again.
        """
        try:
            self._try_once(draw)
        except Exception as error:  # noqa: BLE001 - on its last delivery a message must not be lost
            fault = to_service_error(error)
            if not self._message.is_last:
                raise self._not_completed(fault) from None
            self.dead_letter(Reason.FAILED_ON_LAST_DELIVERY, fault)

    def dead_letter(self, reason: Reason, error: ServiceError) -> None:
        """Write the dead letter, and what belongs before it.

        Raises:
            MessageNotCompleted: if that could not be done: the message has to come again.
        """
        try:
            self._dead_letter(reason, error)
        except Exception as fault:  # noqa: BLE001 - the host must be told, and nothing quoted
            raise self._not_completed(to_service_error(fault)) from None

    def _not_completed(self, fault: ServiceError) -> MessageNotCompleted:
        self._emit_retried(fault)
        return MessageNotCompleted(fault.code)

    def _plan(
        self, error: ServiceError, history: History, draw: Draw
    ) -> tuple[float | End, History]:
        """Decide about a try that has just ended in an error, and add it to the history."""
        history = history.after(
            error,
            deliveries=self._message.dequeue_count,
            inserted_on=self._message.inserted_on,
        )
        step = retry_policy.plan(
            error,
            history,
            now=self._now(),
            retry_seconds=self._services.settings.queue_retry_hours * _HOUR,
            draw=draw,
        )
        return step, history

    def _write(self, queue: str, message: str, *, delay: float = 0) -> None:
        """Put a message on a queue.

        Raises:
            QueueUnavailable: if that could not be done.
        """
        deadline = Deadline(seconds=_WRITE_SECONDS)
        self._queues.send(queue, message, deadline=deadline, delay=delay)

    @abstractmethod
    def _try_once(self, draw: Draw) -> None:
        """Try, and write what follows from it.

        Raises:
            ServiceError: where nothing follows from it but that the message has to come again.
        """

    @abstractmethod
    def _dead_letter(self, reason: Reason, error: ServiceError) -> None:
        """Write the dead letter, and what belongs before it."""

    @abstractmethod
    def _emit_retried(self, error: ServiceError) -> None:
        """Report that the message comes again."""
