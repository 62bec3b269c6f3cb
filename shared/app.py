"""Builds the app's services once per process."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.core.errors import SettingsInvalid
from shared.core.http_client import HttpClient
from shared.core.settings import Settings
from shared.core.strict_json import FieldError
from shared.core.telemetry import Event, EventLimiter
from shared.graph.client import GraphClient
from shared.identity.bearer_tokens import SignIn
from shared.identity.managed_identity import ManagedIdentity
from shared.meetings.resolver import Cache, Resolver
from shared.queues.client import Queues

if TYPE_CHECKING:
    from shared.deliveries.destinations import Destinations
    from shared.deliveries.sender import Sender
    from shared.identity.key_vault import SecretStore
    from shared.identity.on_behalf_of import OnBehalfOf
    from shared.webhooks.sources import Sources

_LEAST_POOL = 32
_LONGEST_NAME = 64
_CA_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""The names under which requests and curl look for a bundle of certificate authorities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The services that the triggers use."""

    settings: Settings
    identity: ManagedIdentity
    http: HttpClient
    resolver: Resolver
    queues: Queues
    sources: "Sources | None"
    """None where the settings name no booking system."""
    destinations: "Destinations | None"
    """None where the settings name no destination."""
    sender: "Sender | None"
    """None where the settings name no destination."""
    secrets: "SecretStore | None"
    """None where the settings name no vault."""
    sign_in: SignIn | None
    """None where callers use function keys (HTTP_AUTH=key)."""
    on_behalf_of: "OnBehalfOf | None"
    """None where callers use function keys."""
    event_limiter: EventLimiter
    """Among them the field errors of invalid sources and destinations."""

    @classmethod
    def from_settings(cls, settings: Settings, environment: Mapping[str, str]) -> "Services":
        """Build the services. This calls nothing over the network.

        Raises:
            SettingsInvalid: if the bundle of certificate authorities cannot be read.
        """
        http = _http_client(environment)
        client_id = settings.managed_identity_client_id
        identity = ManagedIdentity(client_id=client_id, environment=environment)
        sign_in, on_behalf_of = _sign_in(settings, http, identity)
        sources, destinations = _sources(settings), _destinations(settings)
        graph = GraphClient(
            root=settings.graph_root,
            version=settings.graph_version,
            client_id=client_id,
            http=http,
            identity=identity,
            on_behalf_of=on_behalf_of,
        )
        return cls(
            settings=settings,
            identity=identity,
            http=http,
            resolver=Resolver(
                graph=graph,
                cache=Cache(),
                derive_meeting_id=settings.derive_meeting_id,
                tenant_id=settings.entra_tenant_id,
            ),
            queues=Queues(
                storage=settings.storage,
                identity=_storage_identity(settings, identity, environment),
                http=http,
                retention_days=settings.retention_days,
            ),
            sources=sources,
            destinations=destinations,
            sender=_sender(settings, http),
            secrets=_secrets(settings, identity, http),
            sign_in=sign_in,
            on_behalf_of=on_behalf_of,
            event_limiter=EventLimiter(_faults_of_entries(sources, destinations)),
        )


class Application:
    """The services, or the error in the settings because of which there are none.

    An exception while Functions loads the app would leave the app without any function, and nothing
    would show why. So an error in the settings is kept here instead.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.settings_error: SettingsInvalid | None = None
        self._services: Services | None = None
        self.callers_sign_in = environment.get("HTTP_AUTH", "").strip() == "entra"
        """Whether callers sign in with Entra. It is known even if other settings are invalid."""
        try:
            self._services = Services.from_settings(Settings.from_env(environment), environment)
        except SettingsInvalid as error:
            self.settings_error = error
            self.event_limiter = EventLimiter(_faults(error.field_errors))
        else:
            self.event_limiter = self._services.event_limiter

    def services(self) -> Services:
        """Give the services.

        Raises:
            SettingsInvalid: if the settings are invalid.
        """
        if self._services is None:
            error = self.settings_error
            assert error is not None  # noqa: S101 - there are the services or this error
            # A new one each time: threads that raise the same object write to the same traceback.
            raise SettingsInvalid(error.detail, fix=error.fix, field_errors=error.field_errors)
        return self._services

    def services_for_diagnostics(self) -> Services:
        """Give services for the diagnostics. Invalid settings count as absent."""
        if self._services is not None:
            return self._services
        settings, _ = Settings.read(self.environment)
        try:
            return Services.from_settings(settings, self.environment)
        except SettingsInvalid:
            # The only remaining error is in the bundle of certificate authorities.
            without = {
                name: self.environment[name] for name in {*self.environment} - {*_CA_BUNDLES}
            }
            return Services.from_settings(settings, without)


def _faults(
    field_errors: Iterable[FieldError], *, source: str | None = None, destination: str | None = None
) -> list[Event]:
    return [
        Event(
            event="settings.invalid",
            code=SettingsInvalid.code,
            source=source,
            destination=destination,
            note=str(field_error),
        )
        for field_error in field_errors
    ]


def _faults_of_entries(
    sources: "Sources | None", destinations: "Destinations | None"
) -> list[Event]:
    """Make the events of webhook sources and destinations that are disabled."""
    faults: list[Event] = []
    if sources is not None:
        for name, field_errors in sources.invalid.items():
            faults += _faults(field_errors, source=name[:_LONGEST_NAME])
    if destinations is not None:
        for name, field_errors in destinations.invalid.items():
            faults += _faults(field_errors, destination=name[:_LONGEST_NAME])
    return faults


def _sources(settings: Settings) -> "Sources | None":
    if not settings.webhook_sources:
        return None
    from shared.webhooks.sources import read_sources  # noqa: PLC0415 - only where there are any

    return read_sources(settings.webhook_sources)


def _destinations(settings: Settings) -> "Destinations | None":
    if not settings.deliveries:
        return None
    from shared.deliveries.destinations import read_destinations  # noqa: PLC0415 - as above

    return read_destinations(settings.deliveries)


def _sender(settings: Settings, http: HttpClient) -> "Sender | None":
    if not settings.deliveries:
        return None
    from shared.deliveries.sender import Sender  # noqa: PLC0415 - as above

    return Sender(context=http.context)


def _secrets(
    settings: Settings, identity: ManagedIdentity, http: HttpClient
) -> "SecretStore | None":
    if settings.key_vault_uri is None:
        return None
    from shared.identity.key_vault import SecretStore  # noqa: PLC0415 - as above

    return SecretStore(vault_uri=settings.key_vault_uri, identity=identity, http=http)


def _storage_identity(
    settings: Settings, identity: ManagedIdentity, environment: Mapping[str, str]
) -> ManagedIdentity:
    """Give the identity for writing to the queues: the one by which the trigger reads them."""
    client_id = settings.storage.client_id
    if client_id is None or client_id == settings.managed_identity_client_id:
        return identity
    return ManagedIdentity(client_id=client_id, environment=environment)


def _sign_in(
    settings: Settings, http: HttpClient, identity: ManagedIdentity
) -> "tuple[SignIn, OnBehalfOf] | tuple[None, None]":
    """Give what checks callers' tokens, and what asks Graph on a person's behalf."""
    tenant_id, client_id = settings.entra_tenant_id, settings.entra_client_id
    if settings.http_auth != "entra" or not (tenant_id and client_id):
        return None, None
    from shared.identity.on_behalf_of import OnBehalfOf  # noqa: PLC0415 - only with HTTP_AUTH=entra

    authority = settings.entra_authority
    return (
        SignIn(tenant_id=tenant_id, client_id=client_id, authority=authority, http=http),
        OnBehalfOf(
            tenant_id=tenant_id,
            client_id=client_id,
            authority=authority,
            http=http,
            identity=identity,
        ),
    )


def _http_client(environment: Mapping[str, str]) -> HttpClient:
    ca_bundle = next(filter(None, map(environment.get, _CA_BUNDLES)), None)
    try:
        return HttpClient(pool_size=_pool_size(environment), ca_bundle=ca_bundle)
    except OSError:
        field_error = FieldError(
            "REQUESTS_CA_BUNDLE", "Is no file or folder of certificate authorities."
        )
        raise SettingsInvalid(str(field_error), field_errors=[field_error]) from None


def _pool_size(environment: Mapping[str, str]) -> int:
    """Give as many connections as the worker has threads, so that no thread waits for one."""
    threads = environment.get("PYTHON_THREADPOOL_THREAD_COUNT", "")
    return max(_LEAST_POOL, int(threads) if threads.isdecimal() else 0)
