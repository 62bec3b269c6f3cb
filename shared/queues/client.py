"""Writes to the storage queues, at once or delayed, with the queue trigger's connection."""

import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from itertools import islice
from typing import TYPE_CHECKING

from shared.core.deadline import Deadline
from shared.core.errors import IdentityUnavailable, QueueUnavailable, root_cause
from shared.core.http_client import HttpClient
from shared.core.settings import StorageSettings
from shared.identity.managed_identity import ManagedIdentity

if TYPE_CHECKING:
    from azure.storage.queue import QueueClient

REQUESTS = "join-link-requests"
POISON = "join-link-requests-poison"
RESULTS = "join-link-results"
DELIVERIES = "join-link-deliveries"
DELIVERIES_POISON = "join-link-deliveries-poison"
DEAD_LETTERS = "join-link-dead-letters"

_NEVER = -1
_DAY = 24 * 60 * 60
_CONNECT_SECONDS = 3
_READ_SECONDS = 3
_MOST_WRITERS = 64
"""How many writes may run at once: one for each of the worker's threads."""
_MOST_AT_ONCE = 16
"""How many writes of one `send_all` may run at once, so that it leaves writers to others."""
_FIX = (
    "Check that the queue exists and that the app's identity is Storage Queue Data Contributor on "
    "it."
)


def _silent(queue: str, error: TimeoutError) -> QueueUnavailable:
    return QueueUnavailable(
        f"The queue {queue} does not answer.", fix=_FIX, cause=root_cause(error)
    )


class Queues:
    """The app's queues.

    Args:
        storage: a connection string, or the address of the queue service.
        identity: the identity for a connection without a key.
        http: the process's HTTP client.
        retention_days: how long results, dead letters and deliveries are kept, in days.
    """

    def __init__(
        self,
        *,
        storage: StorageSettings,
        identity: ManagedIdentity,
        http: HttpClient,
        retention_days: int,
    ) -> None:
        self._storage = storage
        self._identity = identity
        self._http = http
        self._retention_seconds = retention_days * _DAY
        self._lock = threading.Lock()
        self._clients: dict[str, QueueClient] = {}
        self._writers = ThreadPoolExecutor(_MOST_WRITERS, thread_name_prefix="queue-writer")

    def send(self, queue: str, message: str, *, deadline: Deadline, delay: float = 0) -> None:
        """Write a message. When this returns, the queue has it.

        A request never expires, because the app has accepted it. Any other message expires after
        its delay and the days of retention, so that a delayed retry is never lost.

        A separate thread writes, so that a storage service that hangs delays no caller past its
        deadline.

        Args:
            queue: the queue's name.
            message: the text, at most 64 KiB.
            deadline: how long the caller can wait.
            delay: how long the message is hidden, in seconds, at most a week.

        Raises:
            QueueUnavailable: if the message is not known to be written. It may have been, so the
                caller sends it again.
        """
        writing = self._writers.submit(copy_context().run, self._write, queue, message, delay)
        try:
            writing.result(timeout=deadline.remaining())
        except TimeoutError as error:
            writing.cancel()  # stops a write that has not begun
            raise _silent(queue, error) from None

    def send_all(
        self,
        messages: Sequence[tuple[str, str]],
        *,
        deadline: Deadline,
        on_written: Callable[[int], object] = lambda _: None,
    ) -> None:
        """Write several messages, up to 16 at a time. When this returns, the queues have them.

        After the first failure no other write begins. Those that have begun may end, because what
        they write is there.

        Args:
            messages: a queue's name and the text of each.
            deadline: how long the caller can wait for all of them.
            on_written: is called in the caller's thread with the position of each message that the
                queue has.

        Raises:
            QueueUnavailable: if one is not known to be written. It and others may have been, so the
                caller sends them again.
        """
        waiting = iter(enumerate(messages))
        writing: dict[Future[None], int] = {}
        failure: QueueUnavailable | None = None
        try:
            while True:
                begin = 0 if failure else _MOST_AT_ONCE - len(writing)
                for position, (queue, message) in islice(waiting, begin):
                    run = copy_context().run
                    writing[self._writers.submit(run, self._write, queue, message, 0)] = position
                if not writing:
                    break
                ended, _ = wait(writing, timeout=deadline.remaining(), return_when=FIRST_COMPLETED)
                if not ended:
                    queue, _ = messages[next(iter(writing.values()))]
                    raise failure or _silent(queue, TimeoutError())
                for each in ended:
                    position = writing.pop(each)
                    try:
                        each.result()
                    except QueueUnavailable as error:
                        failure = failure or error
                    else:
                        on_written(position)
        finally:
            for each in writing:
                each.cancel()
        if failure:
            raise failure

    def _write(self, queue: str, message: str, delay: float) -> None:
        from azure.core.exceptions import AzureError  # noqa: PLC0415 - 60 ms, which HTTP requests do not need

        hidden = math.ceil(delay)
        lifetime = _NEVER if queue == REQUESTS else hidden + self._retention_seconds
        try:
            self._client(queue).send_message(
                message, visibility_timeout=hidden, time_to_live=lifetime
            )
        except (AzureError, IdentityUnavailable) as error:
            raise QueueUnavailable(
                f"The queue {queue} could not be written.", fix=_FIX, cause=root_cause(error)
            ) from None

    def length(self, queue: str, *, deadline: Deadline) -> int:
        """Give storage's estimate of the number of messages in a queue, including hidden ones.

        Raises:
            QueueUnavailable: if the queue does not exist, may not be read, or does not answer by
                the deadline.
        """
        from azure.core.exceptions import AzureError, HttpResponseError  # noqa: PLC0415 - as above

        wait = max(0.1, deadline.remaining())
        try:
            properties = self._client(queue).get_queue_properties(
                connection_timeout=wait, read_timeout=wait
            )
        except AzureError as error:
            status = error.status_code if isinstance(error, HttpResponseError) else None
            reasons = {403: "may not be read", 404: "does not exist"}
            raise QueueUnavailable(
                f"The queue {queue} {reasons.get(status or 0, 'does not answer')}.",
                fix=_FIX,
                cause=root_cause(error),
            ) from None
        return properties.approximate_message_count or 0

    def _client(self, queue: str) -> "QueueClient":
        with self._lock:
            if queue not in self._clients:
                self._clients[queue] = self._make_client(queue)
            return self._clients[queue]

    def _make_client(self, queue: str) -> "QueueClient":
        from azure.storage.queue import LinearRetry, QueueClient  # noqa: PLC0415 - as above

        options = {
            "transport": self._http.azure_transport(
                connect_seconds=_CONNECT_SECONDS, read_seconds=_READ_SECONDS
            ),
            # The library's own retries would occupy the thread for 15 seconds and more.
            "retry_policy": LinearRetry(backoff=1, random_jitter_range=1, retry_total=2),
        }
        if self._storage.connection_string is not None:
            return QueueClient.from_connection_string(
                self._storage.connection_string, queue, **options
            )
        return QueueClient(
            self._storage.queue_service_uri or "", queue, credential=self._identity, **options
        )
