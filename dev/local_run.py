"""The app on one machine, in its host, with real queues and stand-ins for the rest of Azure."""

import json
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from azure.storage.queue import QueueClient, QueueServiceClient

from dev.azurite import Azurite
from dev.booking_systems import SECRETS, SOURCES
from dev.clinic import Clinic
from dev.host.host import Host
from dev.host.logs import LogLine
from dev.stand_ins.authority import Authority
from dev.stand_ins.certificates import TlsFiles, make_certificates
from dev.stand_ins.entra import Entra, Registration
from dev.stand_ins.graph import Graph
from dev.stand_ins.graph_data import User
from dev.stand_ins.identity_endpoint import IdentityEndpoint
from dev.stand_ins.key_vault import KeyVault
from dev.stand_ins.proxy import ConnectProxy
from dev.stand_ins.tcp_proxy import TcpProxy

ROOT = Path(__file__).resolve().parents[1]
QUEUES = (
    "join-link-requests",
    "join-link-requests-poison",
    "join-link-results",
    "join-link-deliveries",
    "join-link-deliveries-poison",
    "join-link-dead-letters",
)
FUNCTION_KEY = "local-function-key"
DIAGNOSTICS_KEY = "local-diagnostics-key"
MASTER_KEY = "local-master-key"
_TENANT_ID = "72f988bf-0000-4000-8000-000000000001"
_CLIENT_ID = "72f988bf-0000-4000-8000-000000000002"
_REGISTRATION_ID = "72f988bf-0000-4000-8000-000000000004"
_OBJECT_ID = "72f988bf-0000-4000-8000-000000000003"


class LocalAzure:
    """The services that the app needs, on free loopback ports. A context manager.

    Args:
        settings: App settings that replace the local run's. None removes one.
        storage_by_identity: Reach the queues by managed identity over TLS, as in Azure, instead
            of by a connection string.
        every_storage_service: Serve blobs and tables as well, because Microsoft's host keeps its
            locks there.
        queue_proxy: Put `queue_proxy` between the queues and the app with its host.

    Attributes:
        authority: Signs the app's tokens and its callers'.
        entra: Publishes the keys of callers' tokens, and exchanges the tokens.
        registration: The app registration that callers sign in to.
        identity: The managed identity endpoint.
        graph: Microsoft Graph.
        clinic: The users and meetings in Graph.
        vault: Key Vault, with the webhooks' secrets.
        proxy: The HTTP proxy that the app uses. It leads to the vault and nowhere else.
        azurite: The queue service.
        queue_proxy: Can make the queue service unreachable for the app, or let it hang.
        tls: The certificates of this run.
    """

    def __init__(
        self,
        *,
        settings: Mapping[str, str | None] | None = None,
        storage_by_identity: bool = False,
        every_storage_service: bool = False,
        queue_proxy: bool = False,
    ) -> None:
        self._settings = dict(settings or {})
        self._behind_proxy = queue_proxy
        self._storage_by_identity = storage_by_identity
        self._every_storage_service = every_storage_service
        self._parts = ExitStack()
        self.authority = Authority(_TENANT_ID)
        self.entra: Entra
        self.registration: Registration
        self.identity: IdentityEndpoint
        self.graph: Graph
        self.clinic: Clinic
        self.vault: KeyVault
        self.proxy: ConnectProxy
        self.azurite: Azurite
        self.queue_proxy: TcpProxy
        self.tls: TlsFiles

    def __enter__(self) -> Self:
        """Start the services in the order of their dependencies.

        Raises:
            AzuriteError, HostError: A service did not start. No other is left running.
        """
        with ExitStack() as parts:
            self._start(parts)
            self._parts = parts.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    def queue(self, name: str) -> QueueClient:
        """Give a client of one queue, with the account's key."""
        return self._storage.get_queue_client(name)

    def token_of(self, person: User, **claims: Any) -> str:  # noqa: ANN401 - as claims are
        """Give a token with which a person calls an app that has HTTP_AUTH=entra."""
        return self.authority.issue_to_person(
            audience=self.registration.client_id, object_id=person.object_id, **claims
        )

    def environment(self) -> dict[str, str]:
        """Give the app settings: the sample's, then this run's addresses, then `settings`."""
        settings: dict[str, str | None] = {
            **sample_settings(),
            **self.identity.environment,
            **self.proxy.environment,
            **self._storage_settings(),
            "REQUESTS_CA_BUNDLE": str(self.tls.ca),
            "KEY_VAULT_URI": self.vault.url,
            "WEBHOOK_SOURCES": json.dumps(SOURCES),
            "GRAPH_ROOT": self.graph.url,
            **self._sign_in_settings(),
            "ENTRA_AUTHORITY": self.entra.url,
            "MANAGED_IDENTITY_CLIENT_ID": _CLIENT_ID,
            **self._settings,
        }
        return {name: value for name, value in settings.items() if value is not None}

    def _start(self, parts: ExitStack) -> None:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="join-link-")))
        self.tls = make_certificates("localhost", "127.0.0.1", "*.vault.azure.net", folder=folder)
        self.entra = parts.enter_context(Entra(self.authority))
        self.registration = self.entra.register(_REGISTRATION_ID, subject=_OBJECT_ID)
        self.identity = parts.enter_context(
            IdentityEndpoint(self.authority, client_id=_CLIENT_ID, object_id=_OBJECT_ID)
        )
        self.graph = parts.enter_context(Graph(self.authority))
        self.clinic = Clinic.open(self.graph.data)
        self.vault = parts.enter_context(KeyVault(self.authority, tls=self.tls))
        for name, value in SECRETS.items():
            self.vault.set_secret(name, value)
        self.proxy = parts.enter_context(ConnectProxy({self.vault.host: self.vault.port}))
        self.azurite = parts.enter_context(
            Azurite(
                folder=folder,
                tls=self.tls if self._storage_by_identity else None,
                every_service=self._every_storage_service,
            )
        )
        if self._behind_proxy:
            self.queue_proxy = parts.enter_context(TcpProxy(self.azurite.port))
        self._storage = parts.enter_context(self._queue_service())
        for name in QUEUES:
            self._storage.create_queue(name)

    def _sign_in_settings(self) -> dict[str, str | None]:
        if self._settings.get("HTTP_AUTH") != "entra":
            return {}
        return {
            "ENTRA_TENANT_ID": _TENANT_ID,
            "ENTRA_CLIENT_ID": self.registration.client_id,
        }

    def _storage_settings(self) -> dict[str, str | None]:
        real = f":{self.azurite.port}/"
        seen = f":{self.queue_proxy.port}/" if self._behind_proxy else real
        if not self._storage_by_identity:
            return {"AzureWebJobsStorage": self.azurite.connection_string.replace(real, seen)}
        return {
            "AzureWebJobsStorage": None,
            "AzureWebJobsStorage__queueServiceUri": self.azurite.queue_service_uri.replace(
                real, seen
            ),
            "AzureWebJobsStorage__credential": "managedidentity",
            "AzureWebJobsStorage__clientId": _CLIENT_ID,
        }

    def _queue_service(self) -> QueueServiceClient:
        verify = str(self.tls.ca) if self._storage_by_identity else True
        return QueueServiceClient.from_connection_string(
            self.azurite.connection_string, connection_verify=verify
        )


class LocalApp(LocalAzure, ABC):
    """The app in a host, with the services that it needs. A context manager."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The app's address, without `/api`."""


class LocalRun(LocalApp):
    """The app in the project's own host, with the services that it needs. A context manager.

    Args:
        settings: As for LocalAzure.
        storage_by_identity: As for LocalAzure.
        queue_proxy: As for LocalAzure.
        port: The port of the app; 0 for any free port.
        lease: How long a queue message is hidden while its function runs, in seconds.
        on_log: Is called with each log line.

    Attributes:
        host: The host of the app. The other attributes are LocalAzure's.
    """

    def __init__(
        self,
        *,
        settings: Mapping[str, str | None] | None = None,
        storage_by_identity: bool = False,
        queue_proxy: bool = False,
        port: int = 0,
        lease: float = 600.0,
        on_log: Callable[[LogLine], None] | None = None,
    ) -> None:
        super().__init__(
            settings=settings, storage_by_identity=storage_by_identity, queue_proxy=queue_proxy
        )
        self._port = port
        self._lease = lease
        self._on_log = on_log
        self.host: Host

    @property
    def url(self) -> str:
        """The app's address, without `/api`."""
        return self.host.url

    def _start(self, parts: ExitStack) -> None:
        super()._start(parts)
        self.host = parts.enter_context(
            Host(
                app=ROOT,
                environment=self.environment(),
                port=self._port,
                lease=self._lease,
                function_key=FUNCTION_KEY,
                master_key=MASTER_KEY,
                function_keys={"diagnostics": DIAGNOSTICS_KEY},
                on_log=self._on_log,
            )
        )


def sample_settings() -> dict[str, str]:
    """Read the values of local.settings.sample.json."""
    text = (ROOT / "local.settings.sample.json").read_text(encoding="utf-8")
    values: dict[str, str] = json.loads(text)["Values"]
    return values
