"""One try at a request, whoever sent it: HTTP and the queue call the same."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.appointments import JoinRequest, correlation
from shared.budget import Budget
from shared.errors import ServiceError
from shared.failures import to_service_error
from shared.problems import to_problem
from shared.resolver import Resolver
from shared.strict_json import Document, Json


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
    except Exception as error:  # noqa: BLE001 - whoever asked gets an answer
        return failure(to_service_error(error), request_id=request_id, context=context)
    return Outcome(request_id=request_id, context=context, members=members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One of several requests to be tried together; the budgets end at the same moment."""

    document: Document = field(repr=False)
    default_request_id: str
    budget: Budget


def attempt_together(resolver: Resolver, trials: Sequence[Trial]) -> list[Outcome]:
    """Try to resolve requests, each with an outcome of its own, in order. Raises nothing."""
    requests: dict[int, tuple[JoinRequest, Budget]] = {}
    outcomes: dict[int, Outcome] = {}
    for place, trial in enumerate(trials):
        request_id, context = correlation(
            trial.document, default_request_id=trial.default_request_id
        )
        try:
            request = JoinRequest.from_document(trial.document, default_request_id=request_id)
        except Exception as error:  # noqa: BLE001 - as above; and the others go on
            outcomes[place] = failure(
                to_service_error(error), request_id=request_id, context=context
            )
        else:
            requests[place] = (request, trial.budget)
    try:
        results = resolver.resolve_together(list(requests.values()))
    except Exception as error:  # noqa: BLE001 - as above
        results = [error] * len(requests)
    for (place, (request, _)), result in zip(requests.items(), results, strict=True):
        outcomes[place] = (
            failure(
                to_service_error(result), request_id=request.request_id, context=request.context
            )
            if isinstance(result, Exception)
            else Outcome(
                request_id=request.request_id,
                context=request.context,
                members=result.to_json(request),
            )
        )
    return [outcomes[place] for place in range(len(trials))]


def failure(error: ServiceError, *, request_id: str, context: Json = None) -> Outcome:
    """Give the outcome that an error is."""
    return Outcome(
        request_id=request_id,
        context=context,
        members=to_problem(error, request_id=request_id),
        error=error,
    )
