"""The webhook route, in plain values: what a booking system posted in, an answer out.

Size, signature over the raw bytes, decode, is it for us, map, queue. After a valid signature there
is no 4xx any more: senders switch a webhook off for less. What cannot be used is accepted, and told
to those who read the results.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from copy import replace
from dataclasses import dataclass
from functools import partial

from shared.app import Application, Services
from shared.core import errors, telemetry
from shared.core.deadline import Deadline, RequestStats
from shared.core.errors import (
    InvalidRequest,
    MeetingMissing,
    ServiceError,
    SignatureInvalid,
    to_service_error,
)
from shared.core.strict_json import Document, Json
from shared.core.telemetry import Event
from shared.handlers.join_links import MAX_BODY_BYTES
from shared.handlers.publishing import publish_outcome
from shared.handlers.responses import (
    HttpResponse,
    json_response,
    outcome_response,
    problem_response,
    read_client_request_id,
    read_traceparent,
)
from shared.meetings.models import Alternatives, Correlation, JoinRequest, Outcome
from shared.queues import messages
from shared.queues.client import REQUESTS
from shared.webhooks import mapping
from shared.webhooks.mapping import BodyUndecodable
from shared.webhooks.signatures import SECRET_MAY_BE_NEWER
from shared.webhooks.sources import Source, Sources

ANSWER_SECONDS = 9.0
"""Of the ten that senders wait, whatever hangs."""
VAULT_SECONDS = 5.0
QUEUE_SECONDS = 2.0
"""Kept for the queue, where an inline reply takes too long."""

MOST_EVENTS = 100
"""Of one list: as many as can be put on the queue while a sender waits."""

_LEFT_OUT = {"language": "language_left_out", "context": "context_left_out"}
"""What the event says of an optional member that was not valid."""
_REFUSED = "webhook.refused"
_UNKNOWN_SOURCE = "unknown_source"
_NOT_RECENT = "inline_not_recent"


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What the sender is told, and the events that tell the operator."""

    answer: HttpResponse
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """What a booking event asks for."""

    document: Document
    correlation: Correlation
    alternatives: Alternatives
    notes: tuple[str, ...]
    sent_at: float | None

    @property
    def event(self) -> Event:
        """The event that tells of it."""
        note = " ".join(self.notes) or None
        return Event(event="webhook.accepted", request_id=self.correlation.request_id, note=note)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ignored:
    """Why a booking event asks for nothing. The id is that of what the result queue got."""

    reason: str
    detail: str
    notes: tuple[str, ...] = ()
    request_id: str | None = None

    @property
    def event(self) -> Event:
        """The event that tells of it."""
        note = " ".join([self.reason, *self.notes])
        return Event(event="webhook.ignored", request_id=self.request_id, note=note)

    @property
    def members(self) -> dict[str, Json]:
        """What its sender is told. It always learns that the signature was right."""
        members: dict[str, Json] = {
            "status": "ignored",
            "reason": self.reason,
            "detail": f"The signature is valid. {self.detail}",
        }
        return members if self.request_id is None else {**members, "requestId": self.request_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class _WebhookRequest:
    """What was posted, with header names in lower case."""

    headers: Mapping[str, str]
    body: bytes
    deadline: Deadline
    client_request_id: str | None
    now: Callable[[], float]


def receive(
    application: Application,
    source: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: Callable[[], float] = time.time,
) -> HttpResponse:
    """Answer `POST /api/webhooks/{source}`. Raises nothing.

    Args:
        application: the app, valid or with invalid settings.
        source: the name in the address.
        headers: by name, in any case.
        body: as it came.
        now: seconds since the epoch.
    """
    headers = {name.lower(): value for name, value in headers.items()}
    webhook = _WebhookRequest(
        headers=headers,
        body=body,
        deadline=Deadline(seconds=ANSWER_SECONDS),
        client_request_id=read_client_request_id(headers),
        now=now,
    )
    name: str | None = None
    try:
        services = application.services()
        name = source if _is_configured(services, source) else None
        ending = _receive(services, source, webhook)
    except Exception as error:  # noqa: BLE001 - the sender gets an answer, and tries again
        ending = _refusal(error, webhook)
    for event in ending.events:
        known = replace(
            event,
            trigger="webhook",
            source=name,
            caller=None if event.event == _REFUSED else name,
            duration_ms=webhook.deadline.elapsed_ms(),
            client_request_id=webhook.client_request_id,
        )
        if event.event == _REFUSED:
            application.reports.emit_refusal(known)  # whoever finds the route can cause it
        else:
            telemetry.emit(known)
    application.reports.emit_due()
    return ending.answer


def _is_configured(services: Services, name: str) -> bool:
    sources = services.sources or Sources()
    return name in sources.valid or name in sources.invalid


def _receive(services: Services, name: str, webhook: _WebhookRequest) -> _Outcome:
    if len(webhook.body) > MAX_BODY_BYTES:
        raise errors.PayloadTooLarge(f"The body is longer than {MAX_BODY_BYTES:,} bytes.")
    sources = services.sources or Sources()
    if name in sources.invalid:
        raise errors.SettingsInvalid("This webhook source is not set up correctly.")
    source = sources.valid.get(name)
    if source is None:
        raise SignatureInvalid(_UNKNOWN_SOURCE)
    signed_id = _authenticate(services, source, webhook)
    delivery = _Delivery(services=services, source=source, webhook=webhook)
    identity = webhook.body if signed_id is None else signed_id
    taken: _Request | _Ignored
    try:
        payload = mapping.decode(webhook.headers.get("content-type", ""), webhook.body)
    except BodyUndecodable as error:
        taken = delivery.undecodable(identity, str(error))
    else:
        if isinstance(payload, list):
            return _answer_list(delivery, payload)
        taken = delivery.read(payload, identity)
    if isinstance(taken, _Ignored):
        return _Outcome(_accepted(webhook, taken.members), (taken.event,))
    return _answer(delivery, taken)


def _authenticate(services: Services, source: Source, webhook: _WebhookRequest) -> str | None:
    """Check the signature, with newer secrets if those at hand made none.

    Raises:
        SignatureInvalid: saying in its detail what is wrong.
        SecretsUnavailable: if there is nothing to check it with.
    """
    if services.secrets is None:  # the settings let no source be without a vault
        raise errors.SecretsUnavailable("KEY_VAULT_URI is not set.")
    deadline = webhook.deadline.within(VAULT_SECONDS)
    seen = services.secrets.current(source.secret, deadline=deadline)
    try:
        return source.scheme.verify(seen, webhook.headers, webhook.body, webhook.now())
    except SignatureInvalid as error:
        if error.detail not in SECRET_MAY_BE_NEWER:
            raise
    newer = services.secrets.newer(source.secret, seen=seen, deadline=deadline)
    return source.scheme.verify(newer, webhook.headers, webhook.body, webhook.now())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delivery:
    """What one source has posted, with a valid signature."""

    services: Services
    source: Source
    webhook: _WebhookRequest

    def read(self, payload: Json, identity: str | bytes) -> _Request | _Ignored:
        """Read a booking event. If it makes no request, those who read the results are told.

        Args:
            payload: the event.
            identity: what names it, unless its mapping finds a delivery id.
        """
        mapper = self.source.mapper
        if (condition := mapper.failed_condition(payload)) is not None:
            detail = f"The event is not for this app: the source's condition {condition} decides."
            return _Ignored(reason="not_for_us", detail=detail, notes=(condition,))
        booking = mapper.read(payload)
        request_id = _request_id(self.source.name, booking.delivery_id or identity)
        document = Document({"requestId": request_id, **booking.members})
        correlation = Correlation.of(document, default_request_id=request_id)
        try:
            if booking.missing is not None:
                raise _missing(booking.missing, self.source)
            JoinRequest.from_document(document, request_id=request_id)
        except (MeetingMissing, InvalidRequest) as error:
            return self._failed(error.code, error, correlation)
        notes = tuple(_LEFT_OUT[name] for name in booking.left_out)
        return _Request(
            document=document,
            correlation=correlation,
            alternatives=booking.alternatives,
            notes=notes,
            sent_at=booking.sent_at,
        )

    def read_item(self, item: Json) -> _Request | _Ignored:
        """Read one booking event of a list.

        It is named by what it says, where it has no delivery id: the same event may come again in
        another list.
        """
        identity = json.dumps(item, sort_keys=True)
        if not isinstance(item, dict):
            return self.undecodable(identity, "is no JSON object")
        return self.read(item, identity)

    def undecodable(self, identity: str | bytes, why: str) -> _Ignored:
        """Tell those who read the results about an event that cannot be read."""
        if not self.webhook.body:
            notes = _what_an_empty_body_means(self.webhook)
            return _Ignored(reason="undecodable", detail="There is no body.", notes=notes)
        error = InvalidRequest(
            f"What the booking system posted cannot be read: it {why}.",
            fix="Look at what the booking system sends, and at a template that it may use for it.",
        )
        correlation = Correlation(request_id=_request_id(self.source.name, identity))
        return self._failed("undecodable", error, correlation)

    def is_recent(self, request: _Request) -> bool:
        """Say whether the link may be given out: a recorded delivery is no key for ever."""
        most = self.source.inline_seconds
        if most is None:
            return True
        return request.sent_at is not None and abs(self.webhook.now() - request.sent_at) <= most

    def enqueue(self, request: _Request) -> None:
        """Put a request on the queue.

        Raises:
            QueueUnavailable: if that could not be done.
        """
        message = messages.write_request(
            request.document.value,
            request_id=request.correlation.request_id,
            source=self.source.name,
            traceparent=read_traceparent(self.webhook.headers),
            alternatives=request.alternatives,
        )
        self.services.queues.send(REQUESTS, message, deadline=self.webhook.deadline)

    def _failed(self, reason: str, error: ServiceError, correlation: Correlation) -> _Ignored:
        publish_outcome(
            self.services,
            Outcome.of(correlation, error),
            write=partial(self.services.queues.send, deadline=self.webhook.deadline),
            time=self.webhook.now(),
            attempts=0,
            source=self.source.name,
            caller=self.source.name,
            traceparent=read_traceparent(self.webhook.headers),
        )
        return _Ignored(reason=reason, detail=error.detail, request_id=correlation.request_id)


def _missing(what: str, source: Source) -> MeetingMissing:
    if what == "organizer":
        return MeetingMissing(
            "The booking names no organizer, and its Teams link does not either.",
            fix="Give the source a mapping for the organizer, or a defaultUserId.",
        )
    return MeetingMissing(
        "The booking names no Teams meeting: its Teams link was not there when the booking system "
        "posted.",
        fix=source.link_missing,
    )


def _answer(delivery: _Delivery, request: _Request) -> _Outcome:
    """Answer at once, if the source wants that and Graph gives the link; else queue."""
    webhook, event = delivery.webhook, request.event
    if delivery.source.replies_inline and not delivery.is_recent(request):
        request = replace(request, notes=(*request.notes, _NOT_RECENT))
        event = request.event
    elif delivery.source.replies_inline:
        services = delivery.services
        left = max(0.0, webhook.deadline.remaining() - QUEUE_SECONDS)
        deadline = Deadline(seconds=min(services.settings.graph_timeout_seconds, left))
        stats = RequestStats(notes=list(request.notes))
        outcome = services.resolver.attempt(
            request.document,
            request.correlation,
            deadline=deadline,
            stats=stats,
            max_tries=1,
            alternatives=request.alternatives,
        )
        if outcome.error is not None:
            stats.notes.append(f"inline_{outcome.error.code}")
        tried = telemetry.outcome_event(
            "webhook", None, deadline, stats, request_id=outcome.request_id
        )
        if outcome.error is None:
            answer = outcome_response(outcome, client_request_id=webhook.client_request_id)
            return _Outcome(answer, (tried,))
        event = replace(tried, event=event.event)
    delivery.enqueue(request)
    members: dict[str, Json] = {
        "status": "accepted",
        "requestId": request.correlation.request_id,
    }
    return _Outcome(_accepted(webhook, members), (event,))


def _answer_list(delivery: _Delivery, items: Sequence[Json]) -> _Outcome:
    """Take up each booking event of a list; all of them go by the queue."""
    if len(items) > MOST_EVENTS:
        raise errors.PayloadTooLarge(
            f"The list holds {len(items):,} events; at most {MOST_EVENTS} are taken at once."
        )
    taken = [delivery.read_item(item) for item in items]
    ignored = [each for each in taken if isinstance(each, _Ignored)]
    for each in taken:
        if isinstance(each, _Request):
            delivery.enqueue(each)
    members: dict[str, Json] = {"status": "accepted"}
    if len(ignored) == len(taken):
        members = ignored[0].members
        members.pop("requestId", None)
    members["requestIds"] = [each.event.request_id for each in taken]
    return _Outcome(_accepted(delivery.webhook, members), tuple(each.event for each in taken))


def _accepted(webhook: _WebhookRequest, members: Mapping[str, Json]) -> HttpResponse:
    return json_response(202, members, client_request_id=webhook.client_request_id)


def _refusal(error: Exception, webhook: _WebhookRequest) -> _Outcome:
    known = to_service_error(error)
    note = known.cause
    if isinstance(known, SignatureInvalid):
        note = " ".join([known.detail, *_what_an_empty_body_means(webhook)])
        # One answer for all: who guesses learns neither what was wrong nor which sources exist.
        known = SignatureInvalid("The request does not carry a valid signature of this source.")
    return _Outcome(
        problem_response(known, client_request_id=webhook.client_request_id),
        (Event(event=_REFUSED, code=known.code, note=note),),
    )


def _what_an_empty_body_means(webhook: _WebhookRequest) -> tuple[str, ...]:
    """Name the body that is missing for want of Content-Length: the host hands over none then."""
    if webhook.body:
        return ()
    lost = "content-length" not in webhook.headers
    return ("body_without_content_length" if lost else "body_empty",)


def _request_id(source: str, identity: str | bytes) -> str:
    """Give the same id to a delivery that comes again."""
    named = identity if isinstance(identity, bytes) else identity.encode("utf-8", "replace")
    return f"{source}-{hashlib.sha256(named).hexdigest()[:32]}"
