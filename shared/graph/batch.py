"""JSON batching: up to 20 calls to Graph in one exchange. Pure: the envelope written, and read.

Source: https://learn.microsoft.com/graph/json-batching
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from requests.structures import CaseInsensitiveDict

from shared.core.http_client import Headers, Response

LARGEST = 20
"""Calls that Graph takes in one batch."""

_PASSED_ON = frozenset({401, 408, 425, 429})


class NotABatch(Exception):
    """The envelope is not the documented one, or holds no single answer to this call."""


class BatchRefused(Exception):
    """Graph refused the envelope itself. Holds the status, no more."""


def write(items: Sequence[tuple[str, Mapping[str, str]]]) -> bytes:
    """Write the envelope of some GETs; the ids count from 1.

    Args:
        items: the path and the headers of each.
    """
    requests = [
        {"id": str(number), "method": "GET", "url": path, "headers": dict(headers)}
        for number, (path, headers) in enumerate(items, 1)
    ]
    return json.dumps({"requests": requests}).encode()


def read(envelope: Response, *, count: int) -> Sequence[Response | NotABatch | BatchRefused]:
    """Give each call the response that it would have had by itself, in the order of writing.

    An envelope that was throttled, rejected for its token, or met an outage says so for each.

    Args:
        envelope: the response to the whole.
        count: how many calls there were.
    """
    if envelope.status in _PASSED_ON or envelope.status >= 500:
        return [envelope] * count
    if envelope.status >= 400:
        return [BatchRefused(envelope.status)] * count
    responses = _responses(envelope)
    return [
        _response(responses.get(str(number), []), envelope.headers)
        for number in range(1, count + 1)
    ]


def _responses(envelope: Response) -> dict[str, list[dict[str, Any]]]:
    """Group the responses by their ids: GraphClient answers in any order."""
    found: dict[str, list[dict[str, Any]]] = {}
    if envelope.status != 200:
        return found
    try:
        responses = json.loads(envelope.body)["responses"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return found
    for response in responses if isinstance(responses, list) else []:
        if isinstance(response, dict) and isinstance(response.get("id"), str):
            found.setdefault(response["id"], []).append(response)
    return found


def _response(
    responses: Sequence[dict[str, Any]], envelope_headers: Headers
) -> Response | NotABatch:
    if len(responses) != 1:  # of two that differ, neither can be trusted
        return NotABatch()
    (response,) = responses
    status = response.get("status")
    if type(status) is not int or not 200 <= status <= 599:
        return NotABatch()
    given = response.get("headers")
    pairs = given.items() if isinstance(given, dict) else ()
    # Graph writes some as numbers, such as Retry-After.
    texts = {name: str(value) for name, value in pairs if isinstance(value, str | int | float)}
    headers = CaseInsensitiveDict(texts)
    if "request-id" not in headers and (request_id := envelope_headers.get("request-id")):
        headers["request-id"] = request_id
    return Response(status, headers, json.dumps(response.get("body")).encode())
