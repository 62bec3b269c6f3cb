"""An app with destinations, queues in memory, and the messages of its delivery queue."""

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from shared.app import Application, Services
from shared.core.deadline import Deadline
from shared.core.errors import SecretsUnavailable
from shared.deliveries.delivery import Delivery
from shared.handlers import deliveries
from shared.identity.key_vault import SecretStore
from shared.meetings.models import Correlation, Outcome
from shared.meetings.resolver import Resolver
from shared.queues import messages
from shared.queues.client import DELIVERIES
from shared.queues.messages import QueueMessage
from tests.unit.memory_queues import COMPLETE, LINK, START, MemoryQueues

SECRET = f"whsec_{base64.b64encode(b'c' * 32).decode()}"
OLD_SECRET = f"whsec_{base64.b64encode(b'o' * 32).decode()}"
NOBODY = "http://127.0.0.1:9/"
"""An address at which nothing listens."""


class Secrets(SecretStore):
    """A vault in memory.

    Args:
        values: Of each secret, the newest version first.

    Attributes:
        away: The secrets that cannot be read.
    """

    def __init__(self, values: Mapping[str, tuple[str, ...]]) -> None:
        self.values = dict(values)
        self.away: set[str] = set()

    def current(self, name: str, *, deadline: Deadline) -> tuple[str, ...]:  # noqa: ARG002 - as it is
        """Give a secret's values."""
        if name in self.away:
            raise SecretsUnavailable("Key Vault did not give the secret.")
        return self.values.get(name, ())


def destination(url: str = NOBODY, **members: Any) -> dict[str, Any]:  # noqa: ANN401
    """Make an entry of DELIVERIES for a receiver on this machine."""
    entry = {"url": url, "secret": "delivery-crm", "private": True, **members}
    return {name: value for name, value in entry.items() if value is not None}


def services_for(
    queues: MemoryQueues,
    destinations: Mapping[str, Any],
    *,
    resolver: Resolver | None = None,
    secrets: SecretStore | None = None,
    **settings: str,
) -> Services:
    """Put the app together, with its queues in memory."""
    environment = {
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "KEY_VAULT_URI": "https://clinic.vault.azure.net",
        "DELIVERIES": json.dumps(destinations),
        **settings,
    }
    services = Application(environment).services()
    return replace(
        services,
        queues=queues,
        secrets=secrets or Secrets({"delivery-crm": (SECRET,)}),
        resolver=resolver or services.resolver,
    )


def event(error: Exception | None = None, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    """Make an outcome: resolved, or failed with the given error."""
    correlation = Correlation(request_id="booking-1", context={"patient": 7})
    outcome = Outcome.of(correlation, error or LINK)
    return messages.to_event(outcome, **{"time": START, "attempts": 1, **options})


def message(name: str = "crm", made: dict[str, Any] | None = None) -> bytes:
    """Write a delivery of an outcome as the app does."""
    return (
        Delivery(destination=name, event=made or event(), caller_name="queue").to_message().encode()
    )


def deliver(
    services: Services,
    queues: MemoryQueues,
    body: bytes,
    *,
    action: Callable[..., None] = deliveries.process,
    dequeue_count: int = 1,
    age: float = 0,
) -> None:
    """Process a message of the given age in seconds, and complete it as the host would."""
    message = QueueMessage(
        body=body,
        message_id="message-1",
        dequeue_count=dequeue_count,
        inserted_on=time.time() - age,
    )
    action(services, message)
    queues.journal.append(COMPLETE)


def put_back(queues: MemoryQueues) -> bytes:
    """Give the message that was put back on the delivery queue."""
    (again,) = queues.on(DELIVERIES)
    return again.text.encode()
