"""The definition says what the service does: each of its claims is tried on the running app."""

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
    """Make a body that is answered with 200."""
    request = app.request()
    return request if path != MANY else {"requests": [request, {**request, "userId": 7}]}


def gone(app: App) -> dict[str, Any]:
    """Make a request for a meeting that has been deleted."""
    meeting = app.meeting()
    app.run.graph.data.remove_meeting(meeting)
    return app.request(meeting)


def uncovered(app: App) -> dict[str, Any]:
    """Make a request for a meeting whose organizer no policy covers."""
    return app.request(app.meeting(app.organizer(covered=False)))


def ambiguous(app: App) -> dict[str, Any]:
    """Make a request for a meeting of either of two users, who share a mail address."""
    shared = f"{uuid.uuid4().hex}@clinic.example"
    for _ in range(2):
        app.run.graph.data.add_user(f"{uuid.uuid4().hex}@clinic.example", mail=shared)
    return app.request(userId=shared)


def with_fault(fault: Any) -> Callable[[App, str], requests.Response]:  # noqa: ANN401
    """Call while Graph does this."""

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
"""How the running app is brought to each answer; the others need an app of their own."""

NEVER_GIVEN = {(LATER, "200")}
"""Of which the service knows nothing: the designer reads the outputs of the 202 there."""
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


def test_every_answer_that_the_definition_promises_is_tried() -> None:
    """A new one fails here until it is."""
    assert {*CASES, *OF_THEIR_OWN, *NEVER_GIVEN} == SAID


@pytest.mark.parametrize(("path", "status"), CASES)
def test_the_service_gives_this_answer(app: App, path: str, status: str) -> None:
    """Every path, method and response code."""
    answer = CASES[path, status](app, path)

    assert str(answer.status_code) == status
    # As Power Automate is known to read it: bare, also where it is a problem.
    if answer.content:
        assert answer.headers["Content-Type"] == "application/json"


def test_who_signed_in_without_the_permission_is_forbidden(fresh_app: FreshApp) -> None:
    """And unauthorized without a token."""
    app = fresh_app(dict(ENTRA))
    claims = {"audience": ENTRA["ENTRA_CLIENT_ID"], "scp": "User.Read"}
    token = app.run.authority.issue_to_person(**claims)

    for path in (MANY, LATER, TEST):
        assert send(app, path, {}, Authorization=f"Bearer {token}").status_code == 403
        assert send(app, path, {}).status_code == 401


def test_everything_waits_for_settings(fresh_app: FreshApp) -> None:
    """503 for the whole."""
    app = fresh_app({"GRAPH_VERSION": "v2"})

    assert [send(app, path, {}).status_code for path in (MANY, LATER, TEST)] == [503, 503, 503]


@pytest.mark.parametrize("path", [ONE, MANY])
def test_a_process_that_ends_under_a_request_is_a_500(fresh_app: FreshApp, path: str) -> None:
    """The host says so in the app's place; another process answers the next request."""
    app = fresh_app({"GRAPH_TIMEOUT_SECONDS": "20"})
    app.run.graph.order(Hang())
    body = valid(app, path)

    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(send, app, path, body)
        eventually(lambda: app.run.graph.held == 1)
        app.run.host.kill_worker()

    assert answer.result().status_code == 500
    assert eventually(lambda: send(app, path, body).status_code == 200)


def test_a_fault_of_the_service_is_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """In plain values: the running app offers no way to bring about one of its own."""

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
def test_answers_have_the_shape_that_the_definition_says(app: App, path: str) -> None:
    """Every member that comes is described (but for `context`), every one described can come."""
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
    """Hold a value against a schema, formats included."""
    OAS30Validator(schema, format_checker=oas30_format_checker).validate(value)


def members(value: object, prefix: str = "") -> set[str]:
    """Name every member of a JSON value, and of what is in it."""
    if isinstance(value, list):
        return set().union(*(members(item, f"{prefix}[]") for item in value))
    found: set[str] = set()
    for name, inner in value.items() if isinstance(value, dict) else ():
        found |= {f"{prefix}.{name}".lstrip(".")}
        if name != "context":
            found |= members(inner, f"{prefix}.{name}")
    return found


def described(schema: Any, prefix: str = "") -> set[str]:  # noqa: ANN401
    """Name every member that a schema describes."""
    schema = resolved(DEFINITION, schema)
    if schema.get("type") == "array":
        return described(schema["items"], f"{prefix}[]")
    found: set[str] = set()
    for name, inner in schema.get("properties", {}).items():
        found |= {f"{prefix}.{name}".lstrip(".")} | described(inner, f"{prefix}.{name}")
    return found


def fields(path: str) -> dict[str, Any]:
    """Give the fields of one request, as an operation describes them."""
    (body,) = DEFINITION["paths"][path]["post"]["parameters"]
    found: dict[str, Any] = resolved(DEFINITION, body["schema"])["properties"]
    if path == MANY:
        found = resolved(DEFINITION, found["requests"]["items"])["properties"]
    return found


def answer(app: App, path: str, request: dict[str, Any]) -> dict[str, Any]:
    """Send one request by either operation, and give its result or problem."""
    if path == ONE:
        return dict(send(app, path, request).json())
    (result,) = send(app, path, {"requests": [request]}).json()["results"]
    return dict(result.get("result") or result["problem"])


def test_all_operations_ask_for_the_same_fields_and_the_service_for_no_other() -> None:
    """All of the service's, so that a flow can do what any caller can."""
    assert fields(ONE) == fields(MANY) == fields(LATER)
    assert set(fields(ONE)) == models._MEMBERS


def test_the_context_comes_back_with_the_outcome(app: App) -> None:
    """By it the flow that reads the outcome knows whom to mail the link to."""
    properties = fields(LATER)["context"]["properties"]
    context = {name: found["example"] for name, found in properties.items()}

    accepted = send(app, LATER, {**app.request(), "context": context}).json()

    outcome = app.result(accepted["requestId"])
    assert outcome["data"]["context"] == context


def test_the_longest_context_that_the_definition_allows_is_taken(app: App) -> None:
    """Its fields together stay below the service's limit, whatever they hold."""
    properties = fields(LATER)["context"]["properties"]
    context = {
        name: "\N{SMILING FACE WITH SUNGLASSES}" * found["maxLength"]
        for name, found in properties.items()
    }

    assert send(app, LATER, {**app.request(), "context": context}).status_code == 202


@pytest.mark.parametrize("path", [ONE, MANY])
def test_each_field_is_understood_and_none_is_required(app: App, path: str) -> None:
    """As the definition says: each is there in one of these, and absent in another."""
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
def test_what_is_required_is_required(app: App, path: str) -> None:
    """The body, and the list of many."""
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
def test_the_limits_and_types_are_the_services(app: App, path: str, name: str) -> None:
    """One character more is too long, as many are not; a number is no text."""
    limit = fields(path)[name]["maxLength"]
    assert fields(path)[name]["type"] == "string"

    def complaints(value: object) -> list[str]:
        errors = answer(app, path, {name: value})["errors"]
        return [error["detail"] for error in errors if error["pointer"] == f"/{name}"]

    assert complaints("1" * (limit + 1)) == [f"Must not be longer than {limit:,} characters."]
    assert not any("longer" in detail for detail in complaints("1" * limit))
    assert complaints(1) == ["Must be a string."]


@pytest.mark.parametrize("path", [ONE, MANY])
def test_the_examples_are_good_ones(app: App, path: str) -> None:
    """The service finds nothing wrong with any of them."""
    for name, field in fields(path).items():
        example = {inner: found["example"] for inner, found in field.get("properties", {}).items()}
        request = {name: field.get("example", example)}
        errors = answer(app, path, request).get("errors", [])
        assert f"/{name}" not in [error["pointer"] for error in errors], name


def test_as_many_fit_as_the_definition_says(app: App) -> None:
    """And no more."""
    (body,) = DEFINITION["paths"][MANY]["post"]["parameters"]
    most = body["schema"]["properties"]["requests"]["maxItems"]

    assert send(app, MANY, {"requests": [{}] * most}).status_code == 200
    assert send(app, MANY, {"requests": [{}] * (most + 1)}).status_code == 400


def test_every_code_of_the_error_tree_is_told() -> None:
    """With the status that it has."""
    items = DEFINITION["definitions"]["JoinLinks"]["properties"]["results"]["items"]
    told = items["properties"]["problem"]["properties"]["code"]["enum"]
    statuses = {str(error.status) for error in CODES.values()}

    assert set(told) == {
        code for code, error in CODES.items() if not issubclass(error, NotDelivered)
    }
    assert statuses == {status for path, status in SAID if path == ONE} - {"200"}
