"""Events: one JSON object in one log record for each outcome.

Alerts, the workbook and a person with a query read nothing else, so the names are pinned by a
test. No field may identify a patient or open a meeting: no link, no key, no e-mail address, no
meeting id, no body.
"""

import json
import logging
from collections.abc import Iterable
from typing import Literal, NamedTuple

from shared.core.deadline import Deadline, RequestStats
from shared.core.errors import CODES, NotFound, Refused, ServiceError
from shared.core.field_errors import FieldError
from shared.core.identifiers import loggable_id

Trigger = Literal["http", "queue", "webhook", "delivery"]

EVENTS = frozenset(
    {
        "join_link.accepted",
        "join_link.resolved",
        "join_link.failed",
        "join_link.retried",
        "join_link.dead_lettered",
        "delivery.succeeded",
        "delivery.retried",
        "delivery.dead_lettered",
        "webhook.accepted",
        "webhook.ignored",
        "webhook.refused",
        "settings.invalid",
    }
)
"""Every event the app emits.

One outcome of a request or message is one event; giving up on a request that has an answer is two:
`join_link.failed` for the answer, then `join_link.dead_lettered`, whose note is the reason.
"""

MEMBERS_OF_A_REQUEST = frozenset(
    {
        *("userId", "onlineMeetingId", "joinWebUrl", "joinMeetingId"),
        *("language", "requestId", "context", "requests"),
    }
)
"""Names that a pointer may show in the log; any other one may be what somebody meant as a value."""

_WARNINGS = frozenset({"join_link.retried", "delivery.retried", "webhook.refused"})
_logger = logging.getLogger("virtual_appointment")
_encode = json.JSONEncoder(separators=(",", ":")).encode


class Event(NamedTuple):
    """One outcome.

    `caller` is `key`, `app:` and a client id, `user:` and an object id, `queue`, or the name of a
    webhook source. `attempts` counts tries of the request, `graph_calls` calls to Graph, and
    `occurrences` how often it happened, where one event stands for many.
    """

    event: str
    trigger: Trigger | None = None
    code: str | None = None
    source: str | None = None
    destination: str | None = None
    caller: str | None = None
    duration_ms: float | None = None
    attempts: int = 1
    graph_calls: int = 0
    request_id: str | None = None
    graph_request_id: str | None = None
    graph_client_request_id: str | None = None
    graph_diagnostic: str | None = None
    client_request_id: str | None = None
    pointers: tuple[str, ...] | None = None
    occurrences: int | None = None
    note: str | None = None


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


_MEMBERS = tuple(map(_camel_case, Event._fields))
FIELDS = frozenset(_MEMBERS)
"""The members of an event's JSON: what queries may name. One without a value is left out."""


def emit(event: Event) -> None:
    """Write one event: INFO for a success, ERROR for what somebody has to look into.

    WARNING is for what is tried again, and for what only the caller can correct.
    """
    if event.code is None:
        level = logging.INFO
    elif event.event in _WARNINGS or _is_the_callers(event):
        level = logging.WARNING
    else:
        level = logging.ERROR
    pairs = zip(_MEMBERS, event, strict=True)
    members = {member: value for member, value in pairs if value is not None}
    for name in ("requestId", "clientRequestId"):
        if name in members:
            members[name] = loggable_id(str(members[name]))
    _logger.log(level, "%s", _encode(members))


def _is_the_callers(event: Event) -> bool:
    error = CODES.get(event.code or "", ServiceError)
    return event.event == "join_link.failed" and issubclass(error, (Refused, NotFound))


def outcome_event(
    trigger: Trigger,
    error: ServiceError | None,
    deadline: Deadline,
    stats: RequestStats,
    *,
    request_id: str,
    attempts: int = 1,
    source: str | None = None,
    caller: str | None = None,
    client_request_id: str | None = None,
) -> Event:
    """Make the event of an outcome: resolved or failed. Its note ends with the error's cause."""
    notes = [*stats.notes, error.cause if error is not None else None]
    return Event(
        event="join_link.resolved" if error is None else "join_link.failed",
        trigger=trigger,
        code=None if error is None else error.code,
        source=source,
        caller=caller,
        duration_ms=deadline.elapsed_ms(),
        attempts=attempts,
        graph_calls=stats.graph_calls,
        request_id=request_id,
        graph_request_id=stats.graph_request_id,
        graph_client_request_id=stats.graph_client_request_id,
        graph_diagnostic=stats.graph_diagnostic,
        client_request_id=client_request_id,
        pointers=_pointers(error.field_errors) if isinstance(error, Refused) else None,
        note=" ".join(filter(None, notes)) or None,
    )


def _pointers(field_errors: Iterable[FieldError]) -> tuple[str, ...] | None:
    """Name the members of a request that are wrong, and no others: `/?` stands for these."""
    shown = set()
    for field_error in field_errors:
        names = field_error.pointer.removeprefix("/data").split("/")[1:2]
        shown |= {f"/{name}" if name in MEMBERS_OF_A_REQUEST else "/?" for name in names}
    return tuple(sorted(shown)) or None


def configure_logging() -> None:
    """Keep out of the log what costs time or money, such as libraries' lines for each call."""
    for name in ("azure", "msal", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Nobody reads which thread or process wrote a record, and finding out is a fifth of its cost.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.logAsyncioTasks = False  # type: ignore[attr-defined] # typeshed does not know it yet
    # Its warnings quote what the endpoint answered, which may be a token that was cut in half.
    logging.getLogger("azure.identity").setLevel(logging.ERROR)
    # Its warning about odd headers quotes the URL, and with it the ids and links in there.
    logging.getLogger("urllib3.connection").setLevel(logging.ERROR)
