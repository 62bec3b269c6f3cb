"""HTTP responses, without azure.functions: a status, headers and a body."""

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
    """The response to a caller. The repr does not show the body, because it may hold a link."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def read_client_request_id(headers: Mapping[str, str]) -> str | None:
    """Read the caller's own request id, to send it back.

    An id with other characters than visible ASCII is ignored, and a long one is cut to 128.

    Args:
        headers: the request's headers, by name in lower case.
    """
    value = headers.get(_CLIENT_REQUEST_ID, "")[:128]
    return value if is_request_id(value) else None


def read_traceparent(headers: Mapping[str, str]) -> str | None:
    """Read the caller's `traceparent` (W3C Trace Context), if it is valid.

    Args:
        headers: the request's headers, by name in lower case.
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
    """Make a JSON response that no cache may keep: it may hold a link, or change at any time."""
    headers = {"Content-Type": media_type, "Cache-Control": "no-store"}
    if client_request_id is not None:
        headers[_CLIENT_REQUEST_ID] = client_request_id
    return HttpResponse(status, headers, json.dumps(members).encode())


def problem_response(
    error: ServiceError, *, request_id: str | None = None, client_request_id: str | None = None
) -> HttpResponse:
    """Make the response of an error: its problem details, Retry-After and WWW-Authenticate."""
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
    """Give a problem the type `application/json` if the caller's `Accept` names only that.

    Some clients, such as Power Automate, may read only `application/json` as JSON.

    Args:
        answer: the response.
        headers: the request's headers, by name in any case.
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
    """Add Entra's claims challenge to a response for several requests, if one of them met it.

    The header may come with any status (RFC 9110, section 11.6.1). It is the same for all requests,
    because they came with one token.
    """
    for outcome in outcomes:
        if isinstance(outcome.error, ClaimsChallenge):
            headers = {**answer.headers, "WWW-Authenticate": outcome.error.header}
            return HttpResponse(answer.status, headers, answer.body)
    return answer


def outcome_response(outcome: Outcome, *, client_request_id: str | None = None) -> HttpResponse:
    """Make the response of an outcome: its result, or its problem."""
    if outcome.error is not None:
        return problem_response(
            outcome.error, request_id=outcome.request_id, client_request_id=client_request_id
        )
    return json_response(200, outcome.members, client_request_id=client_request_id)
