"""Graph's JSON batching: up to 20 requests in one, answered in any order."""

import base64
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dev.stand_ins.messages import RefusedError, Request, Response
from dev.stand_ins.stand_in import Exchange

_MOST = 20
_SEED = 20  # a random order, but the same in each run


@dataclass(frozen=True)
class _Item:
    id: str
    request: Request
    depends_on: tuple[str, ...]


def answer_batch(
    request: Request, *, version: str, respond: Callable[[Request], Response]
) -> Response:
    """Answer every request of a batch.

    Args:
        request: The envelope.
        version: v1.0 or beta, which the items do not name.
        respond: Answers one request, or gives its error.

    Raises:
        RefusedError: The envelope is not as documented.
    """
    items = _read(request, version)
    answers: dict[str, Response] = {}
    for item in items:  # Graph follows the dependencies; here each must be on an earlier item
        failed = any(answers[target].status >= 400 for target in item.depends_on)
        answers[item.id] = _dependency_failed() if failed else respond(item.request)
    responses = [_response(item.id, answers[item.id]) for item in items]
    random.Random(_SEED).shuffle(responses)  # noqa: S311 - not for security
    return Response.json(200, {"responses": responses})


@dataclass(frozen=True)
class EditBatch:
    """Answer a batch, and change its list of responses.

    Attributes:
        edit: Gets the responses by path, and returns the list to send.
    """

    edit: Callable[[dict[str, dict[str, Any]]], object]

    def __call__(self, exchange: Exchange) -> None:
        """Answer with the edited list."""
        answer = exchange.respond()
        asked = json.loads(exchange.call.request.body)["requests"]
        responses = {item["id"]: item for item in json.loads(answer.body)["responses"]}
        by_path = {item["url"]: responses[item["id"]] for item in asked}
        body = json.dumps({"responses": self.edit(by_path)}).encode()
        exchange.send(replace(answer, body=body))


def throttle_items(
    when: Callable[[str], bool], *, retry_after: str | None = "1", header: str = "Retry-After"
) -> EditBatch:
    """Throttle the items of a batch whose path meets a condition. The envelope is 200."""
    error = {"error": {"code": "TooManyRequests", "message": "Please retry again later."}}
    headers = {} if retry_after is None else {header: retry_after}

    def edit(responses: dict[str, dict[str, Any]]) -> object:
        return [
            {**response, "status": 429, "headers": headers, "body": error}
            if when(path)
            else response
            for path, response in responses.items()
        ]

    return EditBatch(edit)


def _read(request: Request, version: str) -> list[_Item]:
    try:
        described = json.loads(request.body)["requests"]
        items = [_item(description, request, version) for description in described]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RefusedError(400, "BadRequest", "Invalid batch payload format.") from error
    if len(items) > _MOST:
        message = f"Number of batch request steps exceeds the maximum value of {_MOST}."
        raise RefusedError(400, "BadRequest", message)
    ids = [item.id.lower() for item in items]
    known: set[str] = set()
    for item, lowered in zip(items, ids, strict=True):
        if not item.id or ids.count(lowered) > 1:
            raise RefusedError(400, "BadRequest", "Request ids must be unique and not empty.")
        if not {target.lower() for target in item.depends_on} <= known:
            raise RefusedError(400, "BadRequest", "Invalid dependency.")
        known.add(lowered)
    return items


def _item(described: Mapping[str, Any], envelope: Request, version: str) -> _Item:
    url = described["url"]
    if not url.startswith("/"):
        raise ValueError(url)
    headers = {name.lower(): value for name, value in described.get("headers", {}).items()}
    if "authorization" in envelope.headers:
        headers["authorization"] = envelope.headers["authorization"]
    request = Request(described["method"], f"/{version}{url}", headers)
    return _Item(str(described["id"]), request, tuple(described.get("dependsOn", ())))


def _response(item_id: str, answer: Response) -> dict[str, Any]:
    # Header names in different cases, because the app must accept both.
    headers = {name.lower(): value for name, value in answer.headers.items()}
    body: object
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = base64.b64encode(answer.body).decode()
    return {"id": item_id, "status": answer.status, "headers": headers, "body": body}


def _dependency_failed() -> Response:
    message = "The dependency of this request has failed."
    return Response.json(424, {"error": {"code": "FailedDependency", "message": message}})
