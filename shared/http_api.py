"""The HTTP routes, in plain values: headers and a body in, a status, headers and a body out."""

import uuid
from collections.abc import Mapping

from shared import errors, strict_json, telemetry
from shared.application import Application
from shared.budget import Budget
from shared.errors import Fault, ServiceError
from shared.http_answers import (
    JSON,
    HttpAnswer,
    json_answer,
    outcome_answer,
    problem_answer,
    read_client_request_id,
)
from shared.outcomes import attempt, failure
from shared.strict_json import Document, NotJson

MAX_BODY_BYTES = 64 * 1024


def join_link(application: Application, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
    """Answer `POST /api/join-link`: the result, or a problem. Raises nothing.

    Args:
        application: the app, sound or with faulty settings.
        headers: by name, in any case.
        body: as it came.
    """
    headers = {name.lower(): value for name, value in headers.items()}
    client_request_id = read_client_request_id(headers)
    request_id = str(uuid.uuid4())
    budget = Budget(seconds=0)
    try:
        services = application.services()
        budget = Budget(seconds=services.settings.graph_timeout_seconds)
        document = _document(headers, body)
    except ServiceError as error:
        outcome = failure(error, request_id=request_id)
    else:
        outcome = attempt(services.resolver, document, default_request_id=request_id, budget=budget)
    telemetry.emit(
        telemetry.outcome_event(
            "http",
            outcome.error,
            budget,
            request_id=outcome.request_id,
            client_request_id=client_request_id,
        )
    )
    return outcome_answer(outcome, client_request_id=client_request_id)


def health(application: Application) -> HttpAnswer:
    """Answer `GET /api/health`: whether the app has loaded and its settings are valid."""
    if (error := application.settings_error) is not None:
        return problem_answer(error)
    return json_answer(200, {"status": "healthy"})


def _document(headers: Mapping[str, str], body: bytes) -> Document:
    """Read the body as far as it is JSON; what stands in it is judged later."""
    media_type = headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if media_type != JSON:
        raise errors.UnsupportedMediaType(
            "The body must be JSON.", fix="Send it with Content-Type: application/json."
        )
    if len(body) > MAX_BODY_BYTES:
        raise errors.PayloadTooLarge(
            f"The body is {len(body):,} bytes long; at most {MAX_BODY_BYTES:,} are read."
        )
    if not body:
        raise errors.InvalidRequest(
            "There is no body, or it came without a Content-Length header: the Functions host "
            "hands over no body without it.",
            fix="Send a JSON object, with Content-Length rather than in chunks.",
            faults=[Fault("", "Missing.")],
        )
    try:
        return strict_json.read(body)
    except NotJson as error:
        raise errors.InvalidRequest(str(error), faults=[Fault("", str(error))]) from None
