"""Writes an outcome to the result queue, and to the delivery queue for each destination."""

from collections.abc import Callable

from shared.app import Services
from shared.meetings.models import Outcome
from shared.queues import messages
from shared.queues.client import DELIVERIES, RESULTS


def publish_outcome(
    services: Services,
    outcome: Outcome,
    *,
    write: Callable[[str, str], None],
    time: float,
    attempts: int,
    source: str | None,
    caller: str,
    traceparent: str | None,
) -> None:
    """Put an outcome on the queues. When this returns, it is written.

    It goes to the result queue always, or with RESULTS_QUEUE=unclaimed only if no destination takes
    it. It goes to the delivery queue once for each destination that takes it.

    Args:
        services: the app's services.
        outcome: the request's outcome.
        write: puts a message on a queue.
        time: the time of the outcome, in seconds since the epoch.
        attempts: how often the request was tried.
        source: the webhook source's name, if the request came from one.
        caller: the caller's name in events.
        traceparent: the request's trace context, where known.

    Raises:
        QueueUnavailable: if a queue could not be written. Others may have been written. So the
            caller publishes the outcome again, and readers drop duplicates by the request id.
    """
    event = messages.to_event(
        outcome, time=time, attempts=attempts, source=source, traceparent=traceparent
    )
    taking: list[str] = []
    if services.destinations is not None:
        ended = "resolved" if outcome.error is None else "failed"
        taking = services.destinations.taking(source=source, outcome=ended)
    claimed = services.destinations is not None and services.destinations.claim(taking)
    if not claimed or services.settings.results_queue == "always":
        write(RESULTS, messages.write_event(event))
    if taking:
        from shared.deliveries.delivery import Delivery  # noqa: PLC0415 - only where there are any

        for name in taking:
            delivery = Delivery(destination=name, event=event, caller=caller)
            write(DELIVERIES, delivery.to_message())
