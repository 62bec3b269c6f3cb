"""Each response of Graph and its code, over HTTP."""

import time

import pytest

from dev.stand_ins.faults import (
    EMPTY_BODY,
    NOT_JSON,
    NOT_JSON_AS_JSON,
    Body,
    Close,
    CutBody,
    Drip,
    Hang,
    Huge,
    Reset,
    Status,
)
from dev.stand_ins.graph_faults import (
    MISSING_VALUE,
    NULL_LINK,
    Link,
    WrongShape,
    throttle,
    unavailable,
)
from dev.stand_ins.stand_in import Fault
from tests.integration.app_under_test import App

NO_POLICY = "No application access policy found for this app 0b1 on the user 5c3."
ROWS: dict[str, tuple[Fault, int, str]] = {
    "policy": (Status(403, "Forbidden", NO_POLICY), 403, "access_policy_missing"),
    "policy, General": (
        Status(403, "General", "The APPLICATION ACCESS POLICY is missing"),
        403,
        "access_policy_missing",
    ),
    "policy, not allowed": (
        Status(403, "Forbidden", "App x is not allowed to perform operations on the user y"),
        403,
        "access_policy_missing",
    ),
    "policy, on behalf": (
        Status(403, "Unauthorized", "App is not authorized to act on behalf of user y"),
        403,
        "access_policy_missing",
    ),
    "3003": (
        Status(403, "Forbidden", "3003: User does not have access to lookup meeting"),
        403,
        "meeting_not_accessible",
    ),
    "missing role": (
        Status(
            403,
            "Forbidden",
            "Missing role permissions on the request. API requires one of 'A'. "
            "Roles on the request 'B'.",
        ),
        403,
        "permission_refused",
    ),
    "insufficient": (
        Status(
            403,
            "Authorization_RequestDenied",
            "Insufficient privileges to complete the operation.",
        ),
        403,
        "permission_refused",
    ),
    "403 and no more": (Status(403, "Forbidden", ""), 403, "permission_refused"),
    "403, not even JSON": (Body(b"<p>no", status=403), 403, "permission_refused"),
    "3004": (
        Status(404, "NotFound", "3004: Specified meeting is not found"),
        404,
        "meeting_not_found",
    ),
    "another's": (
        Status(404, "NotFound", "Organizer Id mismatch User Id 1 Organizer Id 2"),
        404,
        "meeting_not_found",
    ),
    "no user": (Status(404, "UnknownError", ""), 404, "user_not_found"),
    "no user, resource": (
        Status(404, "Request_ResourceNotFound", "Resource 'x' does not exist"),
        404,
        "user_not_found",
    ),
    "404 and no more": (Body(b"", status=404), 404, "meeting_not_found"),
    "corrupted": (
        Status(400, "BadRequest", "Meeting Id is corrupted."),
        400,
        "meeting_id_malformed",
    ),
    "invalid id": (
        Status(400, "InvalidArgument", "Invalid meeting id MSo."),
        400,
        "meeting_id_malformed",
    ),
    "a GUID is wanted": (
        Status(400, "BadRequest", "The userId in request URL is not a valid GUID"),
        502,
        "graph_refused",
    ),
    "1026": (Status(400, "BadRequest", "1026: An error has occurred."), 502, "graph_refused"),
    "400 and no more": (Body(b"{}", status=400), 502, "graph_refused"),
    "410": (Status(410, "Gone", ""), 502, "graph_refused"),
    "204": (Body(b"", status=204), 502, "graph_unexpected"),
    "not JSON": (NOT_JSON, 502, "graph_unexpected"),
    "half of JSON": (NOT_JSON_AS_JSON, 502, "graph_unexpected"),
    "an empty body": (EMPTY_BODY, 502, "graph_unexpected"),
    "no link": (NULL_LINK, 502, "graph_unexpected"),
    "no value": (MISSING_VALUE, 502, "graph_unexpected"),
    "a list": (WrongShape([]), 502, "graph_unexpected"),
    "a number": (WrongShape({"value": 7}), 502, "graph_unexpected"),
    "deep nesting": (Body(b"[" * 100_000), 502, "graph_unexpected"),
    "2 MiB": (Huge(2 * 1024 * 1024), 502, "graph_unexpected"),
    "2 MiB without a length": (Huge(2 * 1024 * 1024, announced=False), 502, "graph_unexpected"),
    "no link, without a length": (Huge(2 * 1024, announced=False), 502, "graph_unexpected"),
}
FOREIGN_LINKS = [
    "http://visit.teams.microsoft.com/x",
    "https://visit.teams.microsoft.com.example/x",
    "https://notmicrosoft.com/x",
    "https://visit.teams.microsoft.com@example.com/x",
    "https://example.com\\@visit.teams.microsoft.com/x",
    "javascript:alert(1)//.microsoft.com",
    "https://visit.teams.microsoft.com/x\n",
    "",
]


@pytest.mark.parametrize("name", ROWS)
def test_each_response_has_its_code(app: App, name: str) -> None:
    """For the exact texts that Graph uses, and for the statuses alone."""
    fault, status, code = ROWS[name]
    app.run.graph.order(fault)

    answer = app.post(app.request())

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert app.run.graph.count() == 1


@pytest.mark.parametrize("link", FOREIGN_LINKS)
def test_a_link_that_is_not_microsofts_is_not_given_out(app: App, link: str) -> None:
    """An answer is Graph's or an error."""
    app.run.graph.order(Link(link))

    answer = app.post(app.request())

    assert (answer.status_code, answer.json()["code"]) == (502, "graph_unexpected")


def test_a_link_on_microsofts_new_domain_is_given_out(app: App) -> None:
    """Teams is moving to cloud.microsoft."""
    app.run.graph.order(Link("https://visit.teams.cloud.microsoft/x"))

    assert app.post(app.request()).status_code == 200


@pytest.mark.parametrize(
    "fault",
    [
        throttle("1"),
        throttle("0.25"),
        throttle(None),
        throttle("soon"),
        unavailable(503),
        unavailable(503, retry_after="1"),
        unavailable(504),
        Status(500, "InternalServerError", ""),
        Status(408, "RequestTimeout", ""),
        Status(425, "TooEarly", ""),
        Reset(),
        Close(),
        CutBody(),
        CutBody(reset=False),
    ],
    ids=repr,
)
def test_temporary_errors_are_tried_again(app: App, fault: Fault) -> None:
    """Busy, unavailable or cut off once: the caller still gets the link."""
    app.run.graph.order(fault)

    answer = app.post(app.request())

    assert answer.status_code == 200
    assert app.run.graph.count() == 2


def test_a_retry_after_that_fits_is_waited_for(app: App) -> None:
    """Not less than Graph asked for, and not much more."""
    app.run.graph.order(throttle("1"))

    app.post(app.request())

    first, second = app.run.graph.calls
    assert 1.0 <= second.received - first.received < 1.5


def test_a_retry_after_that_does_not_fit_is_passed_on(app: App) -> None:
    """The caller can wait longer than the request may."""
    app.run.graph.order(throttle("30"))

    answer = app.post(app.request())

    assert (answer.status_code, answer.json()["code"]) == (429, "graph_throttled")
    assert answer.headers["Retry-After"] == "30"
    assert app.run.graph.count() == 1


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (throttle("0"), 429, "graph_throttled"),
        (unavailable(503), 503, "graph_unavailable"),
        (unavailable(504), 503, "graph_unavailable"),
        (Reset(), 503, "graph_unavailable"),
    ],
    ids=repr,
)
def test_a_lasting_error_ends_in_time_with_retry_after(
    app: App, fault: Fault, status: int, code: str
) -> None:
    """After a few tries."""
    app.run.graph.always(fault)
    started = time.monotonic()

    answer = app.post(app.request())

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert int(answer.headers["Retry-After"]) >= 1
    assert 1 < app.run.graph.count() <= 4
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("fault", [Hang(), Drip(0.02, part="body")], ids=repr)
def test_the_requests_time_is_kept_however_slowly_graph_answers(app: App, fault: Fault) -> None:
    """By the wall clock: single bytes do not prolong it (those of headers only over TLS)."""
    app.run.graph.always(fault)
    started = time.monotonic()

    answer = app.post(app.request())

    assert (answer.status_code, answer.json()["code"]) == (504, "graph_timeout")
    assert "Retry-After" in answer.headers
    assert 1.9 < time.monotonic() - started < 3


def test_a_problem_names_graphs_own_request_id(app: App) -> None:
    """Microsoft's support asks for it first."""
    app.run.graph.order(Status(410, "Gone", ""))
    request = app.request()

    problem = app.post(request).json()

    (event,) = app.events(request["requestId"])
    assert problem["graphRequestId"] == event["graphRequestId"]
    assert (
        event["graphClientRequestId"] == app.run.graph.calls[0].request.headers["client-request-id"]
    )
    assert "ServerInfo" in event["graphDiagnostic"]
