"""Deliveries in the real worker: real queues, the real Key Vault client, a receiver with TLS."""

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from dev.booking_systems import SECRETS, calcom_booking, sign_as_calcom
from dev.local_run import FUNCTION_KEY
from dev.stand_ins.faults import Drip, Status
from dev.stand_ins.listener import Listener
from dev.stand_ins.receiver import Receiver, Taken
from tests.integration.app_under_test import App, eventually
from tests.integration.conftest import FreshApp

DELIVERIES, DEAD_LETTERS = "join-link-deliveries", "join-link-dead-letters"
SECRET = "whsec_YSBzZWNyZXQgb2YgdGhlIGRlbGl2ZXJpZXMgb2YgdGVzdHM="
OTHER = "whsec_YW5vdGhlciBzZWNyZXQgb2YgdGhlIGRlbGl2ZXJpZXM="


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    """Receivers that stop when the test ends."""
    with ExitStack() as servers:
        yield servers


def receiver(servers: ExitStack, secret: str = SECRET) -> Receiver:
    """Start a receiver whose URL must not be logged."""
    path = f"/hooks/links?sig={uuid.uuid4().hex}"
    return servers.enter_context(Receiver(secret=secret, path=path))


def entry(there: Receiver, **members: Any) -> dict[str, Any]:  # noqa: ANN401
    """Make a receiver's entry of DELIVERIES."""
    return {"url": there.url, "secret": "delivery-crm", "private": True, **members}


def start(
    fresh_app: FreshApp, destinations: dict[str, dict[str, Any]], **settings: str | None
) -> App:
    """Start the app with these destinations, and the secret that signs."""
    app = fresh_app({"DELIVERIES": json.dumps(destinations), **settings})
    app.run.vault.set_secret("delivery-crm", app.log.forbid("a delivery's secret", SECRET))
    for each in destinations.values():
        if "url" in each:
            app.log.forbid("a destination's URL", re.sub(r"^.*sig=", "", each["url"]))
    return app


def taken_by(there: Receiver, request_id: str) -> Taken:
    """Wait until a receiver has a request's outcome."""

    def look() -> Taken | None:
        found = [one for one in there.taken if one.event["data"]["requestId"] == request_id]
        return found[0] if found else None

    return eventually(look, within=30)


def requests_for_later(app: App, body: dict[str, Any]) -> str:
    """Request one join link for later."""
    answer = app.session.post(
        f"{app.run.url}/api/join-link-requests",
        json=body,
        headers={"x-functions-key": FUNCTION_KEY},
        timeout=30,
    )
    assert answer.status_code == 202
    request_id: str = answer.json()["requestId"]
    return request_id


def test_outcomes_of_the_queue_of_webhooks_and_of_requests_for_later_are_delivered(
    fresh_app: FreshApp, servers: ExitStack
) -> None:
    """Signed, and equal to the result queue's. Outcomes of HTTP responses are not delivered."""
    there = receiver(servers)
    app = start(fresh_app, {"crm": entry(there)})
    queued, later, asked = app.request(), app.request(), app.request()
    meeting = app.meeting()
    organizer = app.run.graph.data.user(meeting.organizer)
    assert organizer is not None
    booking = calcom_booking(meeting, organizer)

    app.enqueue(queued)
    requests_for_later(app, later)
    webhook = app.session.post(
        f"{app.run.url}/api/webhooks/calcom",
        data=booking,
        headers=sign_as_calcom(booking, SECRETS["webhook-calcom"]),
        timeout=30,
    )
    assert app.post(asked).status_code == 200

    for request_id, source in [
        (queued["requestId"], None),
        (later["requestId"], None),
        (webhook.json()["requestId"], "calcom"),
    ]:
        result = app.result(request_id)
        event = taken_by(there, request_id).event
        assert event == {
            "type": "join_link.resolved",
            "timestamp": result["time"],
            "data": result["data"],
        }
        assert event["data"]["source"] == source
        eventually(partial(_has_delivery_event, app, request_id))
    assert asked["requestId"] not in {one.event["data"]["requestId"] for one in there.taken}


def _has_delivery_event(app: App, request_id: str) -> bool:
    """The app logs a delivery after the receiver's answer."""
    return any(one["event"] == "delivery.succeeded" for one in app.events(request_id))


def test_a_destination_gets_what_its_filter_selects_and_the_result_queue_the_rest(
    fresh_app: FreshApp, servers: ExitStack
) -> None:
    """With RESULTS_QUEUE=unclaimed."""
    there = receiver(servers)
    app = start(fresh_app, {"crm": entry(there, outcomes=["resolved"])}, RESULTS_QUEUE="unclaimed")
    good, bad = app.request(), app.request(userId="nobody")

    app.enqueue(good)
    app.enqueue(bad)

    taken_by(there, good["requestId"])
    assert app.result(bad["requestId"])["data"]["code"] == "invalid_request"
    assert len(there.taken) == 1
    assert not app.run.queue("join-link-results").peek_messages()


def test_a_receiver_with_tls_and_a_secret_url(fresh_app: FreshApp) -> None:
    """As in Azure: https, a URL from the vault, and a certificate that the app trusts."""
    app = start(
        fresh_app,
        {"flow": {"urlSecret": "flow-url", "secret": "delivery-crm", "private": True}},
    )
    with Receiver(secret=SECRET, tls=app.run.tls) as there:
        app.run.vault.set_secret("flow-url", there.url)
        request = app.request()
        app.enqueue(request)

        assert taken_by(there, request["requestId"]).id.startswith("msg_")


def test_a_failed_delivery_is_repeated_with_the_same_id(
    fresh_app: FreshApp, servers: ExitStack
) -> None:
    """After some seconds."""
    there = receiver(servers)
    there.order(Status(503))
    app = start(fresh_app, {"crm": entry(there)})
    request = app.request()

    app.enqueue(request)

    taken = taken_by(there, request["requestId"])
    assert {call.request.headers["webhook-id"] for call in there.calls} == {taken.id}
    assert [one["event"] for one in app.events(request["requestId"], at_least=3)] == [
        "join_link.resolved",
        "delivery.retried",
        "delivery.succeeded",
    ]


def test_410_is_a_dead_letter_that_can_be_put_back(fresh_app: FreshApp, servers: ExitStack) -> None:
    """It names the destination but not its URL."""
    there = receiver(servers)
    there.order(Status(410))
    app = start(fresh_app, {"crm": entry(there)})
    request = app.request()

    app.enqueue(request)

    message = eventually(lambda: app.run.queue(DEAD_LETTERS).receive_message())
    letter = json.loads(message.content)
    assert (letter["reason"], letter["destination"]) == ("destination_gone", "crm")
    assert "sig=" not in message.content
    app.run.queue(letter["queue"]).send_message(letter["original"])
    assert taken_by(there, request["requestId"])


def test_an_invalid_destination_is_reported_and_stops_no_other(
    fresh_app: FreshApp, servers: ExitStack
) -> None:
    """Health names it, the others get their outcomes, and its own outcomes wait."""
    there = receiver(servers)
    app = start(fresh_app, {"crm": entry(there), "flow": entry(there, secret="not a name!")})
    request = app.request()

    health = app.session.get(f"{app.run.url}/api/health", timeout=10)
    app.enqueue(request)

    assert health.status_code == 200
    assert health.json()["faultyDestinations"] == [{"name": "flow", "places": ["/secret"]}]
    taken_by(there, request["requestId"])
    eventually(
        lambda: any(
            one["event"] == "delivery.retried" and one["code"] == "destination_invalid"
            for one in app.events(request["requestId"])
        )
    )
    assert app.run.queue(DELIVERIES).get_queue_properties().approximate_message_count == 1


def test_a_slow_destination_delays_no_other_work(fresh_app: FreshApp, servers: ExitStack) -> None:
    """With 32 outcomes for it, other deliveries, the queue and HTTP go on."""
    slow, quick = receiver(servers), receiver(servers)
    slow.always(Drip(0.5, part="head"))
    app = start(
        fresh_app,
        {"slow": entry(slow, sources=["calcom"]), "quick": entry(quick, sources=[None])},
    )
    meeting = app.meeting()
    organizer = app.run.graph.data.user(meeting.organizer)
    assert organizer is not None
    servers.callback(slow.stop)
    for _ in range(32):
        booking = calcom_booking(meeting, organizer)
        answer = app.session.post(
            f"{app.run.url}/api/webhooks/calcom",
            data=booking,
            headers=sign_as_calcom(booking, SECRETS["webhook-calcom"]),
            timeout=30,
        )
        assert answer.status_code == 202
    eventually(lambda: slow.held >= 8, within=30)

    request = app.request()
    app.enqueue(request)

    assert app.post(app.request()).status_code == 200
    assert app.result(request["requestId"])
    assert taken_by(quick, request["requestId"])
    assert slow.held <= 8


def test_nothing_is_sent_to_a_private_address_without_permission(
    fresh_app: FreshApp, servers: ExitStack
) -> None:
    """A destination without `private`, at an address of this machine."""
    connections: list[int] = []
    there = servers.enter_context(Listener(serve=lambda _: connections.append(1), name="counting"))
    app = start(
        fresh_app,
        {"crm": {"url": f"https://localhost:{there.port}/", "secret": "delivery-crm"}},
    )
    request = app.request()

    app.enqueue(request)

    (event,) = eventually(
        lambda: [
            one for one in app.events(request["requestId"]) if one["event"] == "delivery.retried"
        ]
    )
    assert (event["code"], event["note"]) == ("destination_invalid", "AddressNotAllowed")
    assert connections == []
