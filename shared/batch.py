"""JSON batching: up to 20 calls to Graph in one trip. Pure: the envelope written, and read.

Source: https://learn.microsoft.com/graph/json-batching
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from requests.structures import CaseInsensitiveDict

from shared.http_wire import Answer, Headers

LARGEST = 20
"""Calls that Graph takes in one trip."""

_PASSED_ON = frozenset({401, 429})


class NotABatch(Exception):
    """The envelope is not the documented one, or holds no single answer to this call."""


class BatchRefused(Exception):
    """Graph refused the envelope itself. Holds the status, no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One GET within a batch."""

    path: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


def write(items: Sequence[Item]) -> bytes:
    """Write the envelope; the ids count from 1."""
    requests = [
        {"id": str(number), "method": "GET", "url": item.path, "headers": dict(item.headers)}
        for number, item in enumerate(items, 1)
    ]
    return json.dumps({"requests": requests}).encode()


def read(envelope: Answer, *, count: int) -> list[Answer | NotABatch | BatchRefused]:
    """Give each call what is its own, in the order in which they were written.

    An envelope that was throttled, rejected for its token, or met an outage says so for each.

    Args:
        envelope: the answer to the whole.
        count: how many calls there were.
    """
    if envelope.status in _PASSED_ON or envelope.status >= 500:
        return [envelope] * count
    if envelope.status >= 400:
        return [BatchRefused(envelope.status)] * count
    responses = _responses(envelope)
    return [
        _answer(responses.get(str(number), []), envelope.headers) for number in range(1, count + 1)
    ]


def _responses(envelope: Answer) -> dict[str, list[dict[str, Any]]]:
    """Group the responses by their ids: Graph answers in any order."""
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


def _answer(responses: Sequence[dict[str, Any]], envelope_headers: Headers) -> Answer | NotABatch:
    """Make the answer that a call of its own would have had."""
    if len(responses) != 1:  # of two that differ, neither can be trusted
        return NotABatch()
    (response,) = responses
    status = response.get("status")
    if type(status) is not int or not 200 <= status <= 599:
        return NotABatch()
    given = response.get("headers")
    texts = given.items() if isinstance(given, dict) else ()
    headers = CaseInsensitiveDict({name: text for name, text in texts if isinstance(text, str)})
    if "request-id" not in headers and (request_id := envelope_headers.get("request-id")):
        headers["request-id"] = request_id
    return Answer(status, headers, json.dumps(response.get("body")).encode())
