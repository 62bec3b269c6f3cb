"""The webhook route, without azure.functions: a booking system's request in, a response out.

The steps: check the size, check the signature of the raw bytes, decode, check the source's
conditions, map, queue. An event with a valid signature that cannot be used is accepted, and its
error goes to the result queue, because some senders switch off a webhook after a 4xx. The only 4xx
after a valid signature is the 413 for too many events or values: nothing of the body is accepted.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from copy import replace
from dataclasses import dataclass, field

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
from shared.handlers.publishing import outcome_messages
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
from shared.webhooks.mapping import SEND_LESS, BodyUndecodable
from shared.webhooks.signatures import SECRET_MAY_BE_NEWER
from shared.webhooks.sources import Source, Sources

ANSWER_SECONDS = 9.0
"""The limit for the response in seconds: senders wait ten."""
VAULT_SECONDS = 5.0
QUEUE_SECONDS = 2.0
"""The seconds that an inline reply leaves for writing to the queue."""

MOST_EVENTS = 100
"""How many events a list may hold: these can be queued while the sender waits."""

_LEFT_OUT = {"language": "language_left_out", "context": "context_left_out"}
"""The log event's note for an invalid optional member."""
_REFUSED = "webhook.refused"
_UNKNOWN_SOURCE = "unknown_source"
_NOT_RECENT = "inline_not_recent"


@dataclass(frozen=True, slots=True)
class _Reply:
    """The response to the sender, and the events for the log."""

    response: HttpResponse
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """The request that a booking event makes."""

    document: Document
    correlation: Correlation
    alternatives: Alternatives
    notes: tuple[str, ...]
    sent_at: float | None

    @property
    def event(self) -> Event:
        """Its event for the log."""
        note = " ".join(self.notes) or None
        return Event(event="webhook.accepted", request_id=self.correlation.request_id, note=note)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ignored:
    """Why a booking event makes no request. The id is that of the outcome on the result queue."""

    reason: str
    detail: str
    notes: tuple[str, ...] = ()
    request_id: str | None = None

    @property
    def event(self) -> Event:
        """Its event for the log."""
        note = " ".join([self.reason, *self.notes])
        return Event(event="webhook.ignored", request_id=self.request_id, note=note)

    @property
    def members(self) -> dict[str, Json]:
        """The members of the response. They say that the signature was valid."""
        members: dict[str, Json] = {
            "status": "ignored",
            "reason": self.reason,
            "detail": f"The signature is valid. {self.detail}",
        }
        return members if self.request_id is None else {**members, "requestId": self.request_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class _IncomingWebhook:
    """The HTTP request of a sender that may be anybody, with header names in lower case."""

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
    """Answer `POST /api/webhooks/{source}`. This raises nothing.

    Args:
        application: the app, with valid or invalid settings.
        source: the source's name in the address.
        headers: the request's headers, by name in any case.
        body: the raw body.
        now: seconds since the epoch.
    """
    headers = {name.lower(): value for name, value in headers.items()}
    webhook = _IncomingWebhook(
        headers=headers,
        body=body,
        deadline=Deadline(seconds=ANSWER_SECONDS),
        client_request_id=read_client_request_id(headers),
        now=now,
    )
    configured: str | None = None
    authenticated: str | None = None
    try:
        services = application.services()
        configured = source if _is_configured(services, source) else None
        verified, id_seed = _verify(services, source, webhook)
        authenticated = source
        reply = _reply(verified, id_seed)
    except Exception as error:  # noqa: BLE001 - the sender gets a response, and tries again
        reply = _reply_to_error(error, webhook)
    for event in reply.events:
        completed = replace(
            event,
            trigger="webhook",
            source=configured,
            caller=authenticated,
            duration_ms=webhook.deadline.elapsed_ms(),
            client_request_id=webhook.client_request_id,
        )
        if authenticated is None:  # anybody who finds the route can cause it
            application.event_limiter.emit_refusal(completed)
        else:
            telemetry.emit(completed)
    application.event_limiter.emit_due()
    return reply.response


def _is_configured(services: Services, name: str) -> bool:
    sources = services.sources or Sources()
    return name in sources.valid or name in sources.invalid


def _verify(
    services: Services, name: str, webhook: _IncomingWebhook
) -> tuple["_VerifiedWebhook", str | bytes]:
    """Check the size, the source and the signature.

    Returns:
        The verified webhook, and what its request id is made from: the delivery's id where the
        signature covers one, else the body.

    Raises:
        PayloadTooLarge: if the body is too long.
        SettingsInvalid: if the source is not set up correctly.
        SignatureInvalid: if there is no such source, or the signature is not valid.
        SecretsUnavailable: if there is no secret to check it with.
    """
    if len(webhook.body) > MAX_BODY_BYTES:
        raise errors.PayloadTooLarge(
            f"The body is longer than {MAX_BODY_BYTES:,} bytes.", fix=SEND_LESS
        )
    sources = services.sources or Sources()
    if name in sources.invalid:
        raise errors.SettingsInvalid("This webhook source is not set up correctly.")
    source = sources.valid.get(name)
    if source is None:
        raise SignatureInvalid(_UNKNOWN_SOURCE)
    signed_id = _authenticate(services, source, webhook)
    verified = _VerifiedWebhook(services=services, source=source, webhook=webhook)
    return verified, webhook.body if signed_id is None else signed_id


def _reply(verified: "_VerifiedWebhook", id_seed: str | bytes) -> _Reply:
    """Read the event or the list of events, and queue or answer it."""
    webhook = verified.webhook
    taken: _Request | _Ignored
    try:
        payload = mapping.decode(webhook.headers.get("content-type", ""), webhook.body)
    except BodyUndecodable as error:
        taken = verified.undecodable(id_seed, str(error))
    else:
        if isinstance(payload, list):
            return _reply_to_list(verified, payload)
        taken = verified.read(payload, id_seed)
    if isinstance(taken, _Ignored):
        verified.write()
        return _Reply(_accepted(webhook, taken.members), (taken.event,))
    return _reply_to_event(verified, taken)


def _authenticate(services: Services, source: Source, webhook: _IncomingWebhook) -> str | None:
    """Check the signature. If the cached secrets do not fit, read newer ones and check again.

    Returns:
        The delivery's id, where the signature covers one.

    Raises:
        SignatureInvalid: if it is not valid. The detail is a code that says why.
        SecretsUnavailable: if there is no secret to check it with.
    """
    if services.secrets is None:  # the settings require a vault for each source
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
class _VerifiedWebhook:
    """A webhook request of a source, with a valid signature.

    Attributes:
        services: The app's services.
        source: The source.
        webhook: The request.
        messages: What is to be written before the response: a queue's name and the text of each.
    """

    services: Services
    source: Source
    webhook: _IncomingWebhook
    messages: list[tuple[str, str]] = field(default_factory=list, repr=False)

    def read(self, payload: Json, id_seed: str | bytes) -> _Request | _Ignored:
        """Read a booking event. If it makes no request, its error goes to the result queue.

        Args:
            payload: the event.
            id_seed: what the request id is made from, unless the mapping finds a delivery id.
        """
        mapper = self.source.mapper
        if (condition := mapper.failed_condition(payload)) is not None:
            detail = f"The event is not for this app: the source's condition {condition} decides."
            return _Ignored(reason="not_for_us", detail=detail, notes=(condition,))
        booking = mapper.read(payload)
        request_id = _request_id(self.source.name, booking.delivery_id or id_seed)
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

        Without a delivery id, the content makes its request id, because the same event may come
        again in another list.
        """
        id_seed = json.dumps(item, sort_keys=True)
        if not isinstance(item, dict):
            return self.undecodable(id_seed, "is no JSON object")
        return self.read(item, id_seed)

    def undecodable(self, id_seed: str | bytes, why: str) -> _Ignored:
        """Publish the error of an event that cannot be read."""
        if not self.webhook.body:
            notes = _what_an_empty_body_means(self.webhook)
            return _Ignored(reason="undecodable", detail="There is no body.", notes=notes)
        error = InvalidRequest(
            f"What the booking system posted cannot be read: it {why}.",
            fix="Look at what the booking system sends, and at a template that it may use for it.",
        )
        correlation = Correlation(request_id=_request_id(self.source.name, id_seed))
        return self._failed("undecodable", error, correlation)

    def is_recent(self, request: _Request) -> bool:
        """Say whether the event is new enough for an inline reply. A replay gets no link."""
        most = self.source.inline_seconds
        if most is None:
            return True
        return request.sent_at is not None and abs(self.webhook.now() - request.sent_at) <= most

    def enqueue(self, request: _Request) -> None:
        """Add a request to the messages."""
        message = messages.write_request(
            request.document.value,
            request_id=request.correlation.request_id,
            source=self.source.name,
            traceparent=read_traceparent(self.webhook.headers),
            alternatives=request.alternatives,
        )
        self.messages.append((REQUESTS, message))

    def write(self) -> None:
        """Write the messages.

        Raises:
            QueueUnavailable: if one could not be written.
        """
        self.services.queues.send_all(self.messages, deadline=self.webhook.deadline)

    def _failed(self, reason: str, error: ServiceError, correlation: Correlation) -> _Ignored:
        publishing = outcome_messages(
            self.services,
            Outcome.of(correlation, error),
            time=self.webhook.now(),
            attempts=0,
            source=self.source.name,
            caller_name=self.source.name,
            traceparent=read_traceparent(self.webhook.headers),
        )
        self.messages.extend(publishing)
        detail = error.detail
        if isinstance(error, MeetingMissing):  # the sender may be able to do what the fix says
            detail = f"{error.detail} {error.fix}"
        return _Ignored(reason=reason, detail=detail, request_id=correlation.request_id)


def _missing(what: str, source: Source) -> MeetingMissing:
    if what == "organizer":
        return MeetingMissing(
            "The booking names no organizer, and its Teams link does not either.",
            fix=source.organizer_missing,
        )
    return MeetingMissing("The booking names no Teams meeting.", fix=source.link_missing)


def _reply_to_event(verified: _VerifiedWebhook, request: _Request) -> _Reply:
    """Reply with the link if the source has `reply: inline` and Graph gives it, else queue."""
    webhook, event = verified.webhook, request.event
    if verified.source.replies_inline and not verified.is_recent(request):
        request = replace(request, notes=(*request.notes, _NOT_RECENT))
        event = request.event
    elif verified.source.replies_inline:
        services = verified.services
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
            return _Reply(answer, (tried,))
        event = replace(tried, event=event.event)
    verified.enqueue(request)
    verified.write()
    members: dict[str, Json] = {
        "status": "accepted",
        "requestId": request.correlation.request_id,
    }
    return _Reply(_accepted(webhook, members), (event,))


def _reply_to_list(verified: _VerifiedWebhook, items: Sequence[Json]) -> _Reply:
    """Read each booking event of a list, and queue its request."""
    if len(items) > MOST_EVENTS:
        raise errors.PayloadTooLarge(
            f"The list holds {len(items):,} events; at most {MOST_EVENTS} are taken at once.",
            fix=SEND_LESS,
        )
    taken = [verified.read_item(item) for item in items]
    ignored = [each for each in taken if isinstance(each, _Ignored)]
    for each in taken:
        if isinstance(each, _Request):
            verified.enqueue(each)
    verified.write()
    members: dict[str, Json] = {"status": "accepted"}
    if len(ignored) == len(taken):
        members = ignored[0].members
        members.pop("requestId", None)
    members["requestIds"] = [each.event.request_id for each in taken]
    return _Reply(_accepted(verified.webhook, members), tuple(each.event for each in taken))


def _accepted(webhook: _IncomingWebhook, members: Mapping[str, Json]) -> HttpResponse:
    return json_response(202, members, client_request_id=webhook.client_request_id)


def _reply_to_error(error: Exception, webhook: _IncomingWebhook) -> _Reply:
    known = to_service_error(error)
    note = known.cause
    if isinstance(known, SignatureInvalid):
        note = " ".join([known.detail, *_what_an_empty_body_means(webhook)])
        # The same response for all, so that it shows neither the failure nor which sources exist.
        known = SignatureInvalid("The request does not carry a valid signature of this source.")
    return _Reply(
        problem_response(known, client_request_id=webhook.client_request_id),
        (Event(event=_REFUSED, code=known.code, note=note),),
    )


def _what_an_empty_body_means(webhook: _IncomingWebhook) -> tuple[str, ...]:
    """Say why a body is empty. Without Content-Length the host passes no body on."""
    if webhook.body:
        return ()
    lost = "content-length" not in webhook.headers
    return ("body_without_content_length" if lost else "body_empty",)


def _request_id(source: str, id_seed: str | bytes) -> str:
    """Make the request id of an event. It is the same if the event comes again."""
    named = id_seed if isinstance(id_seed, bytes) else id_seed.encode("utf-8", "replace")
    return f"{source}-{hashlib.sha256(named).hexdigest()[:32]}"
