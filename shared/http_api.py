"""The HTTP routes, in plain values: headers and a body in, a status, headers and a body out."""

from collections.abc import Callable, Mapping, Sequence

from shared import errors, strict_json, telemetry
from shared.application import Application, Services
from shared.budget import Budget
from shared.errors import Fault
from shared.failures import to_service_error
from shared.http_answers import (
    JSON,
    HttpAnswer,
    json_answer,
    outcome_answer,
    problem_answer,
    read_client_request_id,
)
from shared.identifiers import make_request_id
from shared.outcomes import Outcome, Trial, attempt, attempt_together, failure
from shared.strict_json import Document, Json, NotJson, pointer

MAX_BODY_BYTES = 64 * 1024
MAX_BODY_BYTES_OF_MANY = 1024 * 1024
MOST_REQUESTS = 100
_REQUESTS = "requests"


def join_link(application: Application, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
    """Answer `POST /api/join-link`: the result, or a problem. Raises nothing.

    Args:
        application: the app, sound or with faulty settings.
        headers: by name, in any case.
        body: as it came.
    """
    headers = {name.lower(): value for name, value in headers.items()}
    client_request_id = read_client_request_id(headers)
    request_id = make_request_id()
    budget = Budget(seconds=0)
    try:
        services = application.services()
        budget = Budget(seconds=services.settings.graph_timeout_seconds)
        _let_in(services, headers, budget)
        document = parse_body(strict_json.read, headers, body, most=MAX_BODY_BYTES)
    except Exception as error:  # noqa: BLE001 - whoever asked gets an answer
        outcome = failure(to_service_error(error), request_id=request_id)
    else:
        outcome = attempt(services.resolver, document, default_request_id=request_id, budget=budget)
    _emit(outcome, budget, client_request_id)
    return outcome_answer(outcome, client_request_id=client_request_id)


def join_links(application: Application, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
    """Answer `POST /api/join-links`: for each request its result or problem, in order.

    Only what is wrong with the whole is a problem of the whole. Raises nothing.

    Args:
        application: the app, sound or with faulty settings.
        headers: by name, in any case.
        body: as it came.
    """
    headers = {name.lower(): value for name, value in headers.items()}
    client_request_id = read_client_request_id(headers)
    budget = Budget(seconds=0)
    try:
        services = application.services()
        budget = Budget(seconds=services.settings.graph_timeout_seconds)
        _let_in(services, headers, budget)
        envelope, documents = parse_body(_read_many, headers, body, most=MAX_BODY_BYTES_OF_MANY)
        _check_envelope(envelope, documents)
    except Exception as error:  # noqa: BLE001 - as above
        outcome = failure(to_service_error(error), request_id=make_request_id())
        _emit(outcome, budget, client_request_id)
        return outcome_answer(outcome, client_request_id=client_request_id)
    trials = [
        Trial(document=document, default_request_id=make_request_id(), budget=budget.part())
        for document in documents
    ]
    outcomes = attempt_together(services.resolver, trials)
    for trial, outcome in zip(trials, outcomes, strict=True):
        _emit(outcome, trial.budget, client_request_id)
    results: list[Json] = [_result(outcome) for outcome in outcomes]
    return json_answer(200, {"results": results}, client_request_id=client_request_id)


def health(application: Application) -> HttpAnswer:
    """Answer `GET /api/health`: whether the app has loaded and its settings are valid.

    A faulty webhook source leaves the rest in good health; it is named, with the places in it.
    """
    if (error := application.settings_error) is not None:
        return problem_answer(error)
    members: dict[str, Json] = {"status": "healthy"}
    sources = application.services().sources
    if sources is not None and (faulty := sources.faulty):
        members["faultySources"] = [
            {"name": name, "places": [fault.pointer for fault in faults]}
            for name, faults in faulty.items()
        ]
    return json_answer(200, members)


def _emit(outcome: Outcome, budget: Budget, client_request_id: str | None) -> None:
    telemetry.emit(
        telemetry.outcome_event(
            "http",
            outcome.error,
            budget,
            request_id=outcome.request_id,
            client_request_id=client_request_id,
        )
    )


def _let_in(services: Services, headers: Mapping[str, str], budget: Budget) -> None:
    """Check the caller's token, where it is not the host that asks for a key."""
    if services.sign_in is not None:
        services.sign_in.check(headers, budget=budget)


def _read_many(body: bytes) -> tuple[Document, list[Document]]:
    return strict_json.read_parts(body, member=_REQUESTS)


def _check_envelope(envelope: Document, documents: Sequence[Document]) -> None:
    faults = list(envelope.faults)
    if not isinstance(envelope.value, dict):
        faults = faults or [Fault("", "The body must be one JSON object.")]
    else:
        others = sorted(envelope.value.keys() - {_REQUESTS})
        faults += [Fault(pointer(name), "There is no such member.") for name in others]
        if envelope.value.get(_REQUESTS) != []:
            faults.append(Fault(pointer(_REQUESTS), "Must be a list of requests."))
    if len(documents) > MOST_REQUESTS:
        detail = f"Holds {len(documents):,} requests; at most {MOST_REQUESTS} fit."
        faults.append(Fault(pointer(_REQUESTS), detail))
    if faults:
        first, count = faults[0], len(faults)
        raise errors.InvalidRequest(
            f"The whole is not valid ({count} {'fault' if count == 1 else 'faults'}). "
            f"{first.pointer or 'The body'}: {first.detail}",
            fix="Correct what `errors` lists and send the requests again; none was tried.",
            faults=faults[: strict_json.MAX_FAULTS],
        )


def _result(outcome: Outcome) -> Json:
    """Show one of many: as the single route would have answered it."""
    status = 200 if outcome.error is None else outcome.error.status
    name = "result" if outcome.error is None else "problem"
    return {"requestId": outcome.request_id, "status": status, name: outcome.members}


def parse_body[Parsed](
    read: Callable[[bytes], Parsed], headers: Mapping[str, str], body: bytes, *, most: int
) -> Parsed:
    """Read the body as far as it is JSON; what stands in it is judged later."""
    media_type = headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if media_type != JSON:
        raise errors.UnsupportedMediaType(
            "The body must be JSON.", fix="Send it with Content-Type: application/json."
        )
    if len(body) > most:
        raise errors.PayloadTooLarge(
            f"The body is {len(body):,} bytes long; at most {most:,} are read."
        )
    if not body:
        raise errors.InvalidRequest(
            "There is no body, or it came without a Content-Length header: the Functions host "
            "hands over no body without it.",
            fix="Send a JSON object, with Content-Length rather than in chunks.",
            faults=[Fault("", "Missing.")],
        )
    try:
        return read(body)
    except NotJson as error:
        raise errors.InvalidRequest(str(error), faults=[Fault("", str(error))]) from None
