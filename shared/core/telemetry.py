"""The app's log events: each outcome is one log record that holds one JSON object.

Alerts, the workbook and operators' queries read these events and nothing else, so a test holds
their names. No member may identify a patient or open a meeting: no link, key, e-mail address,
meeting id or body.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from shared.core.deadline import Deadline, RequestStats
from shared.core.errors import CODES, NotFound, Refused, ServiceError
from shared.core.identifiers import loggable_id
from shared.core.strict_json import FieldError

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
"""The names of all events that the app emits.

Each outcome of a request or message is one event. A request that becomes a dead letter is two:
`join_link.failed` for the outcome, where one is published, then `join_link.dead_lettered`, whose
note is the reason.
"""

MEMBERS_OF_A_REQUEST = frozenset(
    {
        *("userId", "onlineMeetingId", "joinWebUrl", "joinMeetingId"),
        *("language", "requestId", "context", "requests"),
    }
)
"""The member names that a logged pointer may show.

Any other name is left out: a caller may have sent a value, such as a link, in a name's place.
"""

FAULTS_SECONDS = 300.0
"""The time between two events of the same invalid setting, in seconds.

The alert reads the last half hour, so it finds one of them as long as the setting is invalid.
"""
REFUSALS_SECONDS = 60.0
"""The time between two events of equal refusals, in seconds."""

_WARNINGS = frozenset({"join_link.retried", "delivery.retried", "webhook.refused"})
_logger = logging.getLogger("virtual_appointment")
_encode = json.JSONEncoder(separators=(",", ":")).encode


class Event(NamedTuple):
    """One outcome.

    `caller` is `key`, `app:` and a client id, `user:` and an object id, `queue`, or the name of a
    webhook source. `attempts` counts the tries of the request, `graph_calls` the calls to Graph.
    `occurrences` says how often it happened, where one event stands for several. `duration_ms` is
    in milliseconds.
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
"""The members of an event's JSON, which queries may name. A member without a value is left out."""


def emit(event: Event) -> None:
    """Write one event to the log.

    Its level is INFO for a success, WARNING for what is tried again or what only the caller can
    correct, and ERROR for what an operator has to look into.
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
    """Make the event of an outcome, resolved or failed. Its note ends with the error's cause."""
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
    """Name the invalid members of a request. `/?` stands for a name that is not a request's."""
    shown = set()
    for field_error in field_errors:
        names = field_error.pointer.removeprefix("/data").split("/")[1:2]
        shown |= {f"/{name}" if name in MEMBERS_OF_A_REQUEST else "/?" for name in names}
    return tuple(sorted(shown)) or None


@dataclass(slots=True)
class _Refusals:
    """Equal refusals: when they were last reported, and how many came since."""

    reported_at: float
    unreported: int = 0


class EventLimiter:
    """Limits how often invalid settings and unauthenticated requests are logged.

    Both can cause any number of events, and the log has a daily cap.

    The host drops log records that belong to no invocation (azure-functions-host,
    GrpcWorkerChannel). Invalid settings are found while the app is loaded, so their events wait
    here for the next invocation.

    Args:
        faults: the events of the invalid settings. Each is emitted again as long as the app runs.
        clock: monotonic seconds.
    """

    def __init__(
        self, faults: Sequence[Event] = (), *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._faults = faults
        self._clock = clock
        self._lock = threading.Lock()
        self._faults_reported_at = float("-inf")
        self._refusals: dict[Event, _Refusals] = {}

    def emit_refusal(self, event: Event) -> None:
        """Emit the event of a refused request, then everything else that is due.

        Equal refusals are counted, and become one event a minute that holds their number.

        Args:
            event: the refusal's. Two are equal if event, trigger, code, source and note are.
        """
        key = Event(
            event=event.event,
            trigger=event.trigger,
            code=event.code,
            source=event.source,
            note=event.note,
        )
        now = self._clock()
        with self._lock:
            refusals = self._refusals.setdefault(key, _Refusals(reported_at=float("-inf")))
            refusals.unreported += 1
            occurrences = self._take_due(refusals, now)
        if occurrences:
            emit(event._replace(occurrences=occurrences))
        self.emit_due()

    def emit_due(self) -> None:
        """Emit the events that are due. Every invocation calls this."""
        if not self._faults and not self._refusals:
            return
        now = self._clock()
        with self._lock:
            due = [
                key._replace(occurrences=occurrences)
                for key, refusals in self._refusals.items()
                if (occurrences := self._take_due(refusals, now))
            ]
            if now - self._faults_reported_at >= FAULTS_SECONDS:
                self._faults_reported_at = now
                due.extend(self._faults)
        for event in due:
            emit(event)

    def _take_due(self, refusals: _Refusals, now: float) -> int:
        """Give how many refusals are to be reported now, and count them as reported."""
        if refusals.unreported == 0 or now - refusals.reported_at < REFUSALS_SECONDS:
            return 0
        occurrences, refusals.unreported, refusals.reported_at = refusals.unreported, 0, now
        return occurrences


def configure_logging() -> None:
    """Keep libraries' log lines out of the log: they cost time and money, or quote secrets."""
    for name in ("azure", "msal", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Nothing reads a record's thread and process, and looking them up is a fifth of its cost.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.logAsyncioTasks = False  # type: ignore[attr-defined] # typeshed does not know it yet
    # Its warnings quote the endpoint's response, which may hold a part of a token.
    logging.getLogger("azure.identity").setLevel(logging.ERROR)
    # Its warning about malformed headers quotes the URL, which holds ids and links.
    logging.getLogger("urllib3.connection").setLevel(logging.ERROR)
