"""Processes a message of the delivery queue: posts the outcome once, and writes what follows."""

import random
import time
from collections.abc import Callable
from copy import replace

from shared.app import Services
from shared.core import telemetry
from shared.core.deadline import Deadline
from shared.core.errors import (
    DeliveryFailed,
    DestinationGone,
    DestinationInvalid,
    InternalError,
    Retry,
    ServiceError,
)
from shared.core.http_client import USER_AGENT, ConnectionFailed, DeadlineExceeded
from shared.core.retry_after import parse_retry_after
from shared.core.telemetry import Event
from shared.deliveries.addresses import AddressNotAllowed
from shared.deliveries.delivery import Delivery, read_delivery
from shared.deliveries.destinations import Destination
from shared.deliveries.sender import MAX_SECONDS, DestinationBusy, Receipt
from shared.deliveries.signing import NoUsableSecret, sign
from shared.handlers.processing import Draw, MessageProcessor
from shared.queues.client import DEAD_LETTERS, DELIVERIES
from shared.queues.dead_letters import DeadLetter, Reason
from shared.queues.messages import MAX_DEQUEUE_COUNT, QueueMessage
from shared.queues.retry_policy import End, History

BUSY_DELAYS = (5.0, 15.0)
"""How long a delivery waits if its destination is busy, in seconds: at least, at most."""
_FIX = (
    "Correct the destination in DELIVERIES, or its secrets in Key Vault. Its outcomes are posted "
    "within 15 minutes. The diagnostics say what is wrong with it."
)
_GONE = 410
_HOUR = 3600.0
_DAY = 24 * _HOUR


def process(
    services: Services,
    message: QueueMessage,
    *,
    now: Callable[[], float] = time.time,
    draw: Draw = random.uniform,
) -> None:
    """Try a delivery once. When this returns, the host may delete the message.

    Args:
        services: the app's services.
        message: the message.
        now: seconds since the epoch.
        draw: draws the jitter of the delay before the next try.

    Raises:
        MessageNotCompleted: if the host must give the message again.
    """
    _DeliveryProcessor(services, message, tries=message.dequeue_count, now=now).process(draw)


def process_poison(
    services: Services, message: QueueMessage, *, now: Callable[[], float] = time.time
) -> None:
    """Make a dead letter of a delivery that the host has moved to its poison queue.

    Args:
        services: the app's services.
        message: the message on the poison queue.
        now: seconds since the epoch.

    Raises:
        MessageNotCompleted: if the host must give the message again.
    """
    _DeliveryProcessor(services, message, tries=MAX_DEQUEUE_COUNT, now=now).dead_letter(
        Reason.HOST_GAVE_UP,
        InternalError(
            f"The host started the delivery {MAX_DEQUEUE_COUNT} times. Each time the process ended "
            "before it was known how it went, or nothing could be written.",
            fix="Look for the reason in the log, then replay the dead letter.",
        ),
    )


class _DeliveryProcessor(MessageProcessor):
    """Processes a message of the delivery queue.

    Args:
        services: the app's services.
        message: the message.
        tries: how often the delivery was tried through this message.
        now: seconds since the epoch.
    """

    def __init__(
        self, services: Services, message: QueueMessage, *, tries: int, now: Callable[[], float]
    ) -> None:
        super().__init__(services, message, now=now)
        self._deadline = Deadline(seconds=MAX_SECONDS)
        read = read_delivery(message.body)
        self._delivery = read if isinstance(read, Delivery) else None
        self._unread = read if isinstance(read, ServiceError) else None
        history = self._delivery.history if self._delivery else History()
        self._attempts = history.attempts + tries
        self._note: str | None = None

    def _try_once(self, draw: Draw) -> None:
        if self._delivery is None or self._unread is not None:
            error = self._unread or InternalError("There is no delivery.")
            if error.retry is Retry.HOST:
                raise error
            self._dead_letter(Reason.UNDECODABLE, error)
            return
        try:
            self._deliver(self._delivery)
        except DestinationBusy:
            self._postpone(self._delivery, draw)
        except DestinationGone as error:
            self._dead_letter(Reason.DESTINATION_GONE, error)
        except ServiceError as error:
            if error.retry is Retry.HOST:
                raise
            self._try_later(self._delivery, error, draw)
        else:
            self._emit("delivery.succeeded", None)

    def _deliver(self, delivery: Delivery) -> None:
        """Post the delivery.

        Raises:
            DestinationBusy: if too many deliveries to this destination are running.
            ServiceError: if the delivery failed.
        """
        destination = self._destination(delivery)
        sender = self._services.sender
        secrets = self._services.secrets
        assert sender is not None  # noqa: S101 - where there is a destination, there is a sender
        assert secrets is not None  # noqa: S101 - a destination needs KEY_VAULT_URI
        with sender.turn(destination.name):
            deadline = self._deadline = Deadline(seconds=MAX_SECONDS)
            values = secrets.current(destination.secret, deadline=deadline)
            try:
                endpoint = destination.locate(secrets, deadline=deadline)
            except ValueError as error:
                raise DestinationInvalid(str(error), fix=_FIX) from None
            body = delivery.body()
            try:
                signed = sign(
                    values, delivery_id=delivery.id, timestamp=int(self._now()), body=body
                )
                receipt = sender.post(
                    endpoint,
                    private=destination.private,
                    headers={
                        "Content-Type": "application/json",
                        "User-Agent": USER_AGENT,
                        **signed,
                    },
                    body=body,
                    deadline=deadline,
                )
            except (NoUsableSecret, AddressNotAllowed) as error:
                self._note = type(error).__name__
                raise DestinationInvalid(str(error), fix=_FIX) from None
            except (ConnectionFailed, DeadlineExceeded) as error:
                self._note = error.reason
                raise DeliveryFailed(
                    "The destination did not answer in time."
                    if isinstance(error, DeadlineExceeded)
                    else f"The destination could not be reached: {error.reason}."
                ) from None
        self._judge(receipt)

    def _destination(self, delivery: Delivery) -> Destination:
        name = delivery.destination
        destinations = self._services.destinations
        destination = destinations.valid.get(name) if destinations else None
        if destination is None:
            invalid = destinations is not None and name in destinations.invalid
            raise DestinationInvalid(
                "The destination has a mistake in DELIVERIES."
                if invalid
                else "DELIVERIES names no such destination.",
                fix=_FIX,
            )
        if not destination.filter.takes(source=delivery.source, outcome=delivery.outcome):
            raise DestinationGone("The destination's filter no longer takes this outcome.")
        return destination

    def _judge(self, receipt: Receipt) -> None:
        self._note = f"status_{receipt.status}"
        if 200 <= receipt.status < 300:
            return
        if receipt.status == _GONE:
            raise DestinationGone("The destination answered 410: it no longer takes this outcome.")
        raise DeliveryFailed(
            f"The destination answered {receipt.status}.",
            retry_after=parse_retry_after(receipt.retry_after, now=self._now()),
        )

    def _postpone(self, delivery: Delivery, draw: Draw) -> None:
        """Put the delivery back, because other deliveries to its destination are running.

        This does not count as a try. After QUEUE_RETRY_HOURS or RETENTION_DAYS, whichever is
        longer, the delivery becomes a dead letter.
        """
        arrived = delivery.history.arrived(self._message.inserted_on)
        settings = self._services.settings
        longest = max(settings.queue_retry_hours * _HOUR, settings.retention_days * _DAY)
        if self._now() - arrived > longest:
            self._dead_letter(
                Reason.DELIVERY_FAILED,
                DeliveryFailed("Other deliveries to the destination left no room for this one."),
            )
            return
        again = replace(delivery, history=replace(delivery.history, first_seen=arrived))
        self._write(DELIVERIES, again.to_message(), delay=draw(*BUSY_DELAYS))

    def _try_later(self, delivery: Delivery, error: ServiceError, draw: Draw) -> None:
        step, history = self._plan(error, delivery.history, draw)
        if isinstance(step, End):
            self._dead_letter(Reason.DELIVERY_FAILED, error)
            return
        again = replace(delivery, history=history)
        self._write(DELIVERIES, again.to_message(), delay=step)
        self._emit_retried(error)

    def _dead_letter(self, reason: Reason, error: ServiceError) -> None:
        delivery = self._delivery
        anew = replace(delivery, history=History()).to_message() if delivery else None
        history = delivery.history if delivery else History()
        letter = DeadLetter(
            reason=reason,
            error=error,
            request_id=delivery.request_id if delivery else None,
            original=anew.encode() if anew else self._message.body,
            message_id=self._message.message_id,
            dequeue_count=self._message.dequeue_count,
            first_seen=history.arrived(self._message.inserted_on),
            attempts=self._attempts,
            traceparent=delivery.traceparent if delivery else None,
            queue=DELIVERIES,
            destination=delivery.destination if delivery else None,
        )
        self._write(DEAD_LETTERS, letter.to_message())
        self._emit("delivery.dead_lettered", error, note=reason)

    def _emit_retried(self, error: ServiceError) -> None:
        self._emit("delivery.retried", error)

    def _emit(self, name: str, error: ServiceError | None, *, note: str | None = None) -> None:
        delivery = self._delivery
        telemetry.emit(
            Event(
                event=name,
                trigger="delivery",
                code=None if error is None else error.code,
                source=delivery.source if delivery else None,
                destination=delivery.destination if delivery else None,
                caller=delivery.caller_name if delivery else None,
                duration_ms=self._deadline.elapsed_ms(),
                attempts=self._attempts,
                request_id=delivery.request_id if delivery else None,
                note=note or self._note,
            )
        )
