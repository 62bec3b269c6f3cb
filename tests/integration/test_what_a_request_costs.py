"""The countable costs of a request in the running app. Times are in docs/performance.md."""

from concurrent.futures import ThreadPoolExecutor

import requests

from dev.booking_systems import SECRETS, calcom_booking, sign_as_calcom
from dev.stand_ins.messages import Call
from tests.integration.app_under_test import App, eventually
from tests.integration.conftest import FreshApp

AT_ONCE = 40


def test_a_request_by_ids_is_one_call_and_one_log_record(app: App) -> None:
    """A second call would add latency, and a second record money."""
    request = app.request()
    calls, lines = app.run.graph.count(), len(app.run.host.logs)

    app.post(request)

    assert app.run.graph.count() - calls == 1
    new = app.run.host.logs[lines:]
    (invocation,) = {line.invocation_id for line in new if request["requestId"] in line.message}
    # Events of a message that another test left on the queue may come in between.
    assert [
        line.logger
        for line in new
        if line.invocation_id == invocation and not line.logger.startswith("Host.")
    ] == ["virtual_appointment"]


def test_first_calls_at_once_share_a_token(fresh_app: FreshApp) -> None:
    """Also the second time: nothing is asked for again."""
    app = fresh_app({"GRAPH_TIMEOUT_SECONDS": "10"})
    bodies = [app.request() for _ in range(AT_ONCE)]

    with ThreadPoolExecutor(AT_ONCE) as callers:
        statuses = {answer.status_code for answer in callers.map(app.post, bodies + bodies)}

    assert statuses == {200}
    assert app.run.identity.count() == 1
    assert app.run.graph.count() == 2 * AT_ONCE


def test_first_webhooks_at_once_cause_one_vault_read(fresh_app: FreshApp) -> None:
    """There is also only one token request. azure-keyvault-secrets would send one for each."""
    app = fresh_app({"GRAPH_TIMEOUT_SECONDS": "10"})
    meeting = app.meeting(organizer := app.organizer())
    url = f"{app.run.url}/api/webhooks/calcom"

    def post(body: bytes) -> int:
        headers = sign_as_calcom(body, SECRETS["webhook-calcom"])
        return requests.post(url, body, headers=headers, timeout=30).status_code

    bodies = [calcom_booking(meeting, organizer) for _ in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as senders:
        statuses = set(senders.map(post, bodies))

    assert statuses == {202}
    assert app.run.vault.count(_begins_a_reading) == 1
    for_the_vault = app.run.identity.count(lambda call: "vault.azure.net" in call.request.target)
    assert for_the_vault == 1
    eventually(lambda: app.run.graph.count() >= AT_ONCE)


def _begins_a_reading(call: Call) -> bool:
    return call.status == 200 and call.path.endswith("/webhook-calcom/versions")
