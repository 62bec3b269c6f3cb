"""Errors as callers see them: problem details (RFC 9457)."""

import math

from shared.core.errors import Refused, ServiceError
from shared.core.strict_json import Json

MEDIA_TYPE = "application/problem+json"


def to_problem(error: ServiceError, *, request_id: str | None = None) -> dict[str, Json]:
    """Give the problem's members. Members without a value are left out.

    `message` repeats `detail`, because Power Automate shows `message`.
    """
    members: dict[str, Json] = {
        "type": f"urn:virtual-appointment:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "message": error.detail,
        "code": error.code,
        "requestId": request_id,
        "graphRequestId": error.graph_request_id,
        "fix": error.fix,
    }
    if isinstance(error, Refused) and error.field_errors:
        members["errors"] = [
            {"pointer": field_error.pointer, "detail": field_error.detail}
            for field_error in error.field_errors
        ]
    return {name: value for name, value in members.items() if value is not None}


def retry_after_header(error: ServiceError) -> str | None:
    """Give the Retry-After header in whole seconds. None where waiting does not help."""
    seconds = error.default_retry_after if error.retry_after is None else error.retry_after
    return None if seconds is None else str(max(1, math.ceil(seconds)))
