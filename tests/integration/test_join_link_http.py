"""POST /api/join-link and GET /api/health, through the real worker."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from dev.local_run import FUNCTION_KEY, MASTER_KEY
from dev.stand_ins.faults import Redirect
from shared.core.telemetry import FIELDS
from tests.integration.app_under_test import App

PROBLEM = "application/problem+json"
GUID = "11111111-1111-4111-8111-111111111111"


def test_a_meeting_becomes_its_join_link(app: App) -> None:
    """With both ids, and everything by which the caller recognizes the request."""
    meeting = app.meeting()
    request = app.request(meeting, context={"booking": [1, 2.5, None, "ü"]})

    answer = app.post(request)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {
        "requestId": request["requestId"],
        "userId": meeting.organizer,
        "onlineMeetingId": meeting.id,
        "virtualAppointmentJoinWebUrl": app.run.graph.join_link(meeting),
        "context": {"booking": [1, 2.5, None, "ü"]},
    }


def test_no_cache_keeps_a_link(app: App) -> None:
    """Whoever has a link can join the meeting."""
    answer = app.post(app.request())

    assert answer.headers["Cache-Control"] == "no-store"


def test_a_request_without_an_id_gets_one(app: App) -> None:
    """So that the caller can name it in a report."""
    request = app.request()
    del request["requestId"]

    answer = app.post(request)

    assert uuid.UUID(answer.json()["requestId"])


def test_one_request_is_one_call_to_graph(app: App) -> None:
    """With both ids there is nothing to look up."""
    app.post(app.request())

    assert app.run.graph.count() == 1


def test_graph_is_called_as_documented(app: App) -> None:
    """One GET, each id one encoded segment, no body, a fresh client-request-id."""
    organizer = app.organizer()
    # The thread is chosen so that the id's base64 holds a slash and a plus.
    meeting = app.meeting(organizer, thread_id="19:meeting_~~>>~~??>>~@thread.v2")
    assert "/" in meeting.id

    app.post(app.request(meeting))
    app.post(app.request(meeting))

    first, second = app.run.graph.calls
    escaped = meeting.id.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    assert first.request.method == "GET"
    assert first.request.target == (
        f"/v1.0/users/{organizer.object_id}/onlineMeetings/{escaped}"
        "/getVirtualAppointmentJoinWebUrl"
    )
    ids = {call.request.headers["client-request-id"] for call in (first, second)}
    assert len(ids) == 2
    assert all(uuid.UUID(value) for value in ids)


def test_the_language_goes_to_graph_and_shapes_the_link(app: App) -> None:
    """`language` is sent as Accept-Language, and nothing is when it is absent."""
    meeting = app.meeting()

    german = app.post(app.request(meeting, language="de-AT")).json()
    app.post(app.request(meeting))

    sent = [call.request.headers.get("accept-language") for call in app.run.graph.calls]
    assert sent == ["de-AT", None]
    link = app.run.graph.join_link(meeting, language="de-AT")
    assert german["virtualAppointmentJoinWebUrl"] == link


def test_the_client_request_id_is_sent_back(app: App) -> None:
    """`x-ms-client-request-id` is in the response and in the event."""
    request = app.request()

    answer = app.post(request, headers={"x-ms-client-request-id": "run-42"})

    assert answer.headers["x-ms-client-request-id"] == "run-42"
    assert app.events(request["requestId"])[0]["clientRequestId"] == "run-42"


def test_a_long_client_request_id_is_cut_and_a_malformed_one_ignored(app: App) -> None:
    """A caller must not write any text into the log."""
    long = app.post(app.request(), headers={"x-ms-client-request-id": "a" * 500})
    odd = app.post(app.request(), headers={"x-ms-client-request-id": "a b"})

    assert long.headers["x-ms-client-request-id"] == "a" * 128
    assert "x-ms-client-request-id" not in odd.headers


@pytest.mark.parametrize("key", [None, "", "wrong"])
def test_without_the_function_key_the_host_refuses(app: App, key: str | None) -> None:
    """The host's own 401 is no problem document."""
    answer = app.post(app.request(), headers={"x-functions-key": key})

    assert (answer.status_code, answer.content) == (401, b"")


def test_the_master_key_opens_it_too(app: App) -> None:
    """As in each Functions host, but nobody should have to use it."""
    assert app.post(app.request(), headers={"x-functions-key": MASTER_KEY}).status_code == 200


def test_a_key_is_tested_without_a_meeting(app: App) -> None:
    """`GET /api/connection`: 200 and an empty object, and Graph is not called."""
    url = f"{app.run.url}/api/connection"

    answer = app.session.get(url, headers={"x-functions-key": FUNCTION_KEY}, timeout=10)
    without = app.session.get(url, timeout=10)

    assert (answer.status_code, answer.json()) == (200, {})
    assert (without.status_code, without.content) == (401, b"")
    assert app.run.graph.count() == 0


@pytest.mark.parametrize(
    ("accept", "told"),
    [
        ("application/json", "application/json"),
        ("text/html, Application/JSON;q=0.9", "application/json"),
        ("application/json, application/problem+json", PROBLEM),
        ("application/problem+json", PROBLEM),
        ("*/*", PROBLEM),
        (None, PROBLEM),
    ],
)
def test_a_problem_is_plain_json_for_who_asks_for_that(
    app: App, accept: str | None, told: str
) -> None:
    """Without a charset. If `Accept` names both or neither, it is problem details."""
    answer = app.post({}, headers={"Accept": accept})

    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == told
    assert answer.json()["code"] == "invalid_request"


def test_a_link_is_json_whatever_is_accepted(app: App) -> None:
    """Only problems have two media types."""
    answer = app.post(app.request(), headers={"Accept": PROBLEM})

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")


def test_only_post_is_there(app: App) -> None:
    """The host's own 404."""
    answer = app.session.get(f"{app.run.url}/api/join-link", timeout=10)

    assert answer.status_code == 404


def _valid(**members: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON is anything
    return {"userId": GUID, "onlineMeetingId": "MSoxMjM", **members}


INVALID: dict[str, tuple[object, list[str]]] = {
    "an array": ([], [""]),
    "a string": ("x", [""]),
    "null": (None, [""]),
    "nothing in it": ({}, ["", "/userId"]),
    "an unknown member": (_valid(users="x"), ["/users"]),
    "a user id that is a number": (_valid(userId=1), ["/userId"]),
    "a user id that is no id": (_valid(userId="Dr. Meyer"), ["/userId"]),
    "an empty user id, which counts as absent": (_valid(userId=""), ["/userId"]),
    "an empty reference, which counts as absent": (_valid(onlineMeetingId=""), [""]),
    "a meeting id with a line break": (_valid(onlineMeetingId="MSo\r\nX: y"), ["/onlineMeetingId"]),
    "a meeting id with NUL": (_valid(onlineMeetingId="MSo\0"), ["/onlineMeetingId"]),
    "a meeting id of 1,025 characters": (
        _valid(onlineMeetingId="a" * 1025),
        ["/onlineMeetingId"],
    ),
    "a meeting id that leads elsewhere": (_valid(onlineMeetingId=".."), ["/onlineMeetingId"]),
    "two meeting references": (_valid(joinMeetingId="123456789"), [""]),
    "a language that is none": (_valid(language="de_DE"), ["/language"]),
    "a language that is a list": (_valid(language=["de"]), ["/language"]),
    "a language of 65 characters": (_valid(language="de-" + "a" * 62), ["/language"]),
    "a request id with a blank": (_valid(requestId="a b"), ["/requestId"]),
    "a request id of 129 characters": (_valid(requestId="a" * 129), ["/requestId"]),
    "a context of more than 4 KiB": (_valid(context="a" * 4096), ["/context"]),
    "several at once": (
        {"userId": 1, "onlineMeetingId": ".", "language": "?", "colour": 1},
        ["/colour", "/language", "/onlineMeetingId", "/userId"],
    ),
}


@pytest.mark.parametrize("name", INVALID)
def test_all_field_errors_are_reported_with_pointers(app: App, name: str) -> None:
    """Nothing goes to Graph."""
    body, pointers = INVALID[name]

    answer = app.post(body)

    problem = answer.json()
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, PROBLEM)
    assert problem["code"] == "invalid_request"
    assert [error["pointer"] for error in problem["errors"]] == pointers
    assert problem["message"] == problem["detail"]
    assert app.run.graph.count() == 0


RAW_INVALID = {
    "broken JSON": (b'{"userId": ', ""),
    "not UTF-8": (b'{"userId": "\xff"}', ""),
    "a member twice": (b'{"language": "de", "language": "fr"}', "/language"),
    "half a surrogate pair": (b'{"context": "\\ud800"}', "/context"),
    "a number past 53 bits": (b'{"context": {"n": 9007199254740993}}', "/context/n"),
    "a number without end": (b'{"context": 1e999}', "/context"),
    "NaN": (b'{"context": [NaN]}', "/context/0"),
    "40 levels": (b'{"context": ' + b"[" * 40 + b"]" * 40 + b"}", "/context"),
    "30,000 levels": (b"[" * 30_000, ""),
}


@pytest.mark.parametrize("name", RAW_INVALID)
def test_json_that_others_might_read_differently_is_refused(app: App, name: str) -> None:
    """Also what the standard parser accepts."""
    data, pointer = RAW_INVALID[name]

    answer = app.post(data=data)

    assert answer.status_code == 400
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "?"])
def test_another_content_type_is_415(app: App, media_type: str) -> None:
    """Such as curl's default. The problem says what to send."""
    answer = app.post(app.request(), headers={"Content-Type": media_type})

    assert (answer.status_code, answer.headers["Content-Type"]) == (415, PROBLEM)
    assert "application/json" in answer.json()["fix"]


def test_json_with_a_charset_is_json(app: App) -> None:
    """Power Automate says charset=utf-8."""
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}

    assert app.post(app.request(), headers=headers).status_code == 200


def test_a_body_past_64_kib_is_413(app: App) -> None:
    """Even if it is valid."""
    answer = app.post(data=b'{"context": "' + b"a" * 65536 + b'"}')

    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


def test_the_problem_of_an_empty_body_explains_chunks(app: App) -> None:
    """The host passes no body on without Content-Length."""

    def chunks() -> Iterator[bytes]:
        yield json.dumps(app.request()).encode()

    answer = app.post(data=chunks())

    assert answer.status_code == 400
    assert "Content-Length" in answer.json()["detail"]


def test_a_redirect_is_not_followed(app: App) -> None:
    """A token goes only to Graph's host."""
    app.run.graph.order(Redirect(f"{app.run.graph.url}/elsewhere"))

    answer = app.post(app.request())

    assert (answer.status_code, answer.json()["code"]) == (502, "graph_unexpected")
    assert app.run.graph.count() == 1


def test_a_monitor_may_send_head(app: App) -> None:
    """The same status and headers, without a body."""
    answer = requests.head(f"{app.run.url}/api/health", timeout=10)

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Type"] == "application/json"


def test_health_is_anonymous_and_calls_no_other_service(app: App) -> None:
    """So that monitoring causes no load."""
    answer = requests.get(f"{app.run.url}/api/health", timeout=10)

    assert (answer.status_code, answer.json()["status"]) == (200, "healthy")
    assert (app.run.graph.count(), app.run.identity.count()) == (0, 0)


def test_an_event_says_how_each_request_ended(app: App) -> None:
    """Alerts and the workbook count these events."""
    valid, invalid = app.request(), app.request(language="?")

    app.post(valid)
    app.post(invalid)

    (resolved,) = app.events(valid["requestId"])
    (failed,) = app.events(invalid["requestId"])
    assert resolved["event"] == "join_link.resolved"
    assert (resolved["trigger"], resolved["attempts"], resolved["graphCalls"]) == ("http", 1, 1)
    assert set(resolved) | set(failed) <= FIELDS
    assert "code" not in resolved
    assert resolved["durationMs"] > 0
    assert resolved["graphRequestId"]
    assert (failed["event"], failed["code"]) == ("join_link.failed", "invalid_request")
