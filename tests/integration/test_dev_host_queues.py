"""The local host gives queue messages to functions as Microsoft's queue extension does."""

import base64
import datetime as dt
import uuid
from collections.abc import Iterator

import pytest
import requests
from azure.storage.queue import QueueClient, QueueServiceClient

from dev.azurite import Azurite
from dev.host.host import Host
from tests.integration.sample_host import events, eventually, make_host

BODY = 'fail, "grün" & <always>'
OVERRIDE = "AzureFunctionsJobHost__extensions__queues__"


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """One queue service. Each test has its own queues."""
    with Azurite(folder=tmp_path_factory.mktemp("azurite")) as running:
        yield running


@pytest.fixture(scope="module")
def service(azurite: Azurite) -> Iterator[QueueServiceClient]:
    """A client of the queue service."""
    with QueueServiceClient.from_connection_string(azurite.connection_string) as client:
        yield client


@pytest.fixture
def queue(service: QueueServiceClient) -> QueueClient:
    """Make a queue for the sample app's `work` to listen to."""
    return service.create_queue(f"work-{uuid.uuid4().hex}")


def listen(
    azurite: Azurite,
    queue_name: str,
    *,
    lease: float = 600.0,
    enabled: bool = True,
    poison: bool = False,
    **options: str,
) -> Host:
    """Make a host whose `work` listens to a queue, with options of host.json."""
    settings = {
        "AzureWebJobsStorage": azurite.connection_string,
        "WORK_QUEUE": queue_name,
        "AzureWebJobs.work.Disabled": str(not enabled),
        "AzureWebJobs.poisoned.Disabled": str(not poison),
    }
    overrides = {OVERRIDE + name: value for name, value in options.items()}
    return make_host(settings | overrides, lease=lease)


def count(queue: QueueClient) -> int:
    """Return how many messages a queue holds, hidden ones included."""
    return queue.get_queue_properties().approximate_message_count or 0


def poison_of(service: QueueServiceClient, queue: QueueClient) -> QueueClient:
    """Return a client of a queue's poison queue."""
    return service.get_queue_client(f"{queue.queue_name}-poison")


def poisoned(service: QueueServiceClient, queue: QueueClient) -> list[str]:
    """Return the names of poison queues that exist for a queue."""
    return [found.name for found in service.list_queues(f"{queue.queue_name}-poison")]


def test_a_message_is_given_once_and_deleted(azurite: Azurite, queue: QueueClient) -> None:
    """The function sees the text and all the trigger's metadata."""
    sent = queue.send_message('{"text": "grün & <blau>"}')
    with listen(azurite, queue.queue_name) as host:
        eventually(lambda: count(queue) == 0)

    (event,) = events(host)
    assert event["body"] == '{"text": "grün & <blau>"}'
    assert event["id"] == sent.id
    assert event["dequeue_count"] == 1
    assert event["pop_receipt"]
    inserted, expires, next_visible = (
        dt.datetime.fromisoformat(event[name]) for name in ("inserted", "expires", "next_visible")
    )
    assert expires - inserted == dt.timedelta(days=7)
    assert dt.timedelta(seconds=598) < next_visible - inserted < dt.timedelta(seconds=605)


def test_a_message_that_never_expires_is_given_too(azurite: Azurite, queue: QueueClient) -> None:
    """Its expiry is the greatest date."""
    queue.send_message("for ever", time_to_live=-1)
    with listen(azurite, queue.queue_name) as host:
        eventually(lambda: count(queue) == 0)

    assert events(host)[0]["expires"].startswith("9999-12-31")


def test_a_failing_message_becomes_a_new_one_in_the_poison_queue(
    azurite: Azurite, service: QueueServiceClient, queue: QueueClient
) -> None:
    """After maxDequeueCount tries it is copied: same body, new id, 7 days to live."""
    sent = queue.send_message(BODY)
    with listen(azurite, queue.queue_name) as host:
        eventually(lambda: poisoned(service, queue) and count(queue) == 0)

    assert [event["dequeue_count"] for event in events(host)] == [1, 2, 3]
    (copy,) = poison_of(service, queue).receive_messages()
    assert copy.content == BODY
    assert copy.id != sent.id
    assert copy.dequeue_count == 1
    assert copy.expires_on
    assert copy.inserted_on
    assert copy.expires_on - copy.inserted_on == dt.timedelta(days=7)


def test_after_the_last_try_a_message_is_poison_at_once(
    azurite: Azurite, service: QueueServiceClient, queue: QueueClient
) -> None:
    """The visibility timeout is only for messages that are tried again."""
    queue.send_message("fail, once")
    with listen(
        azurite, queue.queue_name, maxDequeueCount="1", visibilityTimeout="00:05:00"
    ) as host:
        eventually(lambda: poisoned(service, queue) and count(queue) == 0)

    assert len(events(host)) == 1


def test_a_failed_message_comes_back_after_the_visibility_timeout(
    azurite: Azurite, queue: QueueClient
) -> None:
    """Not at once, and before its lease would end."""
    queue.send_message("fail, slowly")
    with listen(
        azurite, queue.queue_name, visibilityTimeout="00:00:01", maxPollingInterval="00:00:00.1"
    ) as host:
        eventually(lambda: len(events(host)) >= 2)

    first, second = (event["started"] for event in events(host)[:2])
    assert 0.9 < second - first < 5


def test_a_message_with_too_many_tries_is_poison_before_it_runs(
    azurite: Azurite, service: QueueServiceClient, queue: QueueClient
) -> None:
    """Otherwise a message that kills its worker would be tried for ever."""
    queue.send_message("given before")
    for _ in range(3):
        (message,) = queue.receive_messages(max_messages=1, visibility_timeout=30)
        queue.update_message(message, visibility_timeout=0)
    with listen(azurite, queue.queue_name) as host:
        eventually(lambda: poisoned(service, queue) and count(queue) == 0)

    assert events(host) == []


def test_base64_is_decoded_and_anything_else_is_poison_at_once(
    azurite: Azurite, service: QueueServiceClient, queue: QueueClient
) -> None:
    """With messageEncoding base64 no function gets another message."""
    queue.send_message("{YWJj}")
    queue.send_message(base64.b64encode("grün".encode()).decode())
    with listen(azurite, queue.queue_name, messageEncoding="base64") as host:
        eventually(lambda: count(queue) == 0)

    assert [event["body"] for event in events(host)] == ["grün"]
    assert [m.content for m in poison_of(service, queue).receive_messages()] == ["{YWJj}"]


def test_a_message_that_is_not_utf8_fails_each_try(
    azurite: Azurite, service: QueueServiceClient, queue: QueueClient
) -> None:
    """It is valid base64, so it is tried again, but no function gets it."""
    queue.send_message(base64.b64encode(b"\xff\xfe").decode())
    with listen(azurite, queue.queue_name, messageEncoding="base64") as host:
        eventually(lambda: count(queue) == 0)

    assert events(host) == []
    assert len([line for line in host.logs if "is not UTF-8" in line.message]) == 3


def test_a_poison_queue_has_no_poison_queue(
    azurite: Azurite, service: QueueServiceClient, queue: QueueClient
) -> None:
    """A failed message stays hidden until its lease ends. After maxDequeueCount it runs no more."""
    poison = service.create_queue(f"{queue.queue_name}-poison")
    poison.send_message("fail as poison")
    with listen(azurite, queue.queue_name, lease=1, poison=True, maxDequeueCount="2") as host:
        eventually(lambda: len(events(host, "poison")) == 2)
        eventually(poison.peek_messages)

    counts = [event["dequeue_count"] for event in events(host, "poison")]
    assert counts == [1, 2]
    assert count(poison) == 1
    assert poisoned(service, queue) == [poison.queue_name]


def test_no_more_than_a_batch_runs_until_the_threshold(
    azurite: Azurite, queue: QueueClient
) -> None:
    """Four are read. The next four are read when two or fewer of them run."""
    for number in range(9):
        queue.send_message(f"wait {number}")
    with listen(azurite, queue.queue_name, batchSize="4", newBatchThreshold="2") as host:
        eventually(lambda: len(events(host)) == 4)
        hidden = count(queue) - len(queue.peek_messages(max_messages=32))
        requests.get(f"{host.url}/api/release", timeout=10)
        eventually(lambda: count(queue) == 0)

    assert hidden == 4
    assert len(events(host)) == 9


def test_a_lease_is_renewed_while_the_function_runs(azurite: Azurite, queue: QueueClient) -> None:
    """A function may take longer than the lease, and gets its message once."""
    queue.send_message("sleep 3.5")
    with listen(azurite, queue.queue_name, lease=2, maxPollingInterval="00:00:00.2") as host:
        eventually(lambda: count(queue) == 0)

    assert [event["dequeue_count"] for event in events(host)] == [1]


def test_a_queue_that_comes_later_is_waited_for(
    azurite: Azurite, service: QueueServiceClient
) -> None:
    """The host does not create a queue, and logs a missing one once."""
    with listen(azurite, "comes-later", maxPollingInterval="00:00:00.2") as host:
        eventually(lambda: any("cannot be read" in line.message for line in host.logs))
        made = service.create_queue("comes-later")
        made.send_message("at last")
        eventually(lambda: events(host))

    trouble = [line.message for line in host.logs if line.logger == "Host.Queue.work"]
    assert trouble == [
        "Queue comes-later cannot be read: QueueNotFound.",
        "Queue comes-later can be read again.",
    ]


def test_the_message_of_a_dead_worker_is_given_to_the_next(
    azurite: Azurite, queue: QueueClient
) -> None:
    """The worker's end counts as a failed try."""
    queue.send_message("wait for ever")
    with listen(azurite, queue.queue_name) as host:
        eventually(lambda: len(events(host)) == 1)
        host.kill_worker()
        eventually(lambda: len(events(host)) == 2)
        requests.get(f"{host.url}/api/release", timeout=10)
        eventually(lambda: count(queue) == 0)

    assert [event["dequeue_count"] for event in events(host)] == [1, 2]


def test_a_disabled_function_leaves_its_messages(
    azurite: Azurite, service: QueueServiceClient, queue: QueueClient
) -> None:
    """They are not read, while the other functions work."""
    queue.send_message("later")
    service.create_queue(f"{queue.queue_name}-poison").send_message("now")
    with listen(azurite, queue.queue_name, enabled=False, poison=True) as host:
        eventually(lambda: events(host, "poison"))

    (message,) = queue.peek_messages()
    assert message.dequeue_count == 0


def test_an_empty_message_reaches_its_function(azurite: Azurite, queue: QueueClient) -> None:
    """The queue service accepts empty messages."""
    queue.send_message("")
    with listen(azurite, queue.queue_name) as host:
        eventually(lambda: count(queue) == 0)

    assert [event["body"] for event in events(host)] == [""]
