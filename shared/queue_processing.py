"""One message of the request queue: decode, resolve, answer on the result queue."""

import time
from collections.abc import Callable

from shared import messages, telemetry
from shared.application import Services
from shared.budget import Budget
from shared.errors import InvalidRequest, Retry
from shared.messages import Undecodable
from shared.outcomes import Outcome, attempt, failure
from shared.queues import RESULTS


class MessageNotCompleted(Exception):
    """Fails the invocation, so that the host gives the message again. Holds a code, no more."""


def process(
    services: Services, body: bytes, *, dequeue_count: int, now: Callable[[], float] = time.time
) -> None:
    """Turn a request message into a message on the result queue.

    When this returns, the outcome is safely written and the host may delete the request.

    Raises:
        MessageNotCompleted: if the message has to come again.
        QueueUnavailable: if its outcome could not be written: it has to come again, too.
    """
    budget = Budget(seconds=services.settings.graph_timeout_seconds)
    traceparent = None
    try:
        incoming = messages.decode(body)
    except Undecodable as error:
        outcome = failure(InvalidRequest(str(error)), request_id=messages.digest(body))
        final = False
    else:
        traceparent = incoming.traceparent
        outcome = attempt(
            services.resolver,
            incoming.document,
            default_request_id=incoming.default_request_id,
            budget=budget,
        )
        final = outcome.error is None or outcome.error.retry is Retry.NEVER
    if final:
        services.queues.send(
            RESULTS,
            messages.outcome(outcome, time=now(), attempts=dequeue_count, traceparent=traceparent),
        )
    telemetry.emit(
        telemetry.outcome_event(
            "queue",
            outcome.error,
            budget,
            request_id=outcome.request_id,
            attempts=dequeue_count,
            final=final,
        )
    )
    if not final:
        raise MessageNotCompleted(_code(outcome))


def _code(outcome: Outcome) -> str:
    return "resolved" if outcome.error is None else outcome.error.code
