"""The app put together, once per process: nothing in here is done twice, and nothing too early."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared import telemetry
from shared.errors import Fault, SettingsInvalid
from shared.graph import Graph
from shared.identity import Identity
from shared.queues import Queues
from shared.resolver import Memory, Resolver
from shared.settings import Settings
from shared.sign_in import SignIn
from shared.strict_json import pointer
from shared.telemetry import Event
from shared.transport import Transport
from shared.trust import default_ca_bundle, without_ca_bundle

if TYPE_CHECKING:
    from shared.secret_store import SecretStore
    from shared.sources import Sources

_logger = logging.getLogger("virtual_appointment")
_LEAST_POOL = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the triggers call."""

    settings: Settings
    identity: Identity
    transport: Transport
    resolver: Resolver
    queues: Queues
    sources: "Sources | None"
    """None where the settings name no booking system."""
    secrets: "SecretStore | None"
    """None where the settings name no vault."""
    sign_in: SignIn | None
    """None where the host asks callers for a key."""

    @classmethod
    def from_settings(cls, settings: Settings, environment: Mapping[str, str]) -> "Services":
        """Build the services. Nothing outside is called yet.

        Raises:
            SettingsInvalid: if the certificate authorities cannot be read.
        """
        transport = _transport(environment)
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
            identity=identity,
            transport=transport,
            resolver=Resolver(
                graph=graph, memory=Memory(), derive_meeting_id=settings.derive_meeting_id
            ),
            queues=Queues(
                storage=settings.storage,
                identity=_storage_identity(settings, identity, environment),
                transport=transport,
            ),
            sources=_sources(settings),
            secrets=_secrets(settings, identity, transport),
            sign_in=_sign_in(settings, transport),
        )


class Application:
    """The services, or the reason why there are none.

    A fault in the settings must not be an exception while Functions loads the app: it would have
    no functions at all then, and nothing would say why.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.settings_error: SettingsInvalid | None = None
        self._services: Services | None = None
        self.callers_sign_in = environment.get("HTTP_AUTH", "").strip() == "entra"
        """Whether the host lets callers through, faulty settings or not."""
        try:
            self._services = Services.from_settings(Settings.from_env(environment), environment)
        except SettingsInvalid as error:
            self.settings_error = error
            for fault in error.faults:
                _logger.error("Setting %s: %s", fault.pointer, fault.detail)  # noqa: TRY400
            telemetry.emit(Event(event="settings.invalid", code=error.code))
        else:
            if self._services.sources is not None:
                _report_faulty_sources(self._services.sources)

    def services(self) -> Services:
        """Give the services.

        Raises:
            SettingsInvalid: if there are none.
        """
        if self._services is None:
            fault = self.settings_error or SettingsInvalid("The app has no settings.")
            raise SettingsInvalid(fault.detail, fix=fault.fix, faults=fault.faults)
        return self._services

    def sound_services(self) -> Services:
        """Give services for the diagnostics: with faulty settings, as if those were absent."""
        if self._services is not None:
            return self._services
        settings, _ = Settings.read(self.environment)
        try:
            return Services.from_settings(settings, self.environment)
        except SettingsInvalid:
            return Services.from_settings(settings, without_ca_bundle(self.environment))


def _report_faulty_sources(sources: "Sources") -> None:
    for name, faults in sources.faulty.items():
        for fault in faults:
            _logger.error("Webhook source %s, %s: %s", pointer(name), fault.pointer, fault.detail)
        telemetry.emit(Event(event="settings.invalid", code=SettingsInvalid.code, source=name))


def _sources(settings: Settings) -> "Sources | None":
    if not settings.webhook_sources:
        return None
    from shared.sources import read_sources  # noqa: PLC0415 - only where there are any

    return read_sources(settings.webhook_sources)


def _secrets(settings: Settings, identity: Identity, transport: Transport) -> "SecretStore | None":
    if settings.key_vault_uri is None:
        return None
    from shared.secret_store import SecretStore  # noqa: PLC0415 - as above

    return SecretStore(vault_uri=settings.key_vault_uri, identity=identity, transport=transport)


def _storage_identity(
    settings: Settings, identity: Identity, environment: Mapping[str, str]
) -> Identity:
    """Write to the queues as whom the trigger reads them: nearly always the app itself."""
    client_id = settings.storage.client_id
    if client_id is None or client_id == settings.managed_identity_client_id:
        return identity
    return Identity(client_id=client_id, environment=environment)


def _sign_in(settings: Settings, transport: Transport) -> SignIn | None:
    if settings.http_auth != "entra" or not (settings.entra_tenant_id and settings.entra_client_id):
        return None
    return SignIn(
        tenant_id=settings.entra_tenant_id,
        client_id=settings.entra_client_id,
        authority=settings.entra_authority,
        transport=transport,
    )


def _transport(environment: Mapping[str, str]) -> Transport:
    try:
        return Transport(
            pool_size=_pool_size(environment), ca_bundle=default_ca_bundle(environment)
        )
    except OSError:
        fault = Fault("REQUESTS_CA_BUNDLE", "Is no file or folder of certificate authorities.")
        raise SettingsInvalid(f"{fault.pointer}: {fault.detail}", faults=[fault]) from None


def _pool_size(environment: Mapping[str, str]) -> int:
    """As many connections as the worker has threads, so that none waits for another's."""
    threads = environment.get("PYTHON_THREADPOOL_THREAD_COUNT", "")
    return max(_LEAST_POOL, int(threads) if threads.isdecimal() else 0)
