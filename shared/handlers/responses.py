"""HTTP answers in plain values: a status, headers and a body."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from shared.core.errors import ServiceError
from shared.core.identifiers import is_request_id, is_traceparent
from shared.core.problem_details import MEDIA_TYPE, retry_after_header, to_problem
from shared.core.strict_json import Json
from shared.identity.bearer_tokens import ClaimsChallenge, challenge
from shared.meetings.models import Outcome

JSON = "application/json"
_CLIENT_REQUEST_ID = "x-ms-client-request-id"


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What goes back to the caller. Its body may hold a link, so its repr does not show it."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def read_client_request_id(headers: Mapping[str, str]) -> str | None:
    """Read the caller's own id, to hand it back; an odd one is left out, a long one cut.

    Args:
        headers: by name in lower case.
    """
    value = headers.get(_CLIENT_REQUEST_ID, "")[:128]
    return value if is_request_id(value) else None


def read_traceparent(headers: Mapping[str, str]) -> str | None:
    """Read the caller's trace (W3C Trace Context), if it is one.

    Args:
        headers: by name in lower case.
    """
    value = headers.get("traceparent", "")
    return value if is_traceparent(value) else None


def json_response(
    status: int,
    members: Mapping[str, Json],
    *,
    media_type: str = JSON,
    client_request_id: str | None = None,
) -> HttpResponse:
    """Answer with JSON that no cache may keep: it may hold a link, or be true for now only."""
    headers = {"Content-Type": media_type, "Cache-Control": "no-store"}
    if client_request_id is not None:
        headers[_CLIENT_REQUEST_ID] = client_request_id
    return HttpResponse(status, headers, json.dumps(members).encode())


def problem_response(
    error: ServiceError, *, request_id: str | None = None, client_request_id: str | None = None
) -> HttpResponse:
    """Answer with an error's problem details, and the headers that go with it."""
    answer = json_response(
        error.status,
        to_problem(error, request_id=request_id),
        media_type=MEDIA_TYPE,
        client_request_id=client_request_id,
    )
    extra = {"Retry-After": retry_after_header(error), "WWW-Authenticate": challenge(error)}
    given = {name: value for name, value in extra.items() if value is not None}
    return HttpResponse(answer.status, {**answer.headers, **given}, answer.body)


def negotiated(answer: HttpResponse, headers: Mapping[str, str]) -> HttpResponse:
    """Call a problem plain JSON for a caller whose `Accept` names that, and not problem details.

    Some clients, Power Automate among them, are only known to read `application/json` by itself.

    Args:
        answer: what goes back.
        headers: the caller's, by name in any case.
    """
    if answer.headers["Content-Type"] != MEDIA_TYPE:
        return answer
    accepted = {
        media_range.partition(";")[0].strip().lower()
        for name, value in headers.items()
        if name.lower() == "accept"
        for media_range in value.split(",")
    }
    if JSON not in accepted or MEDIA_TYPE in accepted:
        return answer
    return replace(answer, headers={**answer.headers, "Content-Type": JSON})


def with_claims_challenge(answer: HttpResponse, outcomes: Iterable[Outcome]) -> HttpResponse:
    """Add Entra's claims challenge to an answer for many, where one of them met it.

    The header may stand beside any status (RFC 9110, section 11.6.1), and is the same for all: they
    came with one token.
    """
    for outcome in outcomes:
        if isinstance(outcome.error, ClaimsChallenge):
            headers = {**answer.headers, "WWW-Authenticate": outcome.error.header}
            return HttpResponse(answer.status, headers, answer.body)
    return answer


def outcome_response(outcome: Outcome, *, client_request_id: str | None = None) -> HttpResponse:
    """Answer with a result, or with the problem of what went wrong."""
    if outcome.error is not None:
        return problem_response(
            outcome.error, request_id=outcome.request_id, client_request_id=client_request_id
        )
    return json_response(200, outcome.members, client_request_id=client_request_id)
