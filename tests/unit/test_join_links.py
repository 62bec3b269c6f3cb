"""The HTTP routes, without azure.functions: headers and body in, an HttpResponse out."""

import base64
import dataclasses
import json
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.app import Application
from shared.core import errors
from shared.core.deadline import Deadline
from shared.handlers import join_links
from shared.handlers.health import health
from shared.handlers.responses import (
    HttpResponse,
    json_response,
    problem_response,
    read_client_request_id,
)
from shared.identity.bearer_tokens import Caller, ClaimsChallenge, SignIn
from shared.meetings.resolver import Resolver
from tests.unit.events import emitted
from tests.unit.fake_graph import LINK, FakeGraph, RaisingResolver, make_resolver
from tests.unit.scripted_server import answer

USER = "30000000-0000-4000-8000-000000000003"
REQUEST = {"userId": USER, "onlineMeetingId": "M1", "requestId": "r-1", "context": {"a": "ü"}}
JSON = {"Content-Type": "application/json"}

type Route = Callable[[Application, Mapping[str, str], bytes], HttpResponse]


@pytest.fixture
def graph() -> Iterator[FakeGraph]:
    """A Graph with one meeting."""
    with FakeGraph(links={"M1": LINK}) as graph:
        yield graph


@pytest.fixture
def application(graph: FakeGraph) -> Application:
    """The app with valid settings, and that Graph behind it."""
    return with_resolver(make_resolver(graph))


def with_resolver(resolver: Resolver) -> Application:
    """Make the app with valid settings, and this resolver."""
    application = Application({"AzureWebJobsStorage": "UseDevelopmentStorage=true"})
    application._services = dataclasses.replace(application.services(), resolver=resolver)
    return application


@pytest.fixture
def broken() -> Application:
    """The app with invalid settings."""
    return Application({"GRAPH_VERSION": "canary"})


def post(
    application: Application, body: object, headers: Mapping[str, str] = JSON
) -> tuple[HttpResponse, Any]:
    """Ask for a join link."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = join_links.join_link(application, headers, data)
    return answer, json.loads(answer.body)


def test_a_request_becomes_a_result(application: Application) -> None:
    """No cache may keep it."""
    answer, result = post(application, REQUEST)
    assert answer.status == 200
    assert answer.headers == {"Content-Type": "application/json", "Cache-Control": "no-store"}
    assert result == {
        "requestId": "r-1",
        "userId": USER,
        "onlineMeetingId": "M1",
        "virtualAppointmentJoinWebUrl": LINK,
        "context": {"a": "ü"},
    }


def test_a_request_without_an_id_is_given_one(application: Application) -> None:
    """A new one for each request."""
    body = {"userId": USER, "onlineMeetingId": "M1"}
    ids = {post(application, body)[1]["requestId"] for _ in range(2)}
    assert len(ids) == 2
    assert all(uuid.UUID(request_id) for request_id in ids)


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;",
        "application/json, application/json",
    ],
)
def test_json_may_be_announced_in_any_case_and_with_parameters(
    application: Application, media_type: str
) -> None:
    """Header names may have any case. Without the header, JSON is assumed.

    A client that sets the header twice sends it with a comma.
    """
    assert post(application, REQUEST, {"content-TYPE": media_type})[0].status == 200
    assert post(application, REQUEST, {})[0].status == 200


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "", "json"],
)
def test_another_content_type_is_415(application: Application, media_type: str) -> None:
    """The fix names the right one."""
    answer, problem = post(application, REQUEST, {"Content-Type": media_type})
    assert (answer.status, problem["code"]) == (415, "unsupported_media_type")
    assert "application/json" in problem["fix"]


def test_a_body_past_64_kib_is_413(application: Application) -> None:
    """The limit itself is allowed."""
    fitting = json.dumps(REQUEST).encode().ljust(join_links.MAX_BODY_BYTES)
    assert post(application, fitting)[0].status == 200
    answer, problem = post(application, fitting + b" ")
    assert (answer.status, problem["code"]) == (413, "payload_too_large")
    assert "in parts" in problem["fix"]
    assert join_links.MAX_BODY_BYTES == 65_536


def test_an_empty_bodys_problem_names_content_length(application: Application) -> None:
    """Without it the host passes no body on."""
    answer, problem = post(application, b"")
    assert (answer.status, problem["code"]) == (400, "invalid_request")
    assert "Content-Length" in problem["detail"]
    assert problem["errors"] == [{"pointer": "", "detail": "Missing."}]


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b"'x'", b"{}{}", b'"\\ud800"', b"[" * 60_000, b"[]", b"null", b"1e999"]
)
def test_a_body_that_is_no_request_is_400_with_a_pointer(
    application: Application, body: bytes
) -> None:
    """It is never 500."""
    answer, problem = post(application, body)
    assert (answer.status, problem["code"]) == (400, "invalid_request")
    assert problem["errors"][0]["pointer"] == ""


@pytest.mark.parametrize(
    "body", ['{"userId": "Zoë"}'.encode("latin-1"), "{}".encode("utf-16"), b"{'a': 1}", b"{},"]
)
def test_a_body_that_is_no_json_in_utf_8_is_told_what_to_send(
    application: Application, body: bytes
) -> None:
    """Windows PowerShell sends Latin-1 unless it is told otherwise."""
    answer, problem = post(application, body)
    assert answer.status == 400
    assert "charset=utf-8" in problem["fix"]


def test_all_field_errors_are_in_one_problem(application: Application, graph: FakeGraph) -> None:
    """Each with its pointer. Graph is not called."""
    body = {"userId": "anna", "language": "??", "requestId": "r-9", "color": 1}
    answer, problem = post(application, body)
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert [error["pointer"] for error in problem["errors"]] == [
        "",
        "/color",
        "/language",
        "/userId",
    ]
    assert problem["requestId"] == "r-9"
    assert graph.calls == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.one_of(
        st.binary(max_size=200),
        st.dictionaries(
            st.sampled_from([*REQUEST, "joinWebUrl", "joinMeetingId", "language"]),
            st.one_of(st.none(), st.text(), st.integers(), st.lists(st.floats())),
        ).map(lambda value: json.dumps(value).encode()),
    ),
    client_request_id=st.text(),
)
def test_no_body_and_no_header_causes_a_500(
    application: Application, body: bytes, client_request_id: str
) -> None:
    """They cause an error of the caller."""
    headers = {**JSON, "x-ms-client-request-id": client_request_id}
    assert join_links.join_link(application, headers, body).status in (200, 400, 404)


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [
        (errors.MeetingNotFound("Gone."), None),
        (errors.AccessPolicyMissing("No policy.", fix="Run it."), None),
        (errors.GraphThrottled("Busy.", retry_after=7.5), "8"),
        (errors.GraphUnavailable("Away."), "10"),
        (errors.IdentityUnavailable("No token."), "10"),
        (errors.GraphTimeout("Late."), "10"),
        (errors.GraphUnexpected("What?"), None),
    ],
)
def test_an_error_becomes_a_problem(error: errors.ServiceError, retry_after: str | None) -> None:
    """With its status, and Retry-After where waiting helps."""
    answer, problem = post(with_resolver(RaisingResolver(error)), REQUEST)
    assert answer.status == problem["status"] == error.status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers.get("Retry-After") == retry_after
    assert problem["requestId"] == "r-1"


def test_an_unforeseen_exception_becomes_a_problem() -> None:
    """It quotes nothing."""
    answer, problem = post(with_resolver(RaisingResolver(RuntimeError("canary"))), REQUEST)
    assert (answer.status, problem["code"]) == (500, "internal_error")
    assert b"canary" not in answer.body


class BrokenSignIn(SignIn):
    """Raises an unforeseen exception."""

    def __init__(self) -> None:
        pass

    def check(self, headers: Mapping[str, str], *, deadline: Deadline) -> Caller:  # noqa: ARG002 - as it is
        """Fail."""
        raise RuntimeError("canary")


@pytest.mark.parametrize("route", [join_links.join_link, join_links.join_links])
def test_an_unforeseen_exception_before_the_first_try_becomes_a_problem(
    application: Application, caplog: pytest.LogCaptureFixture, route: Route
) -> None:
    """The host's own 500 would show nothing, and there would be no event."""
    application._services = dataclasses.replace(application.services(), sign_in=BrokenSignIn())

    answer = route(application, JSON, b"{}")

    assert (answer.status, json.loads(answer.body)["code"]) == (500, "internal_error")
    assert emitted(caplog)[-1]["code"] == "internal_error"
    assert "canary" not in caplog.text + answer.body.decode()


def without_signing_keys() -> Application:
    """Make the app with HTTP_AUTH=entra. Entra's keys cannot be reached."""
    return Application(
        {
            "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            "HTTP_AUTH": "entra",
            "ENTRA_TENANT_ID": USER,
            "ENTRA_CLIENT_ID": USER,
            "ENTRA_AUTHORITY": "http://127.0.0.1:9",
        }
    )


@pytest.mark.parametrize(
    "route", [join_links.join_link, join_links.join_links, join_links.request_join_link]
)
def test_a_flood_of_unknown_tokens_is_one_event_also_without_signing_keys(
    caplog: pytest.LogCaptureFixture, route: Route
) -> None:
    """So that anonymous callers cannot use up the log's daily quota while Entra is away."""
    application = without_signing_keys()
    junk = base64.urlsafe_b64encode(b'{"alg":"RS256","typ":"JWT","kid":"k"}').decode().rstrip("=")
    headers = {**JSON, "Authorization": f"Bearer {junk}.e30.AA"}

    answers = [route(application, headers, b"{}") for _ in range(20)]

    assert {json.loads(answer.body)["code"] for answer in answers} == {"identity_unavailable"}
    assert [event["occurrences"] for event in emitted(caplog)] == [1]


class KnownSignIn(SignIn):
    """Lets one person in."""

    def __init__(self) -> None:
        pass

    def check(self, headers: Mapping[str, str], *, deadline: Deadline) -> Caller:  # noqa: ARG002 - as it is
        """Give the person."""
        return Caller(
            object_id=USER,
            client_id=None,
            is_person=True,
            holds_app_role=False,
            expires_on=0,
            takes_claims_challenges=True,
            token="t",
        )


@pytest.mark.parametrize(
    "error",
    [
        ClaimsChallenge("More is needed.", fix="Sign in.", authorization_uri="u", claims="{}"),
        errors.Unauthorized("Entra refuses the token.", fix="Sign in again."),
    ],
)
def test_each_refusal_of_an_authenticated_person_is_an_event(
    caplog: pytest.LogCaptureFixture, error: errors.ServiceError
) -> None:
    """Else the operator could not find the request of one who asks about it."""
    application = with_resolver(RaisingResolver(error))
    application._services = dataclasses.replace(application.services(), sign_in=KnownSignIn())

    for number in range(3):
        post(application, {"onlineMeetingId": "M1", "requestId": f"r-{number}"})

    events = emitted(caplog)
    assert [event["requestId"] for event in events] == ["r-0", "r-1", "r-2"]
    assert {event["caller"] for event in events} == {f"user:{USER}"}


@pytest.mark.parametrize("body", [REQUEST, {}, b"{"])
def test_the_client_request_id_is_sent_back(application: Application, body: object) -> None:
    """With a result and with a problem."""
    headers = {**JSON, "X-MS-Client-Request-Id": "flow-1"}
    assert post(application, body, headers)[0].headers["x-ms-client-request-id"] == "flow-1"


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("flow-1", "flow-1"),
        ("x" * 500, "x" * 128),
        ("", None),
        ("a b", None),
        ("a\r\nSet-Cookie: x", None),
        ("ü", None),
    ],
)
def test_the_client_request_id_is_checked_and_cut(value: str, kept: str | None) -> None:
    """It reaches a header and the log."""
    assert read_client_request_id({"x-ms-client-request-id": value}) == kept
    assert read_client_request_id({}) is None


def test_each_request_is_one_event(
    application: Application, graph: FakeGraph, caplog: pytest.LogCaptureFixture
) -> None:
    """Resolved or failed. No member could open a meeting."""
    caplog.set_level(logging.INFO)
    headers = {**JSON, "x-ms-client-request-id": "flow-1"}
    post(application, REQUEST, headers)
    graph.failures = [answer(429, headers={"Retry-After": "60"})]
    post(application, REQUEST, headers)
    post(application, b"{", headers)

    events = emitted(caplog)

    assert [(event["event"], event["code"]) for event in events] == [
        ("join_link.resolved", None),
        ("join_link.failed", "graph_throttled"),
        ("join_link.failed", "invalid_request"),
    ]
    assert [event["graphCalls"] for event in events] == [1, 1, 0]
    assert {event["clientRequestId"] for event in events} == {"flow-1"}
    assert {event["trigger"] for event in events} == {"http"}
    assert "canary" not in caplog.text


def test_the_app_is_healthy_when_its_settings_are_valid(
    application: Application, graph: FakeGraph
) -> None:
    """It calls no other service to say so."""
    answer = health(application)
    assert answer.status == 200
    assert json.loads(answer.body)["status"] == "healthy"
    assert graph.calls == []


def test_invalid_settings_give_503_with_their_names(broken: Application) -> None:
    """On each route, without their values, and with Retry-After."""
    for refusal in (health(broken), join_links.join_link(broken, JSON, b"{}")):
        problem = json.loads(refusal.body)
        assert (refusal.status, problem["code"]) == (503, "settings_invalid")
        assert "GRAPH_VERSION" in problem["detail"]
        assert "AzureWebJobsStorage" in problem["detail"]
        assert b"canary" not in refusal.body
        assert refusal.headers["Retry-After"] == "60"


@pytest.mark.parametrize(
    "call",
    [health, lambda application: join_links.join_link(application, JSON, b"{}")],
)
def test_invalid_settings_are_logged_in_an_invocation(
    caplog: pytest.LogCaptureFixture, call: Callable[[Application], object]
) -> None:
    """Each by its name. The host drops what is logged while the app is loaded."""
    application = Application({"GRAPH_VERSION": "canary"})
    assert application.settings_error is not None
    assert caplog.records == []

    call(application)

    told = [event for event in emitted(caplog) if event["event"] == "settings.invalid"]
    assert [event["note"].partition(":")[0] for event in told] == [
        "AzureWebJobsStorage",
        "GRAPH_VERSION",
    ]
    assert "canary" not in caplog.text
    with pytest.raises(errors.SettingsInvalid):
        application.services()


def test_certificate_authorities_that_cannot_be_read_are_an_invalid_setting(tmp_path: Path) -> None:
    """An exception while Functions loads the app would leave it without functions."""
    environment = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}
    missing = Application({**environment, "REQUESTS_CA_BUNDLE": str(tmp_path / "none.pem")})
    folder = Application({**environment, "REQUESTS_CA_BUNDLE": str(tmp_path)})
    assert missing.settings_error is not None
    assert "REQUESTS_CA_BUNDLE" in missing.settings_error.detail
    assert folder.settings_error is None


def test_a_response_does_not_show_its_body() -> None:
    """It may hold a link."""
    assert "canary" not in repr(json_response(200, {"link": "canary"}))
    assert "canary" not in repr(problem_response(errors.InternalError("canary")))
