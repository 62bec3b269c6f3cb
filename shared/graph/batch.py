"""Writes and reads the envelope of a JSON batch: up to 20 calls to Graph in one HTTP request.

Source: https://learn.microsoft.com/graph/json-batching
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from requests.structures import CaseInsensitiveDict

from shared.core.http_client import Headers, Response

LARGEST = 20
"""The most calls that Graph accepts in one batch."""

_PASSED_ON = frozenset({401, 408, 425, 429})


class NotABatch(Exception):
    """The envelope is not the documented one, or does not hold one response to this call."""


class BatchRefused(Exception):
    """Graph refused the whole envelope. The exception holds only the status."""


def write(items: Sequence[tuple[str, Mapping[str, str]]]) -> bytes:
    """Write the envelope of a list of GETs. Their ids count from 1.

    Args:
        items: the path and the headers of each GET.
    """
    requests = [
        {"id": str(number), "method": "GET", "url": path, "headers": dict(headers)}
        for number, (path, headers) in enumerate(items, 1)
    ]
    return json.dumps({"requests": requests}).encode()


def read(envelope: Response, *, count: int) -> Sequence[Response | NotABatch | BatchRefused]:
    """Give each call's response, in the order of writing, as if the call had been sent alone.

    If Graph throttled the whole envelope, rejected its token or answered 5xx, each call gets that
    response.

    Args:
        envelope: the response to the batch.
        count: the number of calls in the batch.
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
    """Group the responses by id, because Graph gives them in any order."""
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
    if len(responses) != 1:  # of two responses to one call, neither can be trusted
        return NotABatch()
    (response,) = responses
    status = response.get("status")
    if type(status) is not int or not 200 <= status <= 599:
        return NotABatch()
    given = response.get("headers")
    pairs = given.items() if isinstance(given, dict) else ()
    # Graph writes some headers as numbers, such as Retry-After.
    texts = {name: str(value) for name, value in pairs if isinstance(value, str | int | float)}
    headers = CaseInsensitiveDict(texts)
    if "request-id" not in headers and (request_id := envelope_headers.get("request-id")):
        headers["request-id"] = request_id
    return Response(status, headers, json.dumps(response.get("body")).encode())
