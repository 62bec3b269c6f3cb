"""The queues of scripts/dead_letters.py, and dead letters in the app's format."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from azure.storage.queue import QueueClient, QueueServiceClient

from dev.azurite import Azurite

DEAD_LETTERS = "join-link-dead-letters"
REQUESTS = "join-link-requests"
DELIVERIES = "join-link-deliveries"


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """A queue service of these tests."""
    with Azurite(folder=tmp_path_factory.mktemp("azurite")) as running:
        yield running


@pytest.fixture
def service(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> Iterator[QueueServiceClient]:
    """The three queues, empty, with the command's settings."""
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string)
    with QueueServiceClient.from_connection_string(azurite.connection_string) as client:
        for name in (DEAD_LETTERS, REQUESTS, DELIVERIES):
            client.create_queue(name)
        yield client
        for name in (DEAD_LETTERS, REQUESTS, DELIVERIES):
            client.delete_queue(name)


@pytest.fixture
def letters(service: QueueServiceClient) -> QueueClient:
    """The queue of dead letters."""
    return service.get_queue_client(DEAD_LETTERS)


@pytest.fixture
def requests(service: QueueServiceClient) -> QueueClient:
    """The queue of requests."""
    return service.get_queue_client(REQUESTS)


@pytest.fixture
def deliveries(service: QueueServiceClient) -> QueueClient:
    """The queue of deliveries."""
    return service.get_queue_client(DELIVERIES)


def write_dead_letter(
    letters: QueueClient,
    /,
    text: str = '{"a":1}',
    *,
    lifetime: int = 30 * 24 * 60 * 60,
    **members: Any,  # noqa: ANN401 - JSON is anything
) -> str:
    """Write a dead letter as the app does, and return its id."""
    data = text.encode()
    error = {"code": "permission_missing", "detail": "No role.", "fix": "Grant it."}
    letter = {
        "reason": "retry_time_spent",
        "queue": REQUESTS,
        "destination": None,
        "error": {**error, "requestId": "booking-1"},
        "original": text,
        "originalLength": len(data),
        "originalSha256": hashlib.sha256(data).hexdigest(),
        "messageId": "m",
        "dequeueCount": 1,
        "firstSeen": "2026-11-22T10:00:00+00:00",
        "attempts": 97,
        "traceparent": None,
        **members,
    }
    return letters.send_message(json.dumps(letter), time_to_live=lifetime).id


def contents(queue: QueueClient) -> list[str]:
    """The visible messages of a queue."""
    return [message.content for message in queue.peek_messages(max_messages=32)]


def count(queue: QueueClient) -> int:
    """The number of messages of a queue, with the hidden ones."""
    return queue.get_queue_properties().approximate_message_count or 0
