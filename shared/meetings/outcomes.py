"""One try at a request, whoever sent it: HTTP, the queue and webhooks call the same."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.core.deadline import Deadline, RequestStats
from shared.core.errors import ServiceError, to_service_error
from shared.core.problem_details import to_problem
from shared.core.strict_json import Document, Json
from shared.graph.client import MAX_TRIES
from shared.meetings.models import Correlation, JoinLink, JoinRequest
from shared.meetings.resolver import Resolver


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a try ended: a result's members, or an error and its problem's members."""

    request_id: str
    context: Json = field(default=None, repr=False)
    members: dict[str, Json] = field(repr=False)
    error: ServiceError | None = None

    @classmethod
    def of(cls, correlation: Correlation, ended: JoinLink | Exception) -> "Outcome":
        """Make the outcome of a request that ended in a link or an error."""
        if isinstance(ended, JoinLink):
            return cls(
                request_id=correlation.request_id,
                context=correlation.context,
                members=ended.to_json(correlation),
            )
        return failure(to_service_error(ended), correlation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One of several requests that are tried together."""

    document: Document = field(repr=False)
    correlation: Correlation
    stats: RequestStats


def attempt(
    resolver: Resolver,
    document: Document,
    correlation: Correlation,
    *,
    deadline: Deadline,
    stats: RequestStats,
    max_tries: int = MAX_TRIES,
) -> Outcome:
    """Try to resolve a request. Raises nothing: what goes wrong is in the outcome."""
    ended: JoinLink | Exception
    try:
        request = JoinRequest.from_document(document, request_id=correlation.request_id)
        ended = resolver.resolve(request, deadline=deadline, stats=stats, max_tries=max_tries)
    except Exception as error:  # noqa: BLE001 - whoever asked gets an answer
        ended = error
    return Outcome.of(correlation, ended)


def attempt_all(
    resolver: Resolver, attempts: Sequence[Attempt], *, deadline: Deadline
) -> list[Outcome]:
    """Try to resolve requests, each with an outcome of its own, in order. Raises nothing."""
    ended: dict[int, JoinLink | Exception] = {}
    requests: dict[int, tuple[JoinRequest, RequestStats]] = {}
    for place, each in enumerate(attempts):
        try:
            request = JoinRequest.from_document(
                each.document, request_id=each.correlation.request_id
            )
        except Exception as error:  # noqa: BLE001 - as above; and the others go on
            ended[place] = error
        else:
            requests[place] = (request, each.stats)
    try:
        results = resolver.resolve_many(list(requests.values()), deadline=deadline)
    except Exception as error:  # noqa: BLE001 - as above
        results = [error] * len(requests)
    ended.update(zip(requests, results, strict=True))
    return [Outcome.of(each.correlation, ended[place]) for place, each in enumerate(attempts)]


def failure(error: ServiceError, correlation: Correlation) -> Outcome:
    """Give the outcome that an error is."""
    return Outcome(
        request_id=correlation.request_id,
        context=correlation.context,
        members=to_problem(error, request_id=correlation.request_id),
        error=error,
    )
