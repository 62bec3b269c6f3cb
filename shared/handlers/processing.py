"""Processes a queue message: the part that requests and deliveries share.

The host deletes a message when the function returns. So the function returns only after the next
message is written: the outcome, the same request with a delay, or a dead letter. A crash in between
causes a duplicate, but never loses a message.
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
"""Draws a random number between two bounds."""

_HOUR = 3600.0
WRITE_SECONDS = 10.0
"""How long what follows from one try may be written."""


class MessageNotCompleted(Exception):
    """Fails the invocation, so that the host gives the message again. It holds only a code."""


class MessageProcessor(ABC):
    """Processes one message of a queue. The subclasses know its content.

    Args:
        services: the app's services.
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

        Args:
            draw: draws the jitter of the delay before the next try.

        Raises:
            MessageNotCompleted: if the host must give the message again.
        """
        self._services.event_limiter.emit_due()
        try:
            self._try_once(draw)
        except Exception as error:  # noqa: BLE001 - at its last dequeue a message must not be lost
            fault = to_service_error(error)
            if not self._message.is_last:
                raise self._not_completed(fault) from None
            self.dead_letter(Reason.FAILED_ON_LAST_DELIVERY, fault)

    def dead_letter(self, reason: Reason, error: ServiceError) -> None:
        """Write the dead letter, and before it the `.failed` outcome where there is to be one.

        Raises:
            MessageNotCompleted: if that failed. The host must give the message again.
        """
        self._services.event_limiter.emit_due()
        try:
            self._dead_letter(reason, error)
        except Exception as fault:  # noqa: BLE001 - the exception for the host must quote nothing
            raise self._not_completed(to_service_error(fault)) from None

    def _not_completed(self, fault: ServiceError) -> MessageNotCompleted:
        self._emit_retried(fault)
        return MessageNotCompleted(fault.code)

    def _plan(
        self, error: ServiceError, history: History, draw: Draw
    ) -> tuple[float | End, History]:
        """Add a failed try to the history, and decide about the next one (`retry_policy.plan`)."""
        history = history.after(
            error,
            dequeues=self._message.dequeue_count,
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
            QueueUnavailable: if the queue could not be written.
        """
        deadline = Deadline(seconds=WRITE_SECONDS)
        self._queues.send(queue, message, deadline=deadline, delay=delay)

    @abstractmethod
    def _try_once(self, draw: Draw) -> None:
        """Try once, and write the message that follows.

        Raises:
            ServiceError: if nothing was written and the host must give the message again.
        """

    @abstractmethod
    def _dead_letter(self, reason: Reason, error: ServiceError) -> None:
        """Write the dead letter, and before it the `.failed` outcome where there is to be one."""

    @abstractmethod
    def _emit_retried(self, error: ServiceError) -> None:
        """Emit the event that the message will be tried again."""
