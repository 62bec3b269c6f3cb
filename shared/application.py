"""The app put together, once per process: nothing in here is done twice, and nothing too early."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from shared import telemetry
from shared.errors import SettingsInvalid
from shared.graph import Graph
from shared.identity import Identity
from shared.queues import Queues
from shared.resolver import Memory, Resolver
from shared.settings import Settings
from shared.telemetry import Event
from shared.transport import Transport, default_ca_bundle

_logger = logging.getLogger("virtual_appointment")
_LEAST_POOL = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the triggers call."""

    settings: Settings
    resolver: Resolver
    queues: Queues

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> "Services":
        """Build the services. Nothing outside is called yet.

        Raises:
            SettingsInvalid: if a setting is faulty.
        """
        settings = Settings.from_env(environment)
        transport = Transport(
            pool_size=_pool_size(environment), ca_bundle=default_ca_bundle(environment)
        )
        client_id = settings.managed_identity_client_id
        identity = Identity(client_id=client_id, environment=environment)
        graph = Graph(
            root=settings.graph_root,
            version=settings.graph_version,
            client_id=client_id,
            transport=transport,
            identity=identity,
        )
        return cls(
            settings=settings,
            resolver=Resolver(
                graph=graph, memory=Memory(), derive_meeting_id=settings.derive_meeting_id
            ),
            queues=Queues(storage=settings.storage, identity=identity, transport=transport),
        )


class Application:
    """The services, or the reason why there are none.

    A fault in the settings must not be an exception while Functions loads the app: it would have
    no functions at all then, and nothing would say why.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.settings_error: SettingsInvalid | None = None
        self._services: Services | None = None
        try:
            self._services = Services.from_env(environment)
        except SettingsInvalid as error:
            self.settings_error = error
            for fault in error.faults:
                _logger.error("Setting %s: %s", fault.pointer, fault.detail)  # noqa: TRY400
            telemetry.emit(Event(event="settings.invalid", code=error.code))

    def services(self) -> Services:
        """Give the services.

        Raises:
            SettingsInvalid: if there are none.
        """
        if self._services is None:
            fault = self.settings_error or SettingsInvalid("The app has no settings.")
            raise SettingsInvalid(fault.detail, fix=fault.fix, faults=fault.faults)
        return self._services


def _pool_size(environment: Mapping[str, str]) -> int:
    """As many connections as the worker has threads, so that none waits for another's."""
    threads = environment.get("PYTHON_THREADPOOL_THREAD_COUNT", "")
    return max(_LEAST_POOL, int(threads) if threads.isdecimal() else 0)
