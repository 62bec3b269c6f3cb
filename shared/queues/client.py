"""Writing to the storage queues, now or later, by the same connection as the trigger's."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
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
"""As many as the worker has threads, so that none waits for another's write."""
_FIX = (
    "Check that the queue exists and that the app's identity is Storage Queue Data Contributor on "
    "it."
)


class Queues:
    """The queues of the contract.

    Args:
        storage: a connection string, or an address that the identity may write to.
        identity: for a connection without a key.
        http: the process's HTTP client.
        retention_days: for how long results, dead letters and deliveries are kept.
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

        A request never expires: it was accepted. Every other message does, when it has been there
        to be read for the days of retention: its delay comes on top, so that a retry is never lost.

        A thread of its own writes, so that whatever hangs holds up nobody past the deadline.

        Args:
            queue: its name.
            message: the text, at most 64 KiB.
            deadline: how long the caller can wait.
            delay: seconds for which nobody sees it; a week at most.

        Raises:
            QueueUnavailable: if it could not be written; it may have been, so send it again.
        """
        writing = self._writers.submit(copy_context().run, self._write, queue, message, delay)
        try:
            writing.result(timeout=deadline.remaining())
        except TimeoutError as error:
            writing.cancel()  # if it has not begun
            raise QueueUnavailable(
                f"The queue {queue} does not answer.", fix=_FIX, cause=root_cause(error)
            ) from None

    def _write(self, queue: str, message: str, delay: float) -> None:
        from azure.core.exceptions import AzureError  # noqa: PLC0415 - 60 ms, and not for HTTP

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
        """Count a queue's messages, hidden ones too, as storage estimates it.

        Raises:
            QueueUnavailable: if it is not there, may not be read, or does not answer in time.
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
            # The library's own waits, of 15 seconds and more, would hold a thread for them.
            "retry_policy": LinearRetry(backoff=1, random_jitter_range=1, retry_total=2),
        }
        if self._storage.connection_string is not None:
            return QueueClient.from_connection_string(
                self._storage.connection_string, queue, **options
            )
        return QueueClient(
            self._storage.queue_service_uri or "", queue, credential=self._identity, **options
        )
