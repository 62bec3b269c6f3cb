"""The webhook route, in plain values: what a booking system posted in, an answer out.

Size, signature over the raw bytes, decode, is it for us, map, queue. After a valid signature there
is no 4xx any more: senders switch a webhook off for less. What cannot be used is accepted, and told
to those who read the results.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from copy import replace
from dataclasses import dataclass

from shared.app import Application, Services
from shared.core import errors, telemetry
from shared.core.deadline import Deadline, RequestStats
from shared.core.errors import InvalidRequest, MeetingMissing, SignatureInvalid, to_service_error
from shared.core.strict_json import Document, Json
from shared.core.telemetry import Event
from shared.handlers.join_links import MAX_BODY_BYTES
from shared.handlers.responses import (
    HttpResponse,
    json_response,
    outcome_response,
    problem_response,
    read_client_request_id,
    read_traceparent,
)
from shared.meetings.models import Correlation, JoinRequest, Outcome
from shared.queues import messages
from shared.queues.client import REQUESTS, RESULTS
from shared.webhooks import mapping
from shared.webhooks.mapping import BodyUndecodable, Booking
from shared.webhooks.signatures import SECRET_MAY_BE_NEWER
from shared.webhooks.sources import Source, Sources

VAULT_SECONDS = 5.0
REPLY_SECONDS = 7.0
"""Of the ten that senders wait: when an inline reply has to be there, or go by the queue."""

_UNKNOWN_SOURCE = "unknown_source"


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What the sender is told, and the event that tells the operator."""

    answer: HttpResponse
    event: Event


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
        deadline=Deadline(seconds=REPLY_SECONDS),
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
    telemetry.emit(
        replace(
            ending.event,
            trigger="webhook",
            source=name,
            duration_ms=webhook.deadline.elapsed_ms(),
            client_request_id=webhook.client_request_id,
        )
    )
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
    delivery_id = _authenticate(services, source, webhook)
    try:
        payload = mapping.decode(webhook.headers.get("content-type", ""), webhook.body)
    except BodyUndecodable:
        return _ignored(webhook, "undecodable", *_what_an_empty_body_means(webhook))
    if not source.mapper.is_for_us(payload):
        return _ignored(webhook, "not_for_us")
    return _accept(services, source, webhook, source.mapper.read(payload), delivery_id)


def _authenticate(services: Services, source: Source, webhook: _WebhookRequest) -> str | None:
    """Check the signature, with newer secrets if those at hand made none.

    Raises:
        SignatureInvalid: saying in its detail what is wrong.
        SecretsUnavailable: if there is nothing to check it with.
    """
    if services.secrets is None:  # the settings let no source be without a vault
        raise errors.SecretsUnavailable("KEY_VAULT_URI is not set.")
    deadline = Deadline(seconds=VAULT_SECONDS)
    seen = services.secrets.current(source.secret, deadline=deadline)
    try:
        return source.scheme.verify(seen, webhook.headers, webhook.body, webhook.now())
    except SignatureInvalid as error:
        if error.detail not in SECRET_MAY_BE_NEWER:
            raise
    newer = services.secrets.newer(source.secret, seen=seen, deadline=deadline)
    return source.scheme.verify(newer, webhook.headers, webhook.body, webhook.now())


def _accept(
    services: Services,
    source: Source,
    webhook: _WebhookRequest,
    booking: Booking,
    signed_id: str | None,
) -> _Outcome:
    """Queue the request, or answer it at once, or tell why it is none."""
    request_id = _request_id(source.name, booking.delivery_id or signed_id, webhook.body)
    document = Document({"requestId": request_id, **booking.members})
    correlation = Correlation.of(document, default_request_id=request_id)
    try:
        _check(document, booking, request_id)
    except (MeetingMissing, InvalidRequest) as error:
        outcome = Outcome.of(correlation, error)
        _publish_outcome(services, source, webhook, outcome)
        return _ignored(webhook, error.code, request_id=request_id)
    event = Event(event="webhook.accepted", request_id=request_id)
    if source.replies_inline:
        seconds = min(services.settings.graph_timeout_seconds, webhook.deadline.remaining())
        deadline, stats = Deadline(seconds=seconds), RequestStats()
        outcome = services.resolver.attempt(
            document,
            correlation,
            deadline=deadline,
            stats=stats,
            max_tries=1,
        )
        tried = telemetry.outcome_event("webhook", None, deadline, stats, request_id=request_id)
        if outcome.error is None:
            answer = outcome_response(outcome, client_request_id=webhook.client_request_id)
            return _Outcome(answer, tried)
        event = replace(tried, event=event.event, note=f"inline_{outcome.error.code}")
    message = messages.write_request(
        document.value,
        request_id=request_id,
        source=source.name,
        traceparent=read_traceparent(webhook.headers),
    )
    services.queues.send(REQUESTS, message)
    return _Outcome(_accepted(webhook, {"status": "accepted", "requestId": request_id}), event)


def _check(document: Document, booking: Booking, request_id: str) -> None:
    if booking.missing == "meeting":
        raise MeetingMissing(
            "The booking names no Teams meeting.",
            fix="Look at the booking: has it got its Teams link yet? If it has, correct the "
            "source's mapping.",
        )
    if booking.missing == "organizer":
        raise MeetingMissing(
            "The booking names no organizer, and its Teams link does not either.",
            fix="Give the source a mapping for the organizer, or a defaultUserId.",
        )
    JoinRequest.from_document(document, request_id=request_id)


def _publish_outcome(
    services: Services, source: Source, webhook: _WebhookRequest, outcome: Outcome
) -> None:
    """Tell the readers of the results about an event that makes no request."""
    message = messages.write_outcome(
        outcome,
        time=webhook.now(),
        attempts=0,
        source=source.name,
        traceparent=read_traceparent(webhook.headers),
    )
    services.queues.send(RESULTS, message)


def _ignored(
    webhook: _WebhookRequest, reason: str, *notes: str, request_id: str | None = None
) -> _Outcome:
    members: dict[str, Json] = {"status": "ignored", "reason": reason}
    if request_id is not None:
        members["requestId"] = request_id
    note = " ".join([reason, *notes])
    return _Outcome(
        _accepted(webhook, members),
        Event(event="webhook.ignored", request_id=request_id, note=note),
    )


def _accepted(webhook: _WebhookRequest, members: Mapping[str, Json]) -> HttpResponse:
    return json_response(202, members, client_request_id=webhook.client_request_id)


def _refusal(error: Exception, webhook: _WebhookRequest) -> _Outcome:
    known = to_service_error(error)
    note = None
    if isinstance(known, SignatureInvalid):
        note = " ".join([known.detail, *_what_an_empty_body_means(webhook)])
        # One answer for all: who guesses learns neither what was wrong nor which sources exist.
        known = SignatureInvalid("The request does not carry a valid signature of this source.")
    return _Outcome(
        problem_response(known, client_request_id=webhook.client_request_id),
        Event(event="webhook.refused", code=known.code, note=note),
    )


def _what_an_empty_body_means(webhook: _WebhookRequest) -> list[str]:
    """Name the body that is missing for want of Content-Length: the host hands over none then."""
    if webhook.body:
        return []
    lost = "content-length" not in webhook.headers
    return ["body_without_content_length" if lost else "body_empty"]


def _request_id(source: str, delivery_id: str | None, body: bytes) -> str:
    """Give the same id to a delivery that comes again."""
    named = body if delivery_id is None else delivery_id.encode("utf-8", "replace")
    return f"{source}-{hashlib.sha256(named).hexdigest()[:32]}"
