"""Settings in the running app: the version, and invalid ones."""

import json

import requests

from dev.local_run import FUNCTION_KEY
from tests.integration.app_under_test import REQUESTS
from tests.integration.conftest import FreshApp


def test_the_graph_version_is_a_setting(fresh_app: FreshApp) -> None:
    """For the day on which something is in beta only."""
    app = fresh_app({"GRAPH_VERSION": "beta"})

    assert app.post(app.request()).status_code == 200
    assert app.run.graph.calls[0].request.target.startswith("/beta/users/")


def test_an_app_with_only_queue_messages_logs_an_invalid_source(
    fresh_app: FreshApp,
) -> None:
    """In the invocation of a message."""
    app = fresh_app({"WEBHOOK_SOURCES": json.dumps({"faulty": {"preset": "none", "secret": "s"}})})
    request = app.request()

    app.enqueue(request)

    assert app.result(request["requestId"])["data"]["virtualAppointmentJoinWebUrl"]
    told = [
        json.loads(line.message)["source"]
        for line in app.run.host.logs
        if '"event":"settings.invalid"' in line.message
    ]
    assert told == ["faulty"]


def test_with_invalid_settings_the_app_loads_and_messages_wait(
    fresh_app: FreshApp,
) -> None:
    """Each error is named without its value, and no trigger takes a message."""
    app = fresh_app({"GRAPH_ROOT": "https://evil.example", "GRAPH_TIMEOUT_SECONDS": "soon"})
    app.log.forbid("a setting's value", "evil.example")
    app.enqueue(app.request())

    health = requests.get(f"{app.run.url}/api/health", timeout=10)
    answer = app.post(app.request())
    connection = app.session.get(
        f"{app.run.url}/api/connection", headers={"x-functions-key": FUNCTION_KEY}, timeout=10
    )

    for invalid in (health, answer, connection):
        problem = invalid.json()
        assert (invalid.status_code, problem["code"]) == (503, "settings_invalid")
        assert "GRAPH_ROOT" in problem["detail"]
        assert "GRAPH_TIMEOUT_SECONDS" in problem["detail"]
        assert "evil.example" not in invalid.text
        assert "Retry-After" in invalid.headers
    assert "join_link_requests" not in app.run.host.functions
    (message,) = app.run.queue(REQUESTS).peek_messages()
    assert message.dequeue_count == 0
    told = [
        json.loads(line.message)["note"].partition(":")[0]
        for line in app.run.host.logs
        if '"event":"settings.invalid"' in line.message
    ]
    assert told == ["GRAPH_ROOT", "GRAPH_TIMEOUT_SECONDS"]
