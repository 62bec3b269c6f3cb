"""The request queue: each form of a message becomes one event on the result queue."""

import base64
import json
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from dev.local_run import ROOT, LocalRun
from tests.integration.app_under_test import REQUESTS, RESULTS, App, eventually
from tests.integration.conftest import FreshApp

CONTRACT = ROOT / "docs" / "api.md"


def _cloud_event(request: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "event-1",
        "type": "booking",
        "source": "/flow",
        "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
        "data": request,
    }


def _event_grid(request: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "event-2",
        "eventType": "booking",
        "subject": "x",
        "eventTime": "2026-11-22T00:00:00Z",
        "dataVersion": "1",
        "data": request,
    }


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _plain(request: dict[str, Any]) -> str:
    return json.dumps(request, ensure_ascii=False)


def _padded(request: dict[str, Any]) -> str:
    """Write a request whose base64 ends in padding."""
    text = _plain(request)
    return text if len(text.encode()) % 3 else f"{text} "


FORMS: dict[str, Callable[[dict[str, Any]], str]] = {
    "plain": _plain,
    "plain with a byte order mark": lambda request: "\ufeff" + _plain(request),
    "base64": lambda request: _base64(_plain(request)),
    "base64 in lines": lambda request: base64.encodebytes(_plain(request).encode()).decode(),
    "base64 without its padding": lambda request: _base64(_padded(request)).rstrip("="),
    "JSON in a JSON string": lambda request: json.dumps(_plain(request)),
    "JSON in a JSON string in another": lambda request: json.dumps(json.dumps(_plain(request))),
    "CloudEvents": lambda request: _plain(_cloud_event(request)),
    "CloudEvents in base64": lambda request: _base64(_plain(_cloud_event(request))),
    "Event Grid in base64": lambda request: _base64(_plain(_event_grid(request))),
    "Event Grid with data as text": lambda request: _plain(_event_grid(_plain(request))),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_a_message_is_resolved(app: App, form: str) -> None:
    """Workflows and Event Grid use different envelopes and encodings."""
    meeting = app.meeting()
    request = app.request(meeting)

    app.enqueue(FORMS[form](request))

    event = app.result(request["requestId"])
    assert event["type"] == "virtual-appointment.join-link.resolved"
    assert event["data"] == {
        "requestId": request["requestId"],
        "userId": meeting.organizer,
        "onlineMeetingId": meeting.id,
        "virtualAppointmentJoinWebUrl": app.run.graph.join_link(meeting),
        "context": request["context"],
        "attempts": 1,
        "source": None,
    }


def test_each_request_of_a_list_gets_an_outcome(app: App) -> None:
    """Under its own id, independent of the others."""
    first, second = app.request(), app.request()
    invalid = app.request(userId="nobody")
    meeting = app.meeting()
    named = {"userId": meeting.organizer, "joinWebUrl": meeting.join_web_url}
    event = {**_event_grid(named), "id": f"event-{uuid.uuid4().hex}"}

    app.enqueue([first, invalid, event, second])

    for request_id in (first["requestId"], event["id"], second["requestId"]):
        assert app.result(request_id)["type"].endswith(".resolved")
    assert app.result(invalid["requestId"])["data"]["code"] == "invalid_request"


def test_a_list_that_the_queue_service_interrupts_is_answered_in_full(fresh_app: FreshApp) -> None:
    """The list comes again. What was queued twice has the same id, so readers drop the repeats."""
    app = fresh_app(queue_proxy=True)
    meeting = app.meeting()
    valid = [app.request(meeting, context=None) for _ in range(100)]
    invalid = [{"requestId": uuid.uuid4().hex} for _ in range(300)]
    retried = '"event":"join_link.retried"'

    app.enqueue(valid + invalid)
    eventually(lambda: app.run.queue(RESULTS).peek_messages())
    with app.run.queue_proxy.down():
        eventually(lambda: any(retried in line.message for line in app.run.host.logs))

    told = _outcomes(app, len(valid) + len(invalid))
    assert {told[each["requestId"]] for each in valid} == {"resolved"}
    assert {told[each["requestId"]] for each in invalid} == {"failed"}
    assert len(told) == len(valid) + len(invalid)


def _outcomes(app: App, count: int) -> dict[str, str]:
    """Take results until so many requests have one."""
    told: dict[str, str] = {}

    def take() -> bool:
        for message in app.run.queue(RESULTS).receive_messages(messages_per_page=32):
            event = json.loads(message.content)
            outcome = event["type"].rpartition(".")[2]
            assert told.setdefault(event["id"], outcome) == outcome
            app.run.queue(RESULTS).delete_message(message)
        return len(told) >= count

    eventually(take, within=60)
    return told


def test_a_line_feed_in_a_text_is_read(app: App) -> None:
    """Flows insert texts without escapes."""
    request = app.request(context="SUBJECT")

    app.enqueue(json.dumps(request).replace("SUBJECT", "Consultation\nRoom 2"))

    event = app.result(request["requestId"])
    assert event["type"].endswith(".resolved")
    assert event["data"]["context"] == "Consultation\nRoom 2"


def test_a_result_is_a_cloud_event_in_ascii(app: App) -> None:
    """What a workflow can rely on."""
    request = app.request(context="ü")
    app.enqueue(request)

    message = eventually(lambda: app.run.queue(RESULTS).receive_message())

    event = json.loads(message.content)
    assert message.content.isascii()
    assert event["specversion"] == "1.0"
    assert event["source"] == "/virtual-appointment/queue"
    assert event["id"] == request["requestId"]
    assert event["datacontenttype"] == "application/json"


def test_a_traceparent_goes_through(app: App) -> None:
    """A workflow's trace continues behind the queue."""
    request = app.request()

    app.enqueue(_cloud_event(request))

    assert app.result(request["requestId"])["traceparent"] == f"00-{'a' * 32}-{'b' * 16}-01"


def test_without_a_request_id_the_envelopes_is_taken_else_the_same_hash_each_time(
    app: App,
) -> None:
    """So that a message that comes twice has one id."""
    request = app.request()
    del request["requestId"]
    event = {**_cloud_event(request), "id": f"event-{uuid.uuid4().hex}"}

    app.enqueue(event)
    app.enqueue(request)
    app.enqueue(request)

    assert app.result(event["id"])["type"].endswith(".resolved")
    hashed = eventually(lambda: app.run.queue(RESULTS).receive_message())
    request_id = json.loads(hashed.content)["id"]
    assert len(request_id) == 64
    app.run.queue(RESULTS).delete_message(hashed)
    assert app.result(request_id)["id"] == request_id


def test_a_final_failure_is_published_and_the_message_completed(app: App) -> None:
    """With its context. Nothing is tried again."""
    request = app.request(userId="nobody")

    app.enqueue(request)

    event = app.result(request["requestId"])
    assert event["type"] == "virtual-appointment.join-link.failed"
    assert event["data"]["code"] == "invalid_request"
    assert event["data"]["context"] == request["context"]
    eventually(
        lambda: app.run.queue(REQUESTS).get_queue_properties().approximate_message_count == 0
    )


def test_a_result_that_cannot_be_written_leaves_the_message(app: App) -> None:
    """When the queue is back, the result is written, and then the message completed."""
    request = app.request()
    results = app.run.queue(RESULTS)
    results.delete_queue()
    try:
        app.enqueue(request)
        eventually(lambda: app.run.graph.count() >= 1 or None)
        assert app.run.queue(REQUESTS).get_queue_properties().approximate_message_count == 1
    finally:
        eventually(lambda: _recreate(app.run))

    assert app.result(request["requestId"])["type"].endswith(".resolved")


def _recreate(run: LocalRun) -> bool:
    """Make the result queue again. Right after its deletion this may need several tries."""
    from azure.core.exceptions import ResourceExistsError  # noqa: PLC0415 - of this alone

    try:
        run.queue(RESULTS).create_queue()
    except ResourceExistsError:
        return False
    return True


def test_queues_are_reached_by_identity_too(fresh_app: FreshApp) -> None:
    """As in Azure: TLS, the managed identity's token, no key."""
    app = fresh_app(storage_by_identity=True)
    request = app.request()

    app.enqueue(request)

    assert app.result(request["requestId"])["type"].endswith(".resolved")
    audiences = {call.request.target for call in app.run.identity.calls}
    assert any("storage.azure.com" in target for target in audiences)


def test_the_contracts_program_sends_a_request_that_never_expires(app: App) -> None:
    """The unchanged program of docs/api.md. Without its time, Azure drops it after seven days."""
    (code,) = re.findall(r"```python\n(.*?)```", CONTRACT.read_text("utf-8"), re.DOTALL)
    program: dict[str, Any] = {}
    exec(code, program)  # noqa: S102 - ours
    request = app.request()
    aside = app.run.queue(f"aside-{uuid.uuid4()}")  # which the app does not read
    aside.create_queue()

    program["send"](app.run.queue(REQUESTS), request)
    program["send"](aside, request)

    assert app.result(request["requestId"])["type"].endswith(".resolved")
    (message,) = aside.peek_messages()
    assert message.expires_on is not None
    assert message.expires_on.year == 9999
    aside.delete_queue()
