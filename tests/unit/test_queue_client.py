"""Writing to the queues: each failure is one error, and comes before the deadline."""

import math
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.core.deadline import Deadline
from shared.core.errors import QueueUnavailable
from shared.core.http_client import HttpClient
from shared.core.settings import StorageSettings
from shared.identity.managed_identity import ManagedIdentity
from shared.queues.client import DEAD_LETTERS, DELIVERIES, REQUESTS, RESULTS, Queues
from tests.unit.fake_identity import Clock, Credentials, make_identity
from tests.unit.scripted_server import Reply, ScriptedServer, answer, drip, keep_silent

ACCEPTED = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b"<QueueMessagesList><QueueMessage><MessageId>m</MessageId>"
    b"<InsertionTime>Fri, 09 Oct 2026 21:04:30 GMT</InsertionTime>"
    b"<ExpirationTime>Fri, 16 Oct 2026 21:04:30 GMT</ExpirationTime><PopReceipt>p</PopReceipt>"
    b"<TimeNextVisible>Fri, 09 Oct 2026 21:04:30 GMT</TimeNextVisible>"
    b"</QueueMessage></QueueMessagesList>"
)


DAY = 24 * 60 * 60


def make_queues(
    storage: StorageSettings, identity: ManagedIdentity | None = None, *, retention_days: int = 30
) -> Queues:
    """Make the queues of one storage account."""
    return Queues(
        storage=storage,
        identity=identity or make_identity(),
        http=HttpClient(pool_size=4),
        retention_days=retention_days,
    )


def test_an_unreachable_service_fails_within_seconds() -> None:
    """A thread that waits longer would be missing for other requests."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: it refuses
        port = closed.getsockname()[1]
        connection = (
            "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YWJj;"
            f"QueueEndpoint=http://127.0.0.1:{port}/a"
        )
        queues = make_queues(StorageSettings(connection_string=connection))
        began = time.monotonic()

        with pytest.raises(QueueUnavailable) as raised:
            queues.send(REQUESTS, "secret", deadline=Deadline(seconds=30))

    assert time.monotonic() - began < 6
    assert "secret" not in str(raised.value)
    assert REQUESTS in raised.value.detail
    assert "Storage Queue Data Contributor" in str(raised.value.fix)


@pytest.mark.parametrize(
    "reply", [keep_silent, drip(ACCEPTED, after=b"HTTP/1.1 201 Created\r\n\r\n", every=0.2)]
)
def test_a_write_that_hangs_fails_at_the_deadline(reply: Reply) -> None:
    """If the service sends nothing, and if it sends single bytes."""
    with ScriptedServer(reply) as server:
        connection = (
            "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YWJj;"
            f"QueueEndpoint={server.url}/a"
        )
        queues = make_queues(StorageSettings(connection_string=connection))

        with pytest.raises(QueueUnavailable, match="does not answer"):
            queues.send(REQUESTS, "secret", deadline=Deadline(seconds=0.2))

        assert len(server.heads) <= 1


def test_a_write_that_hangs_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """After three tries, so that its writer is free again. azure-core would wait five minutes."""
    monkeypatch.setattr("shared.queues.client._READ_SECONDS", 0.1)
    with ScriptedServer(keep_silent) as server:
        queues = make_queues(storage_at(server))

        with pytest.raises(QueueUnavailable, match="could not be written"):
            queues.send(REQUESTS, "one", deadline=Deadline(seconds=20))

        assert len(server.heads) == 3


def test_a_write_that_hangs_delays_no_other() -> None:
    """Each has its own thread."""
    accepted = answer(201, ACCEPTED, {"Content-Type": "application/xml"})
    with ScriptedServer(keep_silent, accepted) as server:
        connection = (
            "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YWJj;"
            f"QueueEndpoint={server.url}/a"
        )
        queues = make_queues(StorageSettings(connection_string=connection))
        with pytest.raises(QueueUnavailable):
            queues.send(REQUESTS, "one", deadline=Deadline(seconds=0.5))

        queues.send(REQUESTS, "two", deadline=Deadline(seconds=30))

        assert len(server.heads) == 2


CREATED = answer(201, ACCEPTED, {"Content-Type": "application/xml"})
MANY = [(REQUESTS, f"{number}") for number in range(100)]


def storage_at(server: ScriptedServer) -> StorageSettings:
    """Make the settings of a storage account at a server."""
    return StorageSettings(
        connection_string="DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YWJj;"
        f"QueueEndpoint={server.url}/a"
    )


def test_many_messages_are_written_in_parallel() -> None:
    """The server answers no write before ten have come, so it would never answer one alone."""
    ten = threading.Barrier(10, timeout=20)

    def reply(connection: socket.socket) -> None:
        ten.wait()
        connection.sendall(CREATED)

    with ScriptedServer(reply) as server:
        make_queues(storage_at(server)).send_all(MANY, deadline=Deadline(seconds=60))

        assert len(server.heads) == 100


def test_many_messages_leave_writers_to_others() -> None:
    """While 16 of 100 hang, no more are begun, and another message is written."""
    released = threading.Event()

    def hold(connection: socket.socket) -> None:
        released.wait(20)
        connection.sendall(CREATED)

    with ScriptedServer(*[hold] * 16, CREATED) as server, ThreadPoolExecutor(1) as pool:
        queues = make_queues(storage_at(server))
        hanging = pool.submit(queues.send_all, MANY, deadline=Deadline(seconds=60))
        while len(server.heads) < 16:
            time.sleep(0.01)
        queues.send(REQUESTS, "another", deadline=Deadline(seconds=30))
        begun = len(server.heads)
        released.set()

        hanging.result()

    assert begun == 17


def test_many_messages_that_hang_fail_at_the_deadline() -> None:
    """What has not begun by then is not written later."""
    with ScriptedServer(keep_silent) as server:
        with pytest.raises(QueueUnavailable, match="does not answer"):
            make_queues(storage_at(server)).send_all(MANY, deadline=Deadline(seconds=0.2))

        assert len(server.heads) <= 16


def test_what_waits_for_a_writer_at_its_deadline_is_not_written_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its sender was told to send it again. While storage hangs, such messages would pile up."""
    monkeypatch.setattr("shared.queues.client._MOST_WRITERS", 1)
    released = threading.Event()

    def hold(connection: socket.socket) -> None:
        released.wait(20)
        connection.sendall(CREATED)

    with ScriptedServer(hold, CREATED) as server, ThreadPoolExecutor(1) as pool:
        queues = make_queues(storage_at(server))
        first = pool.submit(queues.send, REQUESTS, "1", deadline=Deadline(seconds=30))
        while not server.heads:
            time.sleep(0.01)
        with pytest.raises(QueueUnavailable):
            queues.send(REQUESTS, "2", deadline=Deadline(seconds=0.05))
        with pytest.raises(QueueUnavailable):
            queues.send_all(MANY, deadline=Deadline(seconds=0.05))
        released.set()
        first.result()
        queues.send(REQUESTS, "3", deadline=Deadline(seconds=30))

        assert len(server.heads) == 2


def test_if_one_of_many_cannot_be_written_all_are_unavailable() -> None:
    """And those that have not begun are not written any more."""
    forbidden = answer(403, b"", {"Content-Type": "application/xml"})
    with ScriptedServer(forbidden) as server:
        with pytest.raises(QueueUnavailable, match="could not be written"):
            make_queues(storage_at(server)).send_all(MANY, deadline=Deadline(seconds=30))

        assert len(server.heads) < 100


def test_after_a_failure_the_caller_knows_what_the_queue_has() -> None:
    """The 15 writes that had begun beside it may end, because the queue has their messages."""
    forbidden = answer(403, b"", {"Content-Type": "application/xml"})
    failed = threading.Event()
    written: list[int] = []

    def fail(connection: socket.socket) -> None:
        connection.sendall(forbidden)
        failed.set()

    def hold(connection: socket.socket) -> None:
        failed.wait(20)
        connection.sendall(CREATED)

    with ScriptedServer(*[CREATED] * 20, *[hold] * 15, fail, CREATED) as server:
        with pytest.raises(QueueUnavailable, match="could not be written"):
            make_queues(storage_at(server)).send_all(
                MANY, deadline=Deadline(seconds=30), on_written=written.append
            )

        assert len(set(written)) == len(written) == len(server.heads) - 1


def test_no_messages_are_written_at_once() -> None:
    """A webhook that is not for the app has none."""
    with ScriptedServer(keep_silent) as server:
        make_queues(storage_at(server)).send_all([], deadline=Deadline(seconds=0))

        assert server.heads == []


@pytest.mark.parametrize(("delay", "hidden"), [(0, "0"), (0.2, "1"), (30.0, "30"), (30.01, "31")])
def test_a_delayed_message_is_hidden_for_no_less_than_its_delay(delay: float, hidden: str) -> None:
    """Storage takes whole seconds, so a fraction is rounded up."""
    with ScriptedServer(answer(201, ACCEPTED, {"Content-Type": "application/xml"})) as server:
        connection = (
            "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YWJj;"
            f"QueueEndpoint={server.url}/a"
        )
        queues = make_queues(StorageSettings(connection_string=connection))
        queues.send(REQUESTS, "{}", deadline=Deadline(seconds=30), delay=delay)

        query = parse_qs(urlsplit(server.targets[0]).query)
        assert query["visibilitytimeout"] == [hidden]


@pytest.mark.parametrize("queue", [RESULTS, DEAD_LETTERS, DELIVERIES])
@pytest.mark.parametrize(("days", "delay"), [(1, 0), (30, 0.2), (365, 0), (1, DAY), (1, 7 * DAY)])
def test_a_message_expires_after_its_delay_and_its_retention(
    queue: str, days: int, delay: float
) -> None:
    """So a retry whose delay is as long as the retention is not lost."""
    assert lifetime(queue, days=days, delay=delay) == days * DAY + math.ceil(delay)


@pytest.mark.parametrize("delay", [0, 900])
def test_a_request_never_expires(delay: float) -> None:
    """It was accepted, so it waits even while the app is stopped."""
    assert lifetime(REQUESTS, days=1, delay=delay) == -1


def lifetime(queue: str, *, days: int, delay: float) -> int:
    """Write a message, and say for how many seconds storage was asked to keep it."""
    with ScriptedServer(answer(201, ACCEPTED, {"Content-Type": "application/xml"})) as server:
        connection = (
            "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YWJj;"
            f"QueueEndpoint={server.url}/a"
        )
        queues = make_queues(StorageSettings(connection_string=connection), retention_days=days)
        queues.send(queue, "{}", deadline=Deadline(seconds=30), delay=delay)

        (seconds,) = parse_qs(urlsplit(server.targets[0]).query)["messagettl"]
    return int(seconds)


def test_without_a_token_the_queue_is_unavailable() -> None:
    """The error is the same as for a queue that does not answer."""
    credentials = Credentials(Clock())
    credentials.failure = RuntimeError("away")
    identity = ManagedIdentity(client_id=None, environment={}, make_credential=credentials.make)
    storage = StorageSettings(queue_service_uri="https://127.0.0.1:9/a")

    with pytest.raises(QueueUnavailable):
        make_queues(storage, identity).send(REQUESTS, "{}", deadline=Deadline(seconds=30))
