"""Says which queue messages publish an outcome."""

from shared.app import Services
from shared.meetings.models import Outcome
from shared.queues import messages
from shared.queues.client import DELIVERIES, RESULTS


def outcome_messages(
    services: Services,
    outcome: Outcome,
    *,
    time: float,
    attempts: int,
    source: str | None,
    caller_name: str,
    traceparent: str | None,
) -> list[tuple[str, str]]:
    """Give the messages that publish an outcome: a queue's name and the text of each.

    There is one for the result queue always, or with RESULTS_QUEUE=unclaimed only if no destination
    takes the outcome. There is one for the delivery queue for each destination that takes it.

    If not all of them can be written, the caller writes all of them again, and readers drop
    duplicates by the request id.

    Args:
        services: the app's services.
        outcome: the request's outcome.
        time: the time of the outcome, in seconds since the epoch.
        attempts: how often the request was tried.
        source: the webhook source's name, if the request came from one.
        caller_name: the caller's name in events.
        traceparent: the request's trace context, where known.
    """
    event = messages.to_event(
        outcome, time=time, attempts=attempts, source=source, traceparent=traceparent
    )
    taking: list[str] = []
    if services.destinations is not None:
        ended = "resolved" if outcome.error is None else "failed"
        taking = services.destinations.taking(source=source, outcome=ended)
    claimed = services.destinations is not None and services.destinations.claim(taking)
    publishing: list[tuple[str, str]] = []
    if not claimed or services.settings.results_queue == "always":
        publishing.append((RESULTS, messages.write_event(event)))
    if taking:
        from shared.deliveries.delivery import Delivery  # noqa: PLC0415 - only where there are any

        for name in taking:
            delivery = Delivery(destination=name, event=event, caller_name=caller_name)
            publishing.append((DELIVERIES, delivery.to_message()))
    return publishing
