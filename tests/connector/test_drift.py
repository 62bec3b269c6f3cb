"""The definition agrees with the service: each of its claims is tested on the running app."""

import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from openapi_schema_validator import OAS30Validator, oas30_format_checker

from dev.local_run import FUNCTION_KEY
from dev.stand_ins.faults import NOT_JSON, Hang
from dev.stand_ins.graph_faults import throttle, unavailable
from shared.app import Application
from shared.core.errors import CODES, NotDelivered
from shared.handlers import join_links
from shared.meetings import models
from shared.meetings.resolver import Resolver
from tests.connector.definitions import operations, read, resolved, success_schema
from tests.integration.app_under_test import App, eventually
from tests.integration.conftest import FreshApp

DEFINITION = read("apiDefinition.swagger.json")
(POLICY,) = read("apiProperties.key.json")["properties"]["policyTemplateInstances"]
ACCEPT = {
    POLICY["parameters"]["x-ms-apimTemplateParameter.name"]: POLICY["parameters"][
        "x-ms-apimTemplateParameter.value"
    ]
}
ONE, MANY, LATER, TEST = "/join-link", "/join-links", "/join-link-requests", "/connection"
ENTRA = {
    "HTTP_AUTH": "entra",
    "ENTRA_TENANT_ID": "72f988bf-0000-4000-8000-000000000001",
    "ENTRA_CLIENT_ID": "72f988bf-0000-4000-8000-0000000000aa",
}


def send(app: App, path: str, body: object, **headers: str | None) -> requests.Response:
    """Call an operation as the connector does: base path, key, media type, its policy's header."""
    sent = {
        "x-functions-key": FUNCTION_KEY,
        "Content-Type": "application/json",
        **ACCEPT,
        **headers,
    }
    (method,) = DEFINITION["paths"][path]
    return app.session.request(
        method.upper(),
        f"{app.run.url}{DEFINITION['basePath']}{path}",
        data=body if isinstance(body, bytes) else json.dumps(body).encode(),
        headers={name: value for name, value in sent.items() if value is not None},
        timeout=30,
    )


def valid(app: App, path: str) -> dict[str, Any]:
    """Make a body that gets a 200."""
    request = app.request()
    return request if path != MANY else {"requests": [request, {**request, "userId": 7}]}


def gone(app: App) -> dict[str, Any]:
    """Make a request for a deleted meeting."""
    meeting = app.meeting()
    app.run.graph.data.remove_meeting(meeting)
    return app.request(meeting)


def uncovered(app: App) -> dict[str, Any]:
    """Make a request for a meeting whose organizer has no access policy."""
    return app.request(app.meeting(app.organizer(covered=False)))


def ambiguous(app: App) -> dict[str, Any]:
    """Make a request by a mail address that two users share."""
    shared = f"{uuid.uuid4().hex}@clinic.example"
    for _ in range(2):
        app.run.graph.data.add_user(f"{uuid.uuid4().hex}@clinic.example", mail=shared)
    return app.request(userId=shared)


def with_fault(fault: Any) -> Callable[[App, str], requests.Response]:  # noqa: ANN401
    """Call while Graph has this fault."""

    def call(app: App, path: str) -> requests.Response:
        app.run.graph.always(fault)
        return send(app, path, valid(app, path))

    return call


CASES: dict[tuple[str, str], Callable[[App, str], requests.Response]] = {
    (ONE, "200"): lambda app, path: send(app, path, valid(app, path)),
    (ONE, "400"): lambda app, path: send(app, path, {}),
    (ONE, "401"): lambda app, path: send(app, path, {}, **{"x-functions-key": None}),
    (ONE, "403"): lambda app, path: send(app, path, uncovered(app)),
    (ONE, "404"): lambda app, path: send(app, path, gone(app)),
    (ONE, "409"): lambda app, path: send(app, path, ambiguous(app)),
    (ONE, "413"): lambda app, path: send(app, path, b" " * (64 * 1024 + 1)),
    (ONE, "415"): lambda app, path: send(app, path, b"<a/>", **{"Content-Type": "text/xml"}),
    (ONE, "429"): with_fault(throttle("60")),
    (ONE, "502"): with_fault(NOT_JSON),
    (ONE, "503"): with_fault(unavailable(retry_after="60")),
    (ONE, "504"): with_fault(Hang()),
    (MANY, "200"): lambda app, path: send(app, path, valid(app, path)),
    (MANY, "400"): lambda app, path: send(app, path, {}),
    (MANY, "401"): lambda app, path: send(app, path, {}, **{"x-functions-key": None}),
    (MANY, "413"): lambda app, path: send(app, path, b" " * (1024 * 1024 + 1)),
    (MANY, "415"): lambda app, path: send(app, path, b"<a/>", **{"Content-Type": "text/xml"}),
    (LATER, "202"): lambda app, path: send(app, path, valid(app, path)),
    (LATER, "400"): lambda app, path: send(app, path, {}),
    (LATER, "401"): lambda app, path: send(app, path, {}, **{"x-functions-key": None}),
    (LATER, "413"): lambda app, path: send(app, path, b" " * (64 * 1024 + 1)),
    (LATER, "415"): lambda app, path: send(app, path, b"<a/>", **{"Content-Type": "text/xml"}),
    (TEST, "200"): lambda app, path: send(app, path, b""),
    (TEST, "401"): lambda app, path: send(app, path, b"", **{"x-functions-key": None}),
}
"""How the running app is made to give each answer. Answers that need another app are not here."""

NEVER_GIVEN = {(LATER, "200")}
"""The service never gives this one: from it the designer reads the outputs of the 202."""
OF_THEIR_OWN = {
    *((path, "500") for path in (ONE, MANY, LATER, TEST)),
    *((path, status) for path in (MANY, LATER, TEST) for status in ("403", "503")),
}
SAID = {
    (path, status)
    for path, _, operation in operations(DEFINITION)
    for status in operation["responses"]
    if status != "default"
}


def test_each_response_of_the_definition_is_tested() -> None:
    """A new response fails here until it has a test."""
    assert {*CASES, *OF_THEIR_OWN, *NEVER_GIVEN} == SAID


@pytest.mark.parametrize(("path", "status"), CASES)
def test_the_service_gives_this_answer(app: App, path: str, status: str) -> None:
    """For each path, method and response code."""
    answer = CASES[path, status](app, path)

    assert str(answer.status_code) == status
    # Power Automate reads a body without parameters of the media type, also of a problem.
    if answer.content:
        assert answer.headers["Content-Type"] == "application/json"


def test_a_signed_in_caller_without_the_permission_gets_403(fresh_app: FreshApp) -> None:
    """Without a token the answer is 401."""
    app = fresh_app(dict(ENTRA))
    claims = {"audience": ENTRA["ENTRA_CLIENT_ID"], "scp": "User.Read"}
    token = app.run.authority.issue_to_person(**claims)

    for path in (MANY, LATER, TEST):
        assert send(app, path, {}, Authorization=f"Bearer {token}").status_code == 403
        assert send(app, path, {}).status_code == 401


def test_without_settings_the_whole_request_gets_503(fresh_app: FreshApp) -> None:
    """Not each of its parts."""
    app = fresh_app({"GRAPH_VERSION": "v2"})

    assert [send(app, path, {}).status_code for path in (MANY, LATER, TEST)] == [503, 503, 503]


@pytest.mark.parametrize("path", [ONE, MANY])
def test_a_process_that_exits_during_a_request_gives_500(fresh_app: FreshApp, path: str) -> None:
    """The host answers for the app. Another process answers the next request."""
    app = fresh_app({"GRAPH_TIMEOUT_SECONDS": "20"})
    app.run.graph.order(Hang())
    body = valid(app, path)

    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(send, app, path, body)
        eventually(lambda: app.run.graph.held == 1)
        app.run.host.kill_worker()

    assert answer.result().status_code == 500
    assert eventually(lambda: send(app, path, body).status_code == 200)


def test_an_internal_error_of_the_service_has_its_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tested without HTTP, because the running app cannot be made to have one."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Resolver, "resolve", fail)
    monkeypatch.setattr(Resolver, "resolve_many", fail)
    application = Application({"AzureWebJobsStorage": "UseDevelopmentStorage=true"})
    request = {"userId": "a@clinic.example", "joinMeetingId": "123456789"}

    one = join_links.join_link(application, {}, json.dumps(request).encode())
    many = join_links.join_links(application, {}, json.dumps({"requests": [request]}).encode())
    monkeypatch.setattr(join_links, "_read_many", fail)
    whole = join_links.join_links(application, {}, b"{}")
    monkeypatch.setattr(join_links._HttpRequest, "authenticate", fail)
    later = join_links.request_join_link(application, {}, b"{}")
    connection = join_links.connection(application, {})

    assert [found.status for found in (one, later, connection)] == [500, 500, 500]
    assert json.loads(many.body)["results"][0]["problem"]["code"] == "internal_error"
    assert whole.status == 500


@pytest.mark.parametrize("path", [ONE, MANY, LATER])
def test_answers_have_the_shape_of_the_definition(app: App, path: str) -> None:
    """Each member that occurs, except in `context`, is described, and each described one occurs."""
    operation = DEFINITION["paths"][path]["post"]
    body = send(app, path, valid(app, path)).json()
    refused = send(app, path, {**valid(app, path), "requests": [gone(app)]}).json()

    schema = success_schema(DEFINITION, operation)
    validate(body, schema)
    if path == MANY:
        validate(refused, schema)
    seen = members(body) | (members(refused) if path == MANY else set())
    assert seen - {"context", "results[].result.context"} == described(schema)


def validate(value: object, schema: Any) -> None:  # noqa: ANN401
    """Validate a value against a schema, with its formats."""
    OAS30Validator(schema, format_checker=oas30_format_checker).validate(value)


def members(value: object, prefix: str = "") -> set[str]:
    """Name all members of a JSON value, at each depth."""
    if isinstance(value, list):
        return set().union(*(members(item, f"{prefix}[]") for item in value))
    found: set[str] = set()
    for name, inner in value.items() if isinstance(value, dict) else ():
        found |= {f"{prefix}.{name}".lstrip(".")}
        if name != "context":
            found |= members(inner, f"{prefix}.{name}")
    return found


def described(schema: Any, prefix: str = "") -> set[str]:  # noqa: ANN401
    """Name all members that a schema describes."""
    schema = resolved(DEFINITION, schema)
    if schema.get("type") == "array":
        return described(schema["items"], f"{prefix}[]")
    found: set[str] = set()
    for name, inner in schema.get("properties", {}).items():
        found |= {f"{prefix}.{name}".lstrip(".")} | described(inner, f"{prefix}.{name}")
    return found


def fields(path: str) -> dict[str, Any]:
    """Give the fields of one request in an operation's description."""
    (body,) = DEFINITION["paths"][path]["post"]["parameters"]
    found: dict[str, Any] = resolved(DEFINITION, body["schema"])["properties"]
    if path == MANY:
        found = resolved(DEFINITION, found["requests"]["items"])["properties"]
    return found


def answer(app: App, path: str, request: dict[str, Any]) -> dict[str, Any]:
    """Send one request to either operation, and give its result or problem."""
    if path == ONE:
        return dict(send(app, path, request).json())
    (result,) = send(app, path, {"requests": [request]}).json()["results"]
    return dict(result.get("result") or result["problem"])


def test_all_operations_have_the_services_fields() -> None:
    """All of them and no other, so that a flow can do what each caller can."""
    assert fields(ONE) == fields(MANY) == fields(LATER)
    assert set(fields(ONE)) == models._MEMBERS


def test_the_context_is_returned_with_the_outcome(app: App) -> None:
    """A flow that reads the outcome finds there whom to mail the link to."""
    properties = fields(LATER)["context"]["properties"]
    context = {name: found["example"] for name, found in properties.items()}

    accepted = send(app, LATER, {**app.request(), "context": context}).json()

    outcome = app.result(accepted["requestId"])
    assert outcome["data"]["context"] == context


def test_the_longest_allowed_context_is_accepted(app: App) -> None:
    """Its fields together are within the service's limit, with any characters."""
    properties = fields(LATER)["context"]["properties"]
    context = {
        name: "\N{SMILING FACE WITH SUNGLASSES}" * found["maxLength"]
        for name, found in properties.items()
    }

    assert send(app, LATER, {**app.request(), "context": context}).status_code == 202


@pytest.mark.parametrize("path", [ONE, MANY])
def test_each_field_is_used_and_none_is_required(app: App, path: str) -> None:
    """Each is present in one of these requests, and absent in another."""
    meeting = app.meeting()
    long = app.meeting(long_link=True)
    ways: list[dict[str, Any]] = [
        {"userId": meeting.organizer, "onlineMeetingId": meeting.id, "language": "de"},
        {"userId": meeting.organizer, "joinWebUrl": meeting.join_web_url, "requestId": "r-1"},
        {"userId": meeting.organizer, "joinMeetingId": meeting.join_meeting_id},
        {"joinWebUrl": long.join_web_url},
    ]

    assert set().union(*ways) | {"context"} == set(fields(path))
    for way in ways:
        assert "virtualAppointmentJoinWebUrl" in answer(app, path, way)
    assert "required" not in DEFINITION["definitions"]["Meeting"]


@pytest.mark.parametrize("path", [ONE, MANY])
def test_required_members_are_required(app: App, path: str) -> None:
    """The body, and the list of several requests."""
    (body,) = DEFINITION["paths"][path]["post"]["parameters"]

    assert body["required"]
    assert send(app, path, b"").status_code == 400
    for name in body["schema"].get("required", ()):
        complaint = send(app, path, {}).json()
        assert complaint["errors"] == [
            {"pointer": f"/{name}", "detail": "Must be a list of requests."}
        ]


@pytest.mark.parametrize("path", [ONE, MANY])
@pytest.mark.parametrize("name", sorted({*fields(ONE)} - {"context"}))
def test_limits_and_types_are_those_of_the_service(app: App, path: str, name: str) -> None:
    """The limit's length is accepted and one character more is not. A number is not a string."""
    limit = fields(path)[name]["maxLength"]
    assert fields(path)[name]["type"] == "string"

    def complaints(value: object) -> list[str]:
        errors = answer(app, path, {name: value})["errors"]
        return [error["detail"] for error in errors if error["pointer"] == f"/{name}"]

    assert complaints("1" * (limit + 1)) == [f"Must not be longer than {limit:,} characters."]
    assert not any("longer" in detail for detail in complaints("1" * limit))
    assert complaints(1) == ["Must be a string."]


@pytest.mark.parametrize("path", [ONE, MANY])
def test_the_examples_are_valid(app: App, path: str) -> None:
    """The service accepts each of them."""
    for name, field in fields(path).items():
        example = {inner: found["example"] for inner, found in field.get("properties", {}).items()}
        request = {name: field.get("example", example)}
        errors = answer(app, path, request).get("errors", [])
        assert f"/{name}" not in [error["pointer"] for error in errors], name


def test_the_maximum_of_requests_is_accepted(app: App) -> None:
    """One more is refused."""
    (body,) = DEFINITION["paths"][MANY]["post"]["parameters"]
    most = body["schema"]["properties"]["requests"]["maxItems"]

    assert send(app, MANY, {"requests": [{}] * most}).status_code == 200
    assert send(app, MANY, {"requests": [{}] * (most + 1)}).status_code == 400


def test_each_error_code_is_described() -> None:
    """With its status."""
    items = DEFINITION["definitions"]["JoinLinks"]["properties"]["results"]["items"]
    told = items["properties"]["problem"]["properties"]["code"]["enum"]
    statuses = {str(error.status) for error in CODES.values()}

    assert set(told) == {
        code for code, error in CODES.items() if not issubclass(error, NotDelivered)
    }
    assert statuses == {status for path, status in SAID if path == ONE} - {"200"}
