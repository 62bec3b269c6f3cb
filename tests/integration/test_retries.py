"""Retries, dead letters and poison messages in the running app, on real queues."""

import json
import time
from typing import Any

from azure.storage.queue import QueueMessage

from dev.stand_ins.faults import Hang
from dev.stand_ins.graph_faults import throttle, unavailable
from tests.integration.app_under_test import REQUESTS, RESULTS, App, eventually
from tests.integration.conftest import FreshApp

DEAD_LETTERS = "join-link-dead-letters"
POISON = "join-link-requests-poison"


def count(app: App, queue: str) -> int:
    """Say how many messages a queue holds, hidden ones included."""
    return app.run.queue(queue).get_queue_properties().approximate_message_count or 0


def dead_letter(app: App) -> dict[str, Any]:
    """Wait for a dead letter, and take it."""
    queue = app.run.queue(DEAD_LETTERS)
    message: QueueMessage = eventually(queue.receive_message)
    queue.delete_message(message)
    members: dict[str, Any] = json.loads(message.content)
    return members


def test_a_throttled_request_is_resolved_after_the_wait_that_was_asked_for(app: App) -> None:
    """By a second message, which delays no other one."""
    app.run.graph.order(throttle("6"))
    slow, prompt = app.request(), app.request()
    app.enqueue(slow)
    eventually(lambda: app.events(slow["requestId"]))
    began = time.monotonic()
    app.enqueue(prompt)

    app.result(prompt["requestId"], within=5)
    assert time.monotonic() - began < 5
    event = app.result(slow["requestId"])

    assert event["type"].endswith(".resolved")
    assert event["data"]["attempts"] == 2
    assert event["data"]["context"] == slow["context"]
    assert time.monotonic() - began > 5
    assert eventually(lambda: count(app, REQUESTS) == 0)


def test_the_deepest_request_can_be_tried_again(app: App) -> None:
    """It is throttled at the first try, and resolved at the second."""
    app.run.graph.order(throttle("1"))
    request = app.request(context=json.loads("[" * 31 + "]" * 31))

    app.enqueue(request)

    event = app.result(request["requestId"])
    assert event["type"].endswith(".resolved")
    assert (event["data"]["attempts"], event["data"]["context"]) == (2, request["context"])


def test_a_missing_policy_delays_the_request_and_is_logged_at_once(app: App) -> None:
    """The message waits 15 minutes, and the operator gets the alert before."""
    locum = app.organizer(covered=False)
    request = app.request(app.meeting(locum))

    app.enqueue(request)

    (event,) = eventually(lambda: app.events(request["requestId"]))
    assert (event["event"], event["code"]) == ("join_link.retried", "access_policy_missing")
    assert eventually(lambda: count(app, REQUESTS) == 1)
    assert app.run.queue(REQUESTS).peek_messages() == []
    assert count(app, RESULTS) == 0


def test_a_missing_meeting_is_tried_again_in_half_a_minute(app: App) -> None:
    """Graph may not find a new meeting yet."""
    meeting = app.meeting()
    app.run.graph.data.remove_meeting(meeting)
    request = app.request(meeting)

    app.enqueue(request)

    (event,) = eventually(lambda: app.events(request["requestId"]))
    assert (event["event"], event["code"]) == ("join_link.retried", "meeting_not_found")
    assert count(app, RESULTS) == 0


def test_a_try_on_the_queue_is_one_call_to_graph(app: App) -> None:
    """The message waits for the next try, and no thread."""
    app.run.graph.order(unavailable(), times=1)
    request = app.request()

    app.enqueue(request)

    eventually(lambda: app.events(request["requestId"]))
    assert app.run.graph.count() == 1
    assert app.result(request["requestId"])["type"].endswith(".resolved")


def test_an_undecodable_message_is_a_dead_letter_at_once(app: App) -> None:
    """With the reason. Nothing is left on the queue."""
    text = app.log.forbid("an undecodable message", "not a request, but a secret")

    app.enqueue(text)

    letter = dead_letter(app)
    assert (letter["reason"], letter["dequeueCount"], letter["attempts"]) == ("undecodable", 1, 1)
    assert letter["original"] == text
    assert eventually(lambda: count(app, REQUESTS) == 0)
    assert count(app, RESULTS) == 0


def test_a_message_that_kills_the_process_becomes_a_dead_letter(fresh_app: FreshApp) -> None:
    """The host gives up after five deliveries, and the app empties the poison queue."""
    app = fresh_app()
    request = app.request()
    app.run.graph.always(Hang())
    app.enqueue(request)

    for _ in range(5):
        eventually(lambda: app.run.graph.held)
        app.run.host.kill_worker()
        app.run.graph.release()
        eventually(lambda: not app.run.graph.held)

    letter = dead_letter(app)
    assert letter["reason"] == "host_gave_up"
    assert letter["error"]["code"] == "internal_error"
    assert letter["attempts"] == 5
    assert json.loads(letter["original"])["data"] == request
    event = app.result(request["requestId"])
    assert event["type"].endswith(".failed")
    assert event["data"]["context"] == request["context"]
    assert eventually(lambda: count(app, POISON) == 0)


def test_an_unreadable_poison_message_becomes_one_dead_letter(app: App) -> None:
    """It does not come back."""
    app.run.queue(POISON).send_message("not a request")

    letter = dead_letter(app)

    assert letter["reason"] == "host_gave_up"
    assert eventually(lambda: count(app, POISON) == 0)
    assert count(app, RESULTS) == count(app, DEAD_LETTERS) == 0


def test_a_result_that_can_never_be_written_ends_as_a_dead_letter(fresh_app: FreshApp) -> None:
    """On the last delivery, by the app itself, so the poison queue stays empty."""
    app = fresh_app()
    app.run.queue(RESULTS).delete_queue()
    request = app.request()

    app.enqueue(request)

    letter = eventually(lambda: app.run.queue(DEAD_LETTERS).receive_message(), within=40)
    members = json.loads(letter.content)
    assert (members["reason"], members["dequeueCount"]) == ("failed_on_last_delivery", 5)
    assert members["error"]["code"] == "queue_unavailable"
    assert eventually(lambda: count(app, REQUESTS) == 0)
    assert count(app, POISON) == 0
