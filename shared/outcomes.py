"""One try at a request, whoever sent it: HTTP and the queue call the same."""

import logging
from dataclasses import dataclass, field

from shared.appointments import JoinRequest, correlation
from shared.budget import Budget
from shared.errors import InternalError, ServiceError
from shared.failures import describe
from shared.problems import to_problem
from shared.resolver import Resolver
from shared.strict_json import Document, Json

_logger = logging.getLogger("virtual_appointment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it ended: a result's members, or an error and its problem's members."""

    request_id: str
    context: Json = field(default=None, repr=False)
    members: dict[str, Json] = field(repr=False)
    error: ServiceError | None = None


def attempt(
    resolver: Resolver, document: Document, *, default_request_id: str, budget: Budget
) -> Outcome:
    """Try to resolve a request. Raises nothing: what goes wrong is in the outcome."""
    request_id, context = correlation(document, default_request_id=default_request_id)
    try:
        request = JoinRequest.from_document(document, default_request_id=request_id)
        members = resolver.resolve(request, budget=budget).to_json(request)
    except ServiceError as error:
        return failure(error, request_id=request_id, context=context)
    except Exception as unforeseen:  # noqa: BLE001 - whoever asked gets an answer
        # Without the traceback itself: its texts may quote a link.
        _logger.error("%s", describe(unforeseen))  # noqa: TRY400
        fault = InternalError("Something failed that should not; the log says where.")
        return failure(fault, request_id=request_id, context=context)
    return Outcome(request_id=request_id, context=context, members=members)


def failure(error: ServiceError, *, request_id: str, context: Json = None) -> Outcome:
    """Give the outcome that an error is."""
    return Outcome(
        request_id=request_id,
        context=context,
        members=to_problem(error, request_id=request_id),
        error=error,
    )
