"""The parts of a soak run: two hosts on the same queues, and services that fail on order."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from azure.storage.queue import QueueClient, QueueServiceClient

from dev.azurite import Azurite
from dev.host.host import Host
from dev.local_run import FUNCTION_KEY, MASTER_KEY, QUEUES, ROOT, sample_settings
from dev.stand_ins.authority import Authority
from dev.stand_ins.certificates import make_certificates
from dev.stand_ins.faults import (
    Close,
    CutBody,
    Delay,
    Drip,
    Hang,
    Random,
    Redirect,
    Reset,
    Status,
)
from dev.stand_ins.graph import Graph
from dev.stand_ins.graph_data import Meeting
from dev.stand_ins.graph_faults import throttle, unavailable
from dev.stand_ins.identity_endpoint import IdentityEndpoint
from dev.stand_ins.key_vault import KeyVault
from dev.stand_ins.name_server import NameServer
from dev.stand_ins.proxy import ConnectProxy
from dev.stand_ins.receiver import Receiver
from dev.stand_ins.tcp_proxy import TcpProxy

WORKERS = 2
ORGANIZERS, MEETINGS = 20, 200
FAULT_RATE = 0.2
GRAPH_TIMEOUT = 2  # seconds
LEASE = 10.0  # seconds
TOKEN_LIFETIME = 330  # seconds. The app renews a token five minutes before, so after 30 seconds
_TENANT_ID = "72f988bf-0000-4000-8000-000000000001"
_CLIENT_ID = "72f988bf-0000-4000-8000-000000000002"
_OBJECT_ID = "72f988bf-0000-4000-8000-000000000003"
_OVERRIDE = "AzureFunctionsJobHost__extensions__queues__"
_NAME = "soak.example"
"""A name of this machine, resolved by the name server if there is one."""
_SECRET_NAME = "delivery-soak"  # noqa: S105 - a name
_SECRET = "whsec_YSBzZWNyZXQgb2YgdGhlIHNvYWsncyBkZWxpdmVyaWVz"  # noqa: S105 - made up
_RECEIVER_FAULTS = (
    Status(500),
    Status(429, headers={"Retry-After": "2"}),
    Status(410),
    Redirect("http://127.0.0.1:9/"),
    Reset(),
    Close(),
    Hang(),
    Drip(1, part="head"),
)


class World:
    """The queue service and the identity endpoint, each behind a proxy, Graph, and two hosts.

    The identity endpoint and the steady receiver have names, if this user may run a name
    server. A context manager.

    Args:
        seed: The seed for Graph's faults.

    Attributes:
        graph: Microsoft Graph.
        names: The name server, if there is one.
        meetings: The meetings in Graph.
        hosts: Two hosts with the app.
        receivers: The receivers of outcomes: one that works, and one that often fails.
    """

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._parts = ExitStack()
        self._queue_proxy: TcpProxy
        self._identity_proxy: TcpProxy
        self._queues: Mapping[str, QueueClient] = {}
        self.names: NameServer | None = None
        self.graph: Graph
        self.meetings: list[Meeting] = []
        self.hosts: list[Host] = []
        self.receivers: dict[str, Receiver] = {}

    def __enter__(self) -> Self:
        with ExitStack() as parts:
            folder = Path(parts.enter_context(TemporaryDirectory(prefix="join-link-soak-")))
            authority = Authority(_TENANT_ID)
            identity = parts.enter_context(
                IdentityEndpoint(authority, client_id=_CLIENT_ID, object_id=_OBJECT_ID)
            )
            identity.lifetime = TOKEN_LIFETIME
            self._identity_proxy = parts.enter_context(TcpProxy(identity.port))
            with suppress(OSError):  # it needs Linux and root
                self.names = parts.enter_context(NameServer(folder))
            name = _NAME if self.names else "localhost"
            self.graph = parts.enter_context(Graph(authority))
            organizers = [
                self.graph.data.add_user(f"dr.{number}@clinic.example")
                for number in range(ORGANIZERS)
            ]
            self.meetings = [
                self.graph.data.add_meeting(organizers[number % ORGANIZERS])
                for number in range(MEETINGS)
            ]
            tls = make_certificates("*.vault.azure.net", name, folder=folder)
            vault = parts.enter_context(KeyVault(authority, tls=tls))
            vault.set_secret(_SECRET_NAME, _SECRET)
            proxy = parts.enter_context(ConnectProxy({vault.host: vault.port}))
            self.receivers = {
                "steady": parts.enter_context(Receiver(secret=_SECRET, tls=tls)),
                "flaky": parts.enter_context(Receiver(secret=_SECRET)),
            }
            urls = {
                "steady": self.receivers["steady"].url.replace("localhost", name),
                "flaky": self.receivers["flaky"].url,
            }
            azurite = parts.enter_context(Azurite(folder=folder))
            self._queue_proxy = parts.enter_context(TcpProxy(azurite.port))
            storage = parts.enter_context(
                QueueServiceClient.from_connection_string(azurite.connection_string)
            )
            self._queues = {name: storage.create_queue(name) for name in QUEUES}
            environment = {
                **self._environment(identity, azurite, name=name),
                **proxy.environment,
                "NO_PROXY": f"{proxy.environment['NO_PROXY']},{name}",
                "REQUESTS_CA_BUNDLE": str(tls.ca),
                "KEY_VAULT_URI": vault.url,
                "DELIVERIES": json.dumps(
                    {
                        receiver: {"url": url, "secret": _SECRET_NAME, "private": True}
                        for receiver, url in urls.items()
                    }
                ),
            }
            self.hosts = [
                parts.enter_context(
                    Host(
                        app=ROOT,
                        environment=environment,
                        lease=LEASE,
                        function_key=FUNCTION_KEY,
                        master_key=MASTER_KEY,
                        python=self.names.python if self.names else sys.executable,
                    )
                )
                for _ in range(WORKERS)
            ]
            self._parts = parts.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    def queue(self, name: str) -> QueueClient:
        """A client of a queue, not through the failing proxy."""
        return self._queues[name]

    def count(self, name: str) -> int:
        """The number of messages of a queue, with the hidden ones."""
        return self.queue(name).get_queue_properties().approximate_message_count or 0

    @contextmanager
    def graph_misbehaving(self) -> Iterator[None]:
        """Let Graph throttle, fail, reset, hang and cut bodies at random until the context ends."""
        faults = (
            throttle("1"),
            throttle(None),
            unavailable(503),
            unavailable(504),
            Reset(),
            Close(),
            CutBody(),
            CutBody(reset=False),
            Delay(2 * GRAPH_TIMEOUT),
        )
        self.graph.always(Random(rate=FAULT_RATE, faults=faults, seed=self._seed))
        self.receivers["flaky"].always(
            Random(rate=FAULT_RATE, faults=_RECEIVER_FAULTS, seed=self._seed)
        )
        try:
            yield
        finally:
            self.graph.clear_orders()
            self.receivers["flaky"].clear_orders()
            self.receivers["flaky"].release()

    def outages(self) -> dict[str, Callable[[], AbstractContextManager[None]]]:
        """The outages of the services. Each lasts until its context ends.

        A service that is away resets connections. A silent one accepts them and never answers.
        """
        outages: dict[str, Callable[[], AbstractContextManager[None]]] = {
            "identity away": self._identity_proxy.down,
            "queues away": self._queue_proxy.down,
            "identity silent": self._identity_proxy.stalled,
            "queues silent": self._queue_proxy.stalled,
        }
        return outages if self.names is None else {**outages, "names silent": self.names.silent}

    def _environment(
        self, identity: IdentityEndpoint, azurite: Azurite, *, name: str
    ) -> dict[str, str]:
        connection = azurite.connection_string.replace(
            f":{azurite.port}/", f":{self._queue_proxy.port}/"
        )
        endpoint = f"http://{name}:{self._identity_proxy.port}/msi/token"
        return {
            **sample_settings(),
            **identity.environment,
            "IDENTITY_ENDPOINT": endpoint,
            "AzureWebJobsStorage": connection,
            "GRAPH_ROOT": self.graph.url,
            "GRAPH_TIMEOUT_SECONDS": str(GRAPH_TIMEOUT),
            "MANAGED_IDENTITY_CLIENT_ID": _CLIENT_ID,
            f"{_OVERRIDE}visibilityTimeout": "00:00:02",
            f"{_OVERRIDE}maxPollingInterval": "00:00:01",
        }
