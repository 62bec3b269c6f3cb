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

from shared import envelopes, errors, mapping, messages, telemetry
from shared.application import Application, Services
from shared.appointments import JoinRequest, correlation
from shared.budget import Budget
from shared.errors import InvalidRequest, MeetingMissing, SignatureInvalid
from shared.failures import to_service_error
from shared.http_answers import (
    HttpAnswer,
    json_answer,
    outcome_answer,
    problem_answer,
    read_client_request_id,
)
from shared.http_api import MAX_BODY_BYTES
from shared.identifiers import is_traceparent
from shared.mapping import Booking, Undecodable
from shared.outcomes import Outcome, attempt, failure
from shared.queues import REQUESTS, RESULTS
from shared.signatures import SECRET_MAY_BE_NEWER
from shared.sources import Source, Sources
from shared.strict_json import Document, Json
from shared.telemetry import Event

VAULT_SECONDS = 5.0
REPLY_SECONDS = 7.0
"""Of the ten that senders wait: when an inline reply has to be there, or go by the queue."""

_UNKNOWN_SOURCE = "unknown_source"


@dataclass(frozen=True, slots=True)
class _Ending:
    """What the sender is told, and the event that tells the operator."""

    answer: HttpAnswer
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delivery:
    """What was posted, with header names in lower case."""

    headers: Mapping[str, str]
    body: bytes
    budget: Budget
    client_request_id: str | None
    now: Callable[[], float]


def receive(
    application: Application,
    source: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: Callable[[], float] = time.time,
) -> HttpAnswer:
    """Answer `POST /api/webhooks/{source}`. Raises nothing.

    Args:
        application: the app, sound or with faulty settings.
        source: the name in the address.
        headers: by name, in any case.
        body: as it came.
        now: seconds since the epoch.
    """
    headers = {name.lower(): value for name, value in headers.items()}
    delivery = _Delivery(
        headers=headers,
        body=body,
        budget=Budget(seconds=REPLY_SECONDS),
        client_request_id=read_client_request_id(headers),
        now=now,
    )
    name: str | None = None
    try:
        services = application.services()
        name = source if _is_configured(services, source) else None
        ending = _receive(services, source, delivery)
    except Exception as error:  # noqa: BLE001 - the sender gets an answer, and tries again
        ending = _refusal(error, delivery)
    telemetry.emit(
        replace(
            ending.event,
            trigger="webhook",
            source=name,
            duration_ms=delivery.budget.elapsed_ms(),
            client_request_id=delivery.client_request_id,
        )
    )
    return ending.answer


def _is_configured(services: Services, name: str) -> bool:
    sources = services.sources or Sources()
    return name in sources.sound or name in sources.faulty


def _receive(services: Services, name: str, delivery: _Delivery) -> _Ending:
    if len(delivery.body) > MAX_BODY_BYTES:
        raise errors.PayloadTooLarge(f"The body is longer than {MAX_BODY_BYTES:,} bytes.")
    sources = services.sources or Sources()
    if name in sources.faulty:
        raise errors.SettingsInvalid("This webhook source is not set up correctly.")
    source = sources.sound.get(name)
    if source is None:
        raise SignatureInvalid(_UNKNOWN_SOURCE)
    delivery_id = _authenticate(services, source, delivery)
    try:
        payload = mapping.decode(delivery.headers.get("content-type", ""), delivery.body)
    except Undecodable:
        return _ignored(delivery, "undecodable", *_what_an_empty_body_means(delivery))
    if not source.mapper.is_for_us(payload):
        return _ignored(delivery, "not_for_us")
    return _take_up(services, source, delivery, source.mapper.read(payload), delivery_id)


def _authenticate(services: Services, source: Source, delivery: _Delivery) -> str | None:
    """Check the signature, with newer secrets if those at hand made none.

    Raises:
        SignatureInvalid: saying in its detail what is wrong.
        SecretsUnavailable: if there is nothing to check it with.
    """
    if services.secrets is None:  # the settings let no source be without a vault
        raise errors.SecretsUnavailable("KEY_VAULT_URI is not set.")
    budget = Budget(seconds=VAULT_SECONDS)
    seen = services.secrets.current(source.secret, budget=budget)
    try:
        return source.scheme.verify(seen, delivery.headers, delivery.body, delivery.now())
    except SignatureInvalid as error:
        if error.detail not in SECRET_MAY_BE_NEWER:
            raise
    newer = services.secrets.newer(source.secret, seen=seen, budget=budget)
    return source.scheme.verify(newer, delivery.headers, delivery.body, delivery.now())


def _take_up(
    services: Services,
    source: Source,
    delivery: _Delivery,
    booking: Booking,
    signed_id: str | None,
) -> _Ending:
    """Queue the request, or answer it at once, or tell why it is none."""
    request_id = _request_id(source.name, booking.delivery_id or signed_id, delivery.body)
    document = Document({"requestId": request_id, **booking.members}, ())
    try:
        _check(document, booking, request_id)
    except (MeetingMissing, InvalidRequest) as error:
        _, context = correlation(document, default_request_id=request_id)
        outcome = failure(error, request_id=request_id, context=context)
        _tell(services, source, delivery, outcome)
        return _ignored(delivery, error.code, request_id=request_id)
    event = Event(event="webhook.accepted", request_id=request_id)
    if source.replies_inline:
        seconds = min(services.settings.graph_timeout_seconds, delivery.budget.remaining())
        budget = Budget(seconds=seconds, tries=1)
        outcome = attempt(services.resolver, document, default_request_id=request_id, budget=budget)
        tried = telemetry.outcome_event("webhook", None, budget, request_id=request_id)
        if outcome.error is None:
            answer = outcome_answer(outcome, client_request_id=delivery.client_request_id)
            return _Ending(answer, tried)
        event = replace(tried, event=event.event, note=f"inline_{outcome.error.code}")
    message = envelopes.request(
        document.value,
        request_id=request_id,
        source=source.name,
        traceparent=_traceparent(delivery.headers),
    )
    services.queues.send(REQUESTS, message)
    return _Ending(_accepted(delivery, {"status": "accepted", "requestId": request_id}), event)


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
    JoinRequest.from_document(document, default_request_id=request_id)


def _tell(services: Services, source: Source, delivery: _Delivery, outcome: Outcome) -> None:
    """Tell the readers of the results about an event that makes no request."""
    message = messages.outcome(
        outcome,
        time=delivery.now(),
        attempts=0,
        source=source.name,
        traceparent=_traceparent(delivery.headers),
    )
    services.queues.send(RESULTS, message)


def _ignored(
    delivery: _Delivery, reason: str, *notes: str, request_id: str | None = None
) -> _Ending:
    members: dict[str, Json] = {"status": "ignored", "reason": reason}
    if request_id is not None:
        members["requestId"] = request_id
    note = " ".join([reason, *notes])
    return _Ending(
        _accepted(delivery, members),
        Event(event="webhook.ignored", request_id=request_id, note=note),
    )


def _accepted(delivery: _Delivery, members: Mapping[str, Json]) -> HttpAnswer:
    return json_answer(202, members, client_request_id=delivery.client_request_id)


def _refusal(error: Exception, delivery: _Delivery) -> _Ending:
    known = to_service_error(error)
    note = None
    if isinstance(known, SignatureInvalid):
        note = " ".join([known.detail, *_what_an_empty_body_means(delivery)])
        # One answer for all: who guesses learns neither what was wrong nor which sources exist.
        known = SignatureInvalid("The request does not carry a valid signature of this source.")
    return _Ending(
        problem_answer(known, client_request_id=delivery.client_request_id),
        Event(event="webhook.refused", code=known.code, note=note),
    )


def _what_an_empty_body_means(delivery: _Delivery) -> list[str]:
    """Name the body that is missing for want of Content-Length: the host hands over none then."""
    if delivery.body:
        return []
    lost = "content-length" not in delivery.headers
    return ["body_without_content_length" if lost else "body_empty"]


def _request_id(source: str, delivery_id: str | None, body: bytes) -> str:
    """Give the same id to a delivery that comes again."""
    named = body if delivery_id is None else delivery_id.encode("utf-8", "replace")
    return f"{source}-{hashlib.sha256(named).hexdigest()[:32]}"


def _traceparent(headers: Mapping[str, str]) -> str | None:
    value = headers.get("traceparent", "")
    return value if is_traceparent(value) else None
