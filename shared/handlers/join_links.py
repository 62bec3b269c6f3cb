"""The HTTP routes for join links, without azure.functions."""

import re
from collections.abc import Callable, Mapping

from shared.app import Application, Services
from shared.core import strict_json, telemetry
from shared.core.deadline import Deadline, RequestStats
from shared.core.errors import (
    InvalidRequest,
    PayloadTooLarge,
    QueueUnavailable,
    UnsupportedMediaType,
    to_service_error,
)
from shared.core.identifiers import make_request_id
from shared.core.strict_json import Document, FieldError, FieldErrors, Json, NotJson
from shared.core.telemetry import Event
from shared.handlers.responses import (
    JSON,
    HttpResponse,
    json_response,
    outcome_response,
    problem_response,
    read_client_request_id,
    read_traceparent,
    with_claims_challenge,
)
from shared.identity.bearer_tokens import Caller, CallerForbidden
from shared.meetings.authorization import authorize_for_later
from shared.meetings.models import ME, Correlation, JoinRequest, Outcome
from shared.meetings.resolver import Attempt
from shared.queues.client import REQUESTS

MAX_BODY_BYTES = 64 * 1024
MAX_BODY_BYTES_OF_MANY = 1024 * 1024
MOST_REQUESTS = 100
_MANY = "requests"
_JSON_FIX = (
    "Send one JSON document in UTF-8, and not compressed. Windows PowerShell sends UTF-8 only with "
    "the content type application/json; charset=utf-8."
)


class _HttpRequest:
    """A request to one of the HTTP routes, with everything that its response and event need.

    Args:
        application: the app, with valid or invalid settings.
        headers: the request's headers, by name in any case.
    """

    def __init__(self, application: Application, headers: Mapping[str, str]) -> None:
        self._application = application
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.client_request_id = read_client_request_id(self.headers)
        self.correlation = Correlation(request_id=make_request_id())
        """For a request whose own id is not known."""
        # Until the settings say how long a request may take, this only measures how long it takes.
        self.deadline = Deadline(seconds=0)
        self.caller_name: str | None = None
        """The caller in events: an id, never a person's name or mail address."""

    def authenticate(self) -> tuple[Services, Caller | None]:
        """Start the deadline, and check the caller's token.

        Returns:
            The services and the caller. None: callers use function keys, which the host has
            checked.

        Raises:
            SettingsInvalid: if the settings are invalid.
            ServiceError: as in `SignIn.check`.
        """
        services = self._application.services()
        self.deadline = Deadline(seconds=services.settings.graph_timeout_seconds)
        if services.sign_in is None:
            self.caller_name = "key"
            return services, None
        caller = services.sign_in.check(self.headers, deadline=self.deadline)
        self.caller_name = caller.name
        return services, caller

    def respond(self, outcome: Outcome, stats: RequestStats) -> HttpResponse:
        """Make the response of an outcome, after its event and others that are due."""
        self.emit(outcome, stats)
        self._application.event_limiter.emit_due()
        return outcome_response(outcome, client_request_id=self.client_request_id)

    def emit(self, outcome: Outcome, stats: RequestStats) -> None:
        """Emit the event of an outcome."""
        caller_name = self.caller_name
        if isinstance(outcome.error, CallerForbidden):
            caller_name = outcome.error.caller_name
        event = telemetry.outcome_event(
            "http",
            outcome.error,
            self.deadline,
            stats,
            request_id=outcome.request_id,
            caller=caller_name,
            client_request_id=self.client_request_id,
        )
        if caller_name is None:
            # Nobody was authenticated, so anybody who finds the route can cause it.
            self._application.event_limiter.emit_refusal(event)
        else:
            telemetry.emit(event)


def join_link(application: Application, headers: Mapping[str, str], body: bytes) -> HttpResponse:
    """Answer `POST /api/join-link`: the result, or a problem. This raises nothing.

    Args:
        application: the app, with valid or invalid settings.
        headers: the request's headers, by name in any case.
        body: the raw body.
    """
    request, stats = _HttpRequest(application, headers), RequestStats()
    try:
        services, caller = request.authenticate()
        document = parse_body(strict_json.read, request.headers, body, most=MAX_BODY_BYTES)
    except Exception as error:  # noqa: BLE001 - every request gets a response
        return request.respond(Outcome.of(request.correlation, error), stats)
    outcome = services.resolver.attempt(
        document,
        Correlation.of(document, default_request_id=request.correlation.request_id),
        deadline=request.deadline,
        stats=stats,
        caller=caller,
    )
    return request.respond(outcome, stats)


def join_links(application: Application, headers: Mapping[str, str], body: bytes) -> HttpResponse:
    """Answer `POST /api/join-links`: each request's result or problem, in order.

    The response itself is a problem only if the envelope is invalid or nobody may call. This raises
    nothing.

    Args:
        application: the app, with valid or invalid settings.
        headers: the request's headers, by name in any case.
        body: the raw body.
    """
    request = _HttpRequest(application, headers)
    try:
        services, caller = request.authenticate()
        documents = _check_envelope(
            *parse_body(_read_many, request.headers, body, most=MAX_BODY_BYTES_OF_MANY)
        )
    except Exception as error:  # noqa: BLE001 - as above
        return request.respond(Outcome.of(request.correlation, error), RequestStats())
    attempts = [
        Attempt(
            document=document,
            correlation=Correlation.of(document, default_request_id=make_request_id()),
            stats=RequestStats(),
        )
        for document in documents
    ]
    outcomes = services.resolver.attempt_all(attempts, deadline=request.deadline, caller=caller)
    for each, outcome in zip(attempts, outcomes, strict=True):
        request.emit(outcome, each.stats)
    application.event_limiter.emit_due()
    results: list[Json] = [_result(outcome) for outcome in outcomes]
    response = json_response(200, {"results": results}, client_request_id=request.client_request_id)
    return with_claims_challenge(response, outcomes)


def request_join_link(
    application: Application, headers: Mapping[str, str], body: bytes
) -> HttpResponse:
    """Answer `POST /api/join-link-requests`: put a request on the queue, and give its id.

    This raises nothing.

    Args:
        application: the app, with valid or invalid settings.
        headers: the request's headers, by name in any case.
        body: the raw body.
    """
    from shared.queues import messages  # noqa: PLC0415 - the other routes do not need it

    request = _HttpRequest(application, headers)
    correlation = request.correlation
    try:
        services, caller = request.authenticate()
        if caller is not None:
            authorize_for_later(caller)
        document = parse_body(strict_json.read, request.headers, body, most=MAX_BODY_BYTES)
        correlation = Correlation.of(document, default_request_id=correlation.request_id)
        _check_for_later(document, correlation.request_id)
        message = messages.write_request(
            document.value,
            request_id=correlation.request_id,
            caller_name=request.caller_name,
            traceparent=read_traceparent(request.headers),
        )
        _enqueue(services, message, deadline=request.deadline)
    except Exception as error:  # noqa: BLE001 - as above
        return request.respond(Outcome.of(correlation, error), RequestStats())
    telemetry.emit(
        Event(
            event="join_link.accepted",
            trigger="http",
            caller=request.caller_name,
            duration_ms=request.deadline.elapsed_ms(),
            request_id=correlation.request_id,
            client_request_id=request.client_request_id,
        )
    )
    application.event_limiter.emit_due()
    return json_response(
        202,
        {"requestId": correlation.request_id},
        client_request_id=request.client_request_id,
    )


def connection(application: Application, headers: Mapping[str, str]) -> HttpResponse:
    """Answer `GET /api/connection`: 200 for a caller who may use the other routes.

    Power Automate calls it to test a connection. It calls no other service, and logs no event of
    its own. This raises nothing.

    Args:
        application: the app, with valid or invalid settings.
        headers: the request's headers, by name in any case.
    """
    application.event_limiter.emit_due()
    request = _HttpRequest(application, headers)
    try:
        request.authenticate()
    except Exception as error:  # noqa: BLE001 - as above
        return problem_response(
            to_service_error(error), client_request_id=request.client_request_id
        )
    return json_response(200, {}, client_request_id=request.client_request_id)


def _enqueue(services: Services, message: str, *, deadline: Deadline) -> None:
    """Put a request on the queue.

    Raises:
        QueueUnavailable: if it is not known to be there. The sender is told how to try again.
    """
    try:
        services.queues.send(REQUESTS, message, deadline=deadline)
    except QueueUnavailable as error:
        raise QueueUnavailable(
            f"{error.detail} The request may have been written all the same.",
            fix="Send the request again with the `requestId` of this problem: both then have the "
            f"same one, and whoever reads the outcomes takes it once. {error.fix or ''}".rstrip(),
            cause=error.cause,
        ) from None


def _check_for_later(document: Document, request_id: str) -> None:
    """Check a request for later. The app tries it without its caller, so `me` is not valid."""
    try:
        JoinRequest.from_document(document, request_id=request_id)
    except InvalidRequest as error:
        if all(field_error.pointer != "/userId" for field_error in error.field_errors):
            raise
        raise InvalidRequest(
            error.detail,
            fix=f"{error.fix} The app calls Graph later and as itself, without the sender. So the "
            f"request must name the organizer in userId, and `{ME}` is not allowed.",
            field_errors=error.field_errors,
        ) from None


def _read_many(body: bytes) -> tuple[Document, list[object] | None]:
    return strict_json.read_parts(body, member=_MANY)


def _check_envelope(envelope: Document, parts: list[object] | None) -> list[Document]:
    """Give the documents that it lists, each to be judged by itself. They are counted first."""
    errors = FieldErrors(envelope.field_errors)
    if not isinstance(envelope.value, dict):
        if not errors:
            errors.add(f"The body must be one JSON object, with the list as its member {_MANY}.")
    else:
        for name in envelope.value:
            if name != _MANY:
                errors.add("There is no such member.", name)
        if parts is None:
            errors.add("Must be a list of requests.", _MANY)
        elif len(parts) > MOST_REQUESTS:
            errors.add(f"Holds {len(parts):,} requests; at most {MOST_REQUESTS} fit.", _MANY)
    if errors or parts is None:
        raise InvalidRequest(
            errors.summary("the list of requests"),
            fix="Correct what `errors` lists and send the requests again; none was tried.",
            field_errors=errors,
        )
    return [strict_json.check(part) for part in parts]


def _result(outcome: Outcome) -> Json:
    """Give one request's entry in the response, with the status of `POST /api/join-link`."""
    status = 200 if outcome.error is None else outcome.error.status
    name = "result" if outcome.error is None else "problem"
    return {"requestId": outcome.request_id, "status": status, name: outcome.members}


def parse_body[Parsed](
    read: Callable[[bytes], Parsed], headers: Mapping[str, str], body: bytes, *, most: int
) -> Parsed:
    """Read a JSON body. Its members are checked later.

    Args:
        read: parses the body.
        headers: the request's headers, by name in lower case.
        body: the raw body.
        most: the most bytes that the body may have.

    Raises:
        UnsupportedMediaType: if Content-Type is not JSON.
        PayloadTooLarge: if the body is longer.
        InvalidRequest: if the body is empty or is not JSON.
    """
    # A client that sets the header twice sends it with a comma.
    media_type = re.split("[;,]", headers.get("content-type", JSON))[0].strip().lower()
    if media_type != JSON:
        raise UnsupportedMediaType(
            "The body must be JSON.", fix="Send it with Content-Type: application/json."
        )
    if len(body) > most:
        raise PayloadTooLarge(
            f"The body is {len(body):,} bytes long; at most {most:,} are read.",
            fix="Send less: of a pasted text only the link, and a long list in parts.",
        )
    if not body:
        raise InvalidRequest(
            "There is no body, or it came without a Content-Length header: the Functions host "
            "hands over no body without it.",
            fix="Send a JSON object, with Content-Length rather than in chunks.",
            field_errors=[FieldError("", "Missing.")],
        )
    try:
        return read(body)
    except NotJson as error:
        raise InvalidRequest(
            str(error), fix=_JSON_FIX, field_errors=[FieldError("", str(error))]
        ) from None
