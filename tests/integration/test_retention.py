"""How long the queue service keeps the messages of the running app."""

import json
from datetime import timedelta

from azure.storage.queue import QueueMessage

from dev.booking_systems import SECRETS, sign_as_calcom
from dev.stand_ins.faults import Status
from dev.stand_ins.receiver import Receiver
from tests.integration.app_under_test import RESULTS, App, eventually
from tests.integration.conftest import FreshApp

DELIVERIES, DEAD_LETTERS = "join-link-deliveries", "join-link-dead-letters"
SECRET = "whsec_YSBzZWNyZXQgb2YgdGhlIGRlbGl2ZXJpZXMgb2YgdGVzdHM="
KEPT = timedelta(days=3)


def lifetime(message: QueueMessage) -> timedelta:
    """The time from a message's insertion to its expiry."""
    assert message.expires_on is not None
    assert message.inserted_on is not None
    return message.expires_on - message.inserted_on


def take(app: App, queue: str, *, within: float = 15) -> QueueMessage:
    """Take a queue's next message as soon as it is visible."""
    return eventually(lambda: app.run.queue(queue).receive_message(), within=within)


def test_results_and_dead_letters_are_kept_for_the_days_of_the_setting(
    fresh_app: FreshApp,
) -> None:
    """For a resolved, a failed, an unreadable and a webhook's request."""
    app = fresh_app({"RETENTION_DAYS": "3"})
    resolved, failed = app.request(), app.request(userId="nobody")
    for message in (resolved, failed, "not JSON"):
        app.enqueue(message)
    webhook = app.session.post(
        f"{app.run.url}/api/webhooks/calcom",
        data=b"not JSON",
        headers=sign_as_calcom(b"not JSON", SECRETS["webhook-calcom"]),
        timeout=30,
    )

    results = [take(app, RESULTS) for _ in range(3)]
    letter = take(app, DEAD_LETTERS)

    told = {json.loads(message.content)["id"] for message in results}
    assert told == {resolved["requestId"], failed["requestId"], webhook.json()["requestId"]}
    assert [lifetime(message) for message in (*results, letter)] == [KEPT] * 4


def test_a_repeated_delivery_is_kept_for_the_days_of_the_setting_after_its_delay(
    fresh_app: FreshApp,
) -> None:
    """No try expires before its time, and none is kept for ever."""
    with Receiver(secret=SECRET) as there:
        there.always(Status(503))
        destination = {"url": there.url, "secret": "delivery-crm", "private": True}
        app = fresh_app({"RETENTION_DAYS": "3", "DELIVERIES": json.dumps({"crm": destination})})
        app.run.vault.set_secret("delivery-crm", app.log.forbid("a delivery's secret", SECRET))
        request = app.request()
        app.enqueue(request)
        app.events(request["requestId"], at_least=2)
        app.run.host.stop()  # so that the app does not take the message

        message = take(app, DELIVERIES, within=30)

    delay = lifetime(message) - KEPT
    assert timedelta(seconds=5) <= delay <= timedelta(minutes=15)
    assert json.loads(message.content)["attempts"] >= 1
