"""POST /api/join-links: many at once, through the real worker and Graph's $batch."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from dev.local_run import FUNCTION_KEY
from dev.stand_ins.faults import NOT_JSON, Body, Close, Delay, Hang, Huge, Redirect, Reset, Status
from dev.stand_ins.graph_batch import EditBatch, throttle_items
from dev.stand_ins.graph_data import Meeting
from dev.stand_ins.graph_faults import throttle, unavailable
from dev.stand_ins.stand_in import Fault
from tests.integration.app_under_test import App
from tests.integration.conftest import FreshApp

PROBLEM = "application/problem+json"
EXPIRED = Status(401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid.")


def post(app: App, body: object, **headers: str | None) -> requests.Response:
    """Call POST /api/join-links."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"x-functions-key": FUNCTION_KEY, "Content-Type": "application/json", **headers}
    return app.session.post(
        f"{app.run.url}/api/join-links",
        data=data,
        headers={name: value for name, value in sent.items() if value is not None},
        timeout=30,
    )


def resolve(app: App, items: list[Any]) -> list[dict[str, Any]]:
    """Resolve many, and give the results."""
    answer = post(app, {"requests": items})
    assert answer.status_code == 200
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def codes(results: list[dict[str, Any]]) -> list[str | None]:
    """Give each result's code, None for a success."""
    return [result.get("problem", {}).get("code") for result in results]


def of(meeting: Meeting) -> Callable[[str], bool]:
    """Tell whether a path asks for this meeting's link."""
    escaped = meeting.id.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    return lambda path: f"/{escaped}/" in path


def items_of(app: App) -> list[dict[str, Any]]:
    """Give what was in the last batch."""
    body = next(
        call.request.body for call in reversed(app.run.graph.calls) if call.method == "POST"
    )
    listed: list[dict[str, Any]] = json.loads(body)["requests"]
    return listed


def test_each_request_has_its_result_in_order(app: App) -> None:
    """With everything that lets the caller recognize it, as the single route gives it."""
    meetings = [app.meeting() for _ in range(3)]
    asked = [app.request(meeting) for meeting in meetings]

    results = resolve(app, asked)

    assert results == [
        {
            "requestId": request["requestId"],
            "status": 200,
            "result": {
                "requestId": request["requestId"],
                "userId": meeting.organizer,
                "onlineMeetingId": meeting.id,
                "virtualAppointmentJoinWebUrl": app.run.graph.join_link(meeting),
                "context": request["context"],
            },
        }
        for request, meeting in zip(asked, meetings, strict=True)
    ]


def test_a_hundred_requests_take_five_batches(app: App) -> None:
    """If both ids are given and nothing is tried again."""
    organizer = app.organizer()
    meetings = [app.meeting(organizer) for _ in range(100)]

    results = resolve(app, [app.request(meeting) for meeting in meetings])

    links = [result["result"]["virtualAppointmentJoinWebUrl"] for result in results]
    assert links == [app.run.graph.join_link(meeting) for meeting in meetings]
    assert app.run.graph.count() == 5


def test_the_batches_are_sent_in_parallel(app: App) -> None:
    """One after the other, they could use up the deadline of all."""
    app.post(app.request())
    app.run.graph.always(Delay(0.5))
    asked = [app.request() for _ in range(100)]
    started = time.monotonic()

    results = resolve(app, asked)

    assert codes(results) == [None] * 100
    assert time.monotonic() - started < 2


def test_lookups_are_a_round_of_their_own_and_equal_ones_are_made_once(app: App) -> None:
    """Thirty appointments of one doctor by mail address and link: the doctor is looked up once."""
    organizer = app.organizer()
    meetings = [app.meeting(organizer) for _ in range(20)]
    asked = [
        {"userId": organizer.user_principal_name, "joinWebUrl": meeting.join_web_url}
        for meeting in [*meetings, *meetings[:10]]
    ]

    assert codes(resolve(app, asked)) == [None] * 30

    assert [call.method for call in app.run.graph.calls] == ["GET", "POST", "POST"]


def test_found_ids_are_cached(app: App) -> None:
    """For the single route as well."""
    organizer = app.organizer()
    meetings = [app.meeting(organizer) for _ in range(2)]
    asked = [
        {"userId": organizer.object_id, "joinMeetingId": meeting.join_meeting_id}
        for meeting in meetings
    ]
    resolve(app, asked)
    app.run.graph.clear()

    resolve(app, asked)
    app.post(asked[0])

    assert [call.method for call in app.run.graph.calls] == ["POST", "GET"]


def test_an_item_is_sent_as_documented(app: App) -> None:
    """Relative to the version, with an id, its own client request id and its language."""
    asked = [app.request(language="de-AT"), app.request()]

    results = resolve(app, asked)

    first, second = items_of(app)
    assert first["method"] == "GET"
    assert first["url"].startswith(f"/users/{asked[0]['userId']}/onlineMeetings/")
    assert first["headers"]["Accept-Language"] == "de-AT"
    assert "Accept-Language" not in second["headers"]
    assert first["id"] != second["id"]
    assert first["headers"]["client-request-id"] != second["headers"]["client-request-id"]
    assert "language=de-AT" in results[0]["result"]["virtualAppointmentJoinWebUrl"]


def test_the_same_request_twice_is_answered_twice(app: App) -> None:
    """Also with the same id, because the results are in order."""
    request = app.request()

    first, second = resolve(app, [request, request])

    assert first == second
    assert app.run.graph.count() == 1


def test_an_item_without_an_id_gets_one(app: App) -> None:
    """Each its own."""
    results = resolve(app, [{"userId": 1}, {}])

    assert results[0]["requestId"] != results[1]["requestId"]


def test_an_empty_list_gives_an_empty_list(app: App) -> None:
    """A flow's list may be empty."""
    assert resolve(app, []) == []
    assert app.run.graph.count() == 0


def test_no_cache_keeps_the_links(app: App) -> None:
    """The client request id is sent back."""
    answer = post(app, {"requests": [app.request()]}, **{"x-ms-client-request-id": "run-7"})

    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["x-ms-client-request-id"] == "run-7"


def test_an_invalid_item_has_its_own_problem(app: App) -> None:
    """By the rules of the single route. The valid ones get their links."""
    valid = app.request()
    app.run.graph.clear()
    odd = b'{"userId": "a@b", "userId": "c@d", "context": 9007199254740993}'
    invalid: list[Any] = [7, None, {}, {**valid, "requestId": "mine", "colour": "red"}]
    data = json.dumps({"requests": [*invalid, valid]}).encode()
    data = data.replace(b'"requests": [', b'"requests": [' + odd + b", ")

    results = post(app, data).json()["results"]

    assert [result["status"] for result in results] == [400] * 5 + [200]
    assert [error["pointer"] for error in results[0]["problem"]["errors"]] == [
        "",
        "/context",
        "/userId",
    ]
    assert [error["pointer"] for error in results[4]["problem"]["errors"]] == ["/colour"]
    assert results[4]["requestId"] == "mine"


def test_all_invalid_items_are_found_beyond_the_number_of_listed_errors(app: App) -> None:
    """No item passes because of another item's errors."""
    meeting = app.meeting()
    item = json.dumps(app.request(meeting))[:-1] + ', "language": "de", "language": "fr"}'
    data = ('{"requests": [' + ", ".join([item] * 60) + "]}").encode()

    results = post(app, data).json()["results"]

    assert codes(results) == ["invalid_request"] * 60
    assert app.run.graph.count() == 0


def test_an_item_may_nest_as_deeply_as_a_request_of_its_own(app: App) -> None:
    """The envelope does not count."""
    deep: object = 1
    for _ in range(29):
        deep = [deep]

    (result,) = resolve(app, [app.request(context=deep)])

    assert result["result"]["context"] == deep


ENVELOPES: dict[str, tuple[bytes, list[str]]] = {
    "a list": (b"[]", [""]),
    "a text": (b'"requests"', [""]),
    "nothing in it": (b"{}", ["/requests"]),
    "no list": (b'{"requests": {}}', ["/requests"]),
    "null": (b'{"requests": null}', ["/requests"]),
    "another member": (b'{"requests": [], "colour": 1}', ["/colour"]),
    "the list twice": (b'{"requests": [], "requests": []}', ["/requests"]),
    "101 requests": (b'{"requests": [' + b"{}," * 100 + b"{}]}", ["/requests"]),
    "not JSON": (b'{"requests": [', [""]),
    "no body": (b"", [""]),
    "deep nesting": (b'{"requests": [' + b"[" * 200_000, [""]),
}


@pytest.mark.parametrize("name", ENVELOPES)
def test_an_invalid_envelope_is_400_and_nothing_is_tried(app: App, name: str) -> None:
    """No other error is 400."""
    data, pointers = ENVELOPES[name]

    answer = post(app, data)

    assert (answer.status_code, answer.headers["Content-Type"]) == (400, PROBLEM)
    assert answer.json()["code"] == "invalid_request"
    assert [error["pointer"] for error in answer.json()["errors"]] == pointers
    assert app.run.graph.count() == 0


def test_the_whole_may_be_a_mebibyte(app: App) -> None:
    """One byte more is refused."""
    fitting = json.dumps({"requests": []}).encode().ljust(1024 * 1024)

    assert post(app, fitting).status_code == 200
    assert post(app, fitting + b" ").status_code == 413


def test_another_media_type_is_refused(app: App) -> None:
    """As by the single route."""
    assert post(app, b"{}", **{"Content-Type": "text/plain"}).status_code == 415


def test_each_item_has_graphs_answer_to_it(app: App) -> None:
    """One has no policy, one is deleted, one has a malformed id."""
    valid, uncovered = app.meeting(), app.meeting(app.organizer(covered=False))
    gone = app.meeting()
    app.run.graph.data.remove_meeting(gone)
    asked = [app.request(meeting) for meeting in (uncovered, valid, gone)]
    asked.append({**app.request(valid), "onlineMeetingId": "AAAA"})

    results = resolve(app, asked)

    assert codes(results) == [
        "access_policy_missing",
        None,
        "meeting_not_found",
        "meeting_id_malformed",
    ]
    assert [result["status"] for result in results] == [403, 200, 404, 400]
    assert uncovered.organizer in results[0]["problem"]["fix"]
    assert results[0]["problem"]["graphRequestId"]


def test_only_the_throttled_are_tried_again_each_after_its_own_time(app: App) -> None:
    """The envelope is 200, and header names come in any case."""
    meetings = [app.meeting() for _ in range(25)]
    busy = meetings[:3]
    app.run.graph.order(
        throttle_items(
            lambda path: any(of(meeting)(path) for meeting in busy),
            retry_after="0.4",
            header="retry-after",
        ),
        times=2,
    )
    started = time.monotonic()

    results = resolve(app, [app.request(meeting) for meeting in meetings])

    assert codes(results) == [None] * 25
    assert time.monotonic() - started >= 0.4
    assert app.run.graph.count() == 3
    assert len(items_of(app)) == 3


def test_the_others_do_not_wait_for_the_throttled(app: App) -> None:
    """Their next calls are sent at once."""
    organizer = app.organizer()
    slow, quick = app.meeting(organizer), app.meeting(organizer)
    app.run.graph.order(throttle_items(lambda path: slow.join_meeting_id in path, retry_after="1"))
    asked = [
        {"userId": organizer.object_id, "joinMeetingId": meeting.join_meeting_id}
        for meeting in (slow, quick)
    ]

    assert codes(resolve(app, asked)) == [None, None]

    first, second, third, *_ = app.run.graph.calls
    assert second.received - first.received < 0.8
    assert of(quick)(second.path)
    assert third.received - first.received >= 1


def test_a_retry_after_longer_than_the_deadline_is_passed_on(app: App) -> None:
    """The app does not wait for an hour."""
    meetings = [app.meeting() for _ in range(2)]
    app.run.graph.always(throttle_items(of(meetings[0]), retry_after="3600"))

    results = resolve(app, [app.request(meeting) for meeting in meetings])

    assert codes(results) == ["graph_throttled", None]
    assert app.run.graph.count() == 1


@pytest.mark.parametrize("fault", [throttle("1"), unavailable(503), Reset(), Close()])
def test_an_envelope_that_failed_is_sent_again(app: App, fault: Fault) -> None:
    """It holds only GETs."""
    app.run.graph.order(fault)

    results = resolve(app, [app.request(), app.request()])

    assert codes(results) == [None, None]
    assert app.run.graph.count() == 2


def test_a_rejected_token_is_renewed_once_for_all(fresh_app: FreshApp) -> None:
    """Within items or for the envelope."""
    app = fresh_app()
    asked = [app.request() for _ in range(30)]
    resolve(app, asked)
    app.run.graph.clear()

    def reject(responses: dict[str, dict[str, Any]]) -> object:
        return [{**response, "status": 401, "body": {}} for response in responses.values()]

    app.run.graph.order(EditBatch(reject))
    app.run.graph.order(EXPIRED)

    assert codes(resolve(app, asked)) == [None] * 30
    assert app.run.identity.count() == 2
    assert app.run.graph.count() == 4


def test_a_token_that_stays_rejected_ends_the_request(fresh_app: FreshApp) -> None:
    """There is no endless loop."""
    app = fresh_app()
    app.run.graph.always(EXPIRED)

    assert codes(resolve(app, [app.request(), app.request()])) == ["identity_unavailable"] * 2
    assert app.run.graph.count() == 2


ENVELOPE_FAULTS: dict[str, tuple[Fault, str]] = {
    "not JSON": (NOT_JSON, "graph_unexpected"),
    "no responses": (Body(b"{}"), "graph_unexpected"),
    "nobody's responses": (Body(b'{"responses": []}'), "graph_unexpected"),
    "too much": (Huge(2 * 1024 * 1024), "graph_unexpected"),
    "a redirect": (Redirect("https://graph.example/"), "graph_unexpected"),
    "404": (Status(404, "NotFound", "3004"), "graph_refused"),
    "400": (Status(400, "BadRequest", "Invalid batch payload format."), "graph_refused"),
    "no answer": (Hang(), "graph_timeout"),
}


@pytest.mark.parametrize("name", ENVELOPE_FAULTS)
def test_a_malformed_envelope_becomes_each_items_problem(app: App, name: str) -> None:
    """No item gets another item's answer."""
    fault, code = ENVELOPE_FAULTS[name]
    app.run.graph.always(fault)

    assert codes(resolve(app, [app.request(), app.request()])) == [code, code]


def test_swapped_and_duplicate_responses_are_not_used(app: App) -> None:
    """Of two responses to one call, neither can be trusted."""
    doubled, foreign, valid = (app.meeting() for _ in range(3))

    def edit(responses: dict[str, dict[str, Any]]) -> object:
        by_meeting = {
            meeting.id: next(item for path, item in responses.items() if of(meeting)(path))
            for meeting in (doubled, foreign, valid)
        }
        by_meeting[foreign.id]["body"]["value"] = "https://evil.example/"
        return [*responses.values(), {**by_meeting[doubled.id], "body": {"value": "https://x"}}]

    app.run.graph.order(EditBatch(edit))

    results = resolve(app, [app.request(meeting) for meeting in (doubled, foreign, valid)])

    assert codes(results) == ["graph_unexpected", "graph_unexpected", None]


def test_without_a_token_each_item_has_the_problem(app: App, fresh_app: FreshApp) -> None:
    """There is one token request for all."""
    app = fresh_app()
    app.run.identity.always(Status(400))

    assert codes(resolve(app, [app.request(), app.request()])) == ["identity_unavailable"] * 2


def test_every_item_is_one_event(app: App) -> None:
    """Alerts count items, not batches."""
    asked = [app.request(), app.request(language="?")]

    resolve(app, asked)

    (resolved,), (failed,) = (app.events(request["requestId"]) for request in asked)
    assert (resolved["event"], resolved["graphCalls"]) == ("join_link.resolved", 1)
    assert resolved["graphRequestId"]
    assert resolved["graphClientRequestId"]
    assert (failed["event"], failed["code"]) == ("join_link.failed", "invalid_request")


def test_without_the_function_key_the_host_refuses(app: App) -> None:
    """As for the single route."""
    answer = post(app, {"requests": []}, **{"x-functions-key": None})

    assert answer.status_code == 401


def test_with_invalid_settings_it_says_so(fresh_app: FreshApp) -> None:
    """As one problem."""
    app = fresh_app({"GRAPH_VERSION": "v2"})

    answer = post(app, {"requests": [app.request()]})

    assert (answer.status_code, answer.json()["code"]) == (503, "settings_invalid")
    assert answer.headers["Retry-After"]
