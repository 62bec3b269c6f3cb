"""POST /api/join-link-requests: a request goes on the queue, and its id is returned."""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from shared.app import Application
from shared.core.errors import QueueUnavailable
from shared.handlers.join_links import request_join_link
from shared.handlers.responses import HttpResponse
from shared.identity.bearer_tokens import APP_ROLE, SCOPE, Caller, SignIn
from shared.queues import messages
from shared.queues.client import REQUESTS
from tests.unit.events import emitted
from tests.unit.memory_queues import (
    LINK,
    MemoryQueues,
    ResolverOfOneMind,
    delivery,
    make_request,
    make_services,
    run,
)

JSON = {"Content-Type": "application/json"}
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"
PERSON = Caller(
    object_id=LINK.user_id,
    client_id=None,
    is_person=True,
    holds_app_role=False,
    expires_on=0,
    takes_claims_challenges=False,
    token="canary",
)
PERSON_FOR_ANY = replace(PERSON, holds_app_role=True)
APPLICATION = replace(PERSON_FOR_ANY, is_person=False)


class SignedIn(SignIn):
    """Accepts each token as this caller's."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def check(self, *_: object, **__: object) -> Caller:
        """Give the caller."""
        return self._caller


def post(
    queues: MemoryQueues,
    body: object,
    *,
    caller: Caller | None = None,
    headers: Mapping[str, str] = JSON,
) -> tuple[HttpResponse, Any]:
    """Ask for later."""
    application = Application({"AzureWebJobsStorage": "UseDevelopmentStorage=true"})
    services = make_services(ResolverOfOneMind(), queues)
    application._services = replace(services, sign_in=SignedIn(caller) if caller else None)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = request_join_link(application, headers, data)
    return answer, json.loads(answer.body)


def test_a_request_is_put_on_the_queue_and_its_id_handed_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Unchanged. Its outcome goes to the result queue, with its context."""
    caplog.set_level(logging.INFO)
    queues = MemoryQueues()

    answer, body = post(
        queues,
        make_request(),
        headers={**JSON, "traceparent": TRACE, "x-ms-client-request-id": "flow-1"},
    )

    assert (answer.status, body) == (202, {"requestId": "booking-1"})
    assert answer.headers["x-ms-client-request-id"] == "flow-1"
    (written,) = queues.written
    incoming = messages.decode(written.text.encode())
    assert (written.queue, written.delay) == (REQUESTS, 0)
    assert incoming.document.value == make_request()
    assert (incoming.source, incoming.traceparent) == (None, TRACE)
    (event,) = emitted(caplog)
    assert (event["event"], event["trigger"]) == ("join_link.accepted", "http")
    assert (event["requestId"], event["clientRequestId"]) == ("booking-1", "flow-1")


def test_a_request_without_an_id_is_given_one() -> None:
    """Its outcome has the same id."""
    queues = MemoryQueues()
    request = make_request()
    del request["requestId"]

    _, body = post(queues, request)
    outcome = MemoryQueues()
    run(outcome, delivery(queues.written[0].text.encode()))

    assert outcome.written[0].json["id"] == body["requestId"]


def test_the_same_id_twice_is_two_requests() -> None:
    """As on the queue: the app does not look for earlier ids."""
    queues = MemoryQueues()

    post(queues, make_request())
    post(queues, make_request())

    assert queues.journal == [REQUESTS, REQUESTS]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_request"),
        (b"", "invalid_request"),
        (b"[]", "invalid_request"),
        (make_request(unknown=1), "invalid_request"),
        (make_request(userId="me"), "invalid_request"),
        (make_request(userId=None), "invalid_request"),
        (b" " * (64 * 1024 + 1), "payload_too_large"),
    ],
)
@pytest.mark.parametrize("caller", [None, APPLICATION, PERSON_FOR_ANY])
def test_an_invalid_request_is_refused_at_once(
    body: object, code: str, caller: Caller | None
) -> None:
    """By the rules of join-link. Nothing is queued."""
    queues = MemoryQueues()

    answer, problem = post(queues, body, caller=caller)

    assert (answer.status, problem["code"]) == ({"payload_too_large": 413}.get(code, 400), code)
    assert queues.journal == []


@pytest.mark.parametrize("user_id", ["me", "ME", None])
def test_ones_own_meetings_are_refused_with_the_reason(user_id: str | None) -> None:
    """The app tries the request later, without the person."""
    _, problem = post(MemoryQueues(), make_request(userId=user_id), caller=PERSON_FOR_ANY)

    assert [error["pointer"] for error in problem["errors"]] == ["/userId"]
    assert "as itself" in problem["fix"]


def test_a_caller_with_only_the_scope_may_not_ask_for_later() -> None:
    """Not even by their own object id, because the app would ask as itself."""
    queues = MemoryQueues()

    answer, problem = post(queues, make_request(), caller=PERSON)

    assert (answer.status, problem["code"]) == (403, "forbidden")
    assert SCOPE in problem["detail"]
    assert APP_ROLE in problem["fix"]
    assert queues.journal == []


@pytest.mark.parametrize("caller", [APPLICATION, PERSON_FOR_ANY])
def test_a_caller_with_the_app_role_may_ask_for_each_organizer(caller: Caller) -> None:
    """An application and a person."""
    assert post(MemoryQueues(), make_request(), caller=caller)[0].status == 202


def test_a_request_that_cannot_be_queued_is_not_accepted(caplog: pytest.LogCaptureFixture) -> None:
    """The caller sends it again."""
    answer, problem = post(MemoryQueues(REQUESTS), make_request())

    assert (answer.status, problem["code"]) == (503, "queue_unavailable")
    assert answer.headers["Retry-After"]
    (event,) = emitted(caplog)
    assert (event["event"], event["code"]) == ("join_link.failed", "queue_unavailable")


@pytest.mark.parametrize("request_id", ["booking-1", ""])
def test_the_sender_is_told_to_try_again_with_the_same_request_id(request_id: str) -> None:
    """Also if the sender gave none: after a time-out the request may be on the queue."""
    queues = MemoryQueues()

    def time_out(_: object) -> None:
        raise QueueUnavailable(f"The queue {REQUESTS} does not answer.", fix="Check it.")

    queues.on_send = time_out

    _, problem = post(queues, make_request(request_id))

    (written,) = queues.written
    assert problem["requestId"] == written.json["id"]
    assert problem["requestId"] == request_id or not request_id
    assert problem["detail"] == (
        f"The queue {REQUESTS} does not answer. The request may have been written all the same."
    )
    assert problem["fix"].startswith("Send the request again with the `requestId` of this problem")
    assert problem["fix"].endswith("Check it.")


def test_with_invalid_settings_nothing_is_accepted() -> None:
    """503, as on every route."""
    answer = request_join_link(Application({"GRAPH_VERSION": "canary"}), JSON, b"{}")

    assert (answer.status, json.loads(answer.body)["code"]) == (503, "settings_invalid")
