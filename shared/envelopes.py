"""The envelope in which this app puts requests on the request queue itself.

CloudEvents 1.0 (structured JSON, ASCII) with what a request has been through as extension
attributes. It is read back by `messages`, like any other envelope.
"""

import json
import math
from collections.abc import Mapping

from shared.errors import CODES
from shared.identifiers import is_source_name
from shared.retries import History
from shared.strict_json import Json

REQUESTED = "virtual-appointment.join-link.requested"
_QUEUE = "/virtual-appointment/queue"
_WEBHOOKS = "/virtual-appointment/webhooks/"
_MOST_ATTEMPTS = 10**9


def request(
    value: Json,
    *,
    request_id: str,
    source: str | None = None,
    traceparent: str | None = None,
    history: History | None = None,
) -> str:
    """Write a request as a message.

    One that is valid takes at most half of a message, however its characters are escaped.

    Args:
        value: the request's JSON.
        request_id: of the request; the envelope's id, for a request that does not hold its own.
        source: the webhook source's name, if it came from one.
        traceparent: of the request, where known.
        history: what it has been through; None for one that is to be tried from the start.
    """
    event: dict[str, Json] = {
        "specversion": "1.0",
        "type": REQUESTED,
        "id": request_id,
        "source": source_uri(source),
        "datacontenttype": "application/json",
        "data": value,
    }
    if traceparent is not None:
        event["traceparent"] = traceparent
    if history is not None:
        event |= {
            "attempts": history.attempts,
            "repeats": history.repeats,
            "lasterror": history.last_error,
            "firstseen": history.first_seen,
        }
    return json.dumps(event, separators=(",", ":"))


def source_uri(source: str | None) -> str:
    """Say where a request came from, as CloudEvents do: a webhook source, or the queue."""
    return _QUEUE if source is None else _WEBHOOKS + source


def read_source(envelope: Mapping[str, Json]) -> str | None:
    """Find the webhook source's name in an envelope; in one of ours only."""
    uri = envelope.get("source")
    if envelope.get("type") != REQUESTED or not isinstance(uri, str):
        return None
    name = uri.removeprefix(_WEBHOOKS)
    return name if name != uri and is_source_name(name) else None


def read_history(envelope: Mapping[str, Json]) -> History:
    """Find what a request has been through; what makes no sense was never written by us."""
    match envelope:
        case {
            "type": str(kind),
            "attempts": int(attempts),
            "repeats": int(repeats),
            "lasterror": str(last_error),
            "firstseen": (int() | float()) as first_seen,
        } if (
            kind == REQUESTED
            and 1 <= repeats <= attempts <= _MOST_ATTEMPTS
            and last_error in CODES
            and 0 <= first_seen < math.inf
        ):
            return History(
                attempts=attempts, repeats=repeats, last_error=last_error, first_seen=first_seen
            )
        case _:
            return History()
