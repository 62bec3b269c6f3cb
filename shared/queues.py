"""Writing to the storage queues, by the same connection as the trigger's."""

import threading
from typing import TYPE_CHECKING

from shared.errors import QueueUnavailable
from shared.identity import Identity
from shared.settings import StorageSettings
from shared.transport import Transport

if TYPE_CHECKING:
    from azure.storage.queue import QueueClient

REQUESTS = "join-link-requests"
RESULTS = "join-link-results"
DEAD_LETTERS = "join-link-dead-letters"

_NO_EXPIRY = -1
_CONNECT_SECONDS = 3
_READ_SECONDS = 5


class Queues:
    """The queues of the contract.

    Args:
        storage: a connection string, or an address that the identity may write to.
        identity: for a connection without a key.
        transport: the process's one.
    """

    def __init__(
        self, *, storage: StorageSettings, identity: Identity, transport: Transport
    ) -> None:
        self._storage = storage
        self._identity = identity
        self._transport = transport
        self._lock = threading.Lock()
        self._clients: dict[str, QueueClient] = {}

    def send(self, queue: str, message: str) -> None:
        """Write a message that never expires. When this returns, the queue has it.

        Raises:
            QueueUnavailable: if it could not be written; it may have been, so send it again.
        """
        from azure.core.exceptions import AzureError  # noqa: PLC0415 - 60 ms, and not for HTTP

        try:
            self._client(queue).send_message(message, time_to_live=_NO_EXPIRY)
        except AzureError:
            raise QueueUnavailable(
                f"The queue {queue} could not be written.",
                fix="Check that the queue exists and that the app's identity is Storage Queue Data "
                "Contributor on it.",
            ) from None

    def _client(self, queue: str) -> "QueueClient":
        with self._lock:
            if queue not in self._clients:
                self._clients[queue] = self._make_client(queue)
            return self._clients[queue]

    def _make_client(self, queue: str) -> "QueueClient":
        from azure.core.pipeline.transport import RequestsTransport  # noqa: PLC0415 - as above
        from azure.storage.queue import QueueClient  # noqa: PLC0415 - as above

        options = {
            "transport": RequestsTransport(session=self._transport.session, session_owner=False),
            "connection_timeout": _CONNECT_SECONDS,
            "read_timeout": _READ_SECONDS,
            "retry_total": 2,
            "retry_connect": 2,
        }
        if self._storage.connection_string is not None:
            return QueueClient.from_connection_string(
                self._storage.connection_string, queue, **options
            )
        return QueueClient(
            self._storage.queue_service_uri or "", queue, credential=self._identity, **options
        )
