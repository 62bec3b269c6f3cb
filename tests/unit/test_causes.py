"""The log says why a dependency gave no response, by the type of the innermost exception."""

import dataclasses
import json
import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from dev.stand_ins.authority import Authority
from dev.stand_ins.certificates import TlsFiles, make_certificates
from dev.stand_ins.faults import Body, Reset
from dev.stand_ins.identity_endpoint import IdentityEndpoint
from shared.app import Application
from shared.core import telemetry
from shared.core.deadline import Deadline, RequestStats
from shared.core.errors import (
    IdentityUnavailable,
    QueueUnavailable,
    SecretsUnavailable,
    ServiceError,
    root_cause,
)
from shared.core.http_client import MAX_BODY_BYTES, HttpClient
from shared.core.settings import StorageSettings
from shared.graph.client import GraphClient
from shared.handlers import join_links, webhooks
from shared.identity.jwks import SigningKeys
from shared.identity.key_vault import SecretStore
from shared.identity.managed_identity import ManagedIdentity
from shared.meetings.resolver import Cache, Resolver
from shared.queues.client import REQUESTS, Queues
from tests.unit.events import emitted
from tests.unit.fake_identity import make_identity
from tests.unit.scripted_server import ScriptedServer, answer, cut, hang_up, keep_silent
from tests.unit.vault import vault_world

GRAPH_SCOPE = "https://graph.microsoft.com/.default"
ID = "20000000-0000-4000-8000-000000000002"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """An authority that the app trusts, and a certificate for `localhost` alone."""
    return make_certificates("localhost", folder=tmp_path_factory.mktemp("tls"))


@pytest.fixture
def http(files: TlsFiles) -> Iterator[HttpClient]:
    """The way out."""
    client = HttpClient(pool_size=4, ca_bundle=str(files.ca))
    yield client
    client.session.close()


@pytest.fixture
def closed() -> str:
    """An address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"127.0.0.1:{listening.getsockname()[1]}"


def reset(connection: socket.socket) -> None:
    """Reset the connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def note(error: ServiceError) -> str | None:
    """Give the note of the event of a request that ended in this error."""
    event = telemetry.outcome_event(
        "http", error, Deadline(seconds=1), RequestStats(), request_id="r"
    )
    return event.note


def graph_root(name: str, files: TlsFiles, closed: str, servers: ExitStack) -> str:
    """Give a root where Graph fails in this way."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files.certificate)
    huge = answer(200, b"x" * (MAX_BODY_BYTES + 1))
    replies = {
        "SSLCertVerificationError": answer(200),
        "SSLEOFError": cut(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
        "ConnectionResetError": reset,
        "RemoteDisconnected": hang_up,
        "TimeoutError": keep_silent,
        "ResponseTooLarge": huge,
    }
    if name == "gaierror":
        return "https://no-such-host.invalid"
    if name == "ConnectionRefusedError":
        return f"https://{closed}"
    secure = name.startswith("SSL")
    server = servers.enter_context(ScriptedServer(replies[name], tls=tls if secure else None))
    if name == "SSLEOFError":
        return f"https://localhost:{server.port}"
    return server.url


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        ("gaierror", "graph_unavailable"),
        ("ConnectionRefusedError", "graph_unavailable"),
        ("SSLCertVerificationError", "graph_unavailable"),
        ("SSLEOFError", "graph_unavailable"),
        ("ConnectionResetError", "graph_unavailable"),
        ("RemoteDisconnected", "graph_unavailable"),
        ("TimeoutError", "graph_timeout"),
        ("ResponseTooLarge", "graph_unexpected"),
    ],
)
def test_the_event_says_why_graph_gave_no_answer(
    http: HttpClient,
    files: TlsFiles,
    closed: str,
    servers: ExitStack,
    caplog: pytest.LogCaptureFixture,
    *,
    cause: str,
    code: str,
) -> None:
    """In its note. The caller sees only the code."""
    graph = GraphClient(
        root=graph_root(cause, files, closed, servers),
        version="v1.0",
        client_id=None,
        http=http,
        identity=make_identity(),
        sleep=lambda _: None,
    )
    settings = {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "GRAPH_TIMEOUT_SECONDS": "1"}
    application = Application(settings)
    application._services = dataclasses.replace(
        application.services(),
        resolver=Resolver(graph=graph, cache=Cache(), derive_meeting_id=False),
    )
    body = json.dumps({"userId": ID, "onlineMeetingId": "M1"}).encode()

    answered = join_links.join_link(application, {"content-type": "application/json"}, body)

    assert json.loads(answered.body)["code"] == code
    event = emitted(caplog)[-1]
    assert (event["code"], event["note"]) == (code, cause)
    assert cause not in answered.body.decode()


def test_an_event_says_why_there_is_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the exception inside azure-identity's."""
    with IdentityEndpoint(Authority(ID), client_id=ID, object_id=ID) as endpoint:
        for name, value in endpoint.environment.items():
            monkeypatch.setenv(name, value)
        endpoint.always(Reset())
        identity = ManagedIdentity(client_id=None, environment=endpoint.environment)
        with pytest.raises(IdentityUnavailable) as raised:
            identity.token(GRAPH_SCOPE, deadline=Deadline(seconds=20))
    assert note(raised.value) == "ConnectionResetError"


def test_an_event_says_that_a_token_took_too_long() -> None:
    """If the identity endpoint does not answer."""

    def hang() -> Any:  # noqa: ANN401 - makes no credential
        never.wait(1)
        raise OSError

    never = threading.Event()
    identity = ManagedIdentity(client_id=None, environment={}, make_credential=hang)
    with pytest.raises(IdentityUnavailable) as raised:
        identity.token(GRAPH_SCOPE, deadline=Deadline(seconds=0.1))
    never.set()
    assert note(raised.value) == "TimeoutError"


def test_an_event_says_why_there_are_no_signing_keys(http: HttpClient, closed: str) -> None:
    """The app cannot check any token then."""
    keys = SigningKeys(url=f"https://{closed}/keys", http=http)
    with pytest.raises(IdentityUnavailable) as raised:
        keys.find("k", deadline=Deadline(seconds=5))
    assert note(raised.value) == "ConnectionRefusedError"


def test_an_event_says_that_an_answer_held_no_signing_keys(
    http: HttpClient, servers: ExitStack
) -> None:
    """The authority answered, but without keys."""
    server = servers.enter_context(ScriptedServer(answer(200, b"{}")))
    with pytest.raises(IdentityUnavailable) as raised:
        SigningKeys(url=server.url, http=http).find("k", deadline=Deadline(seconds=5))
    assert note(raised.value) == "NoSigningKeys"


def test_a_webhooks_event_says_why_there_is_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log does so as well, once for each failed read."""
    with vault_world(tmp_path) as world:
        for name, value in world.environment.items():
            monkeypatch.setenv(name, value)
        world.vault.always(Reset())
        source = {"preset": "standard", "secret": "own"}
        application = Application(
            {
                **world.environment,
                "AzureWebJobsStorage": "UseDevelopmentStorage=true",
                "WEBHOOK_SOURCES": json.dumps({"own": source}),
            }
        )
        headers = {
            "webhook-id": "1",
            "webhook-timestamp": str(int(time.time())),
            "webhook-signature": "v1,AAAA",
        }
        answered = webhooks.receive(application, "own", headers, b"{}")
        application.services().http.session.close()
    assert answered.status == 503
    event = emitted(caplog)[-1]
    assert event["code"] == "secrets_unavailable"
    # The proxy on the way may end the connection before it is reset.
    assert event["note"] in ("ConnectionResetError", "SSLEOFError")
    assert caplog.text.count(f"The read of a secret failed: {event['note']}") == 1


def test_an_event_says_why_there_is_no_secret_without_a_token(http: HttpClient) -> None:
    """The cause is that of the failed token request."""

    def fail() -> Any:  # noqa: ANN401 - makes no credential
        raise ConnectionRefusedError

    identity = ManagedIdentity(client_id=None, environment={}, make_credential=fail)
    store = SecretStore(vault_uri="https://v.vault.azure.net", identity=identity, http=http)
    store._versions = lambda _: identity.token(GRAPH_SCOPE, deadline=Deadline(seconds=5))  # type: ignore[assignment, method-assign, return-value]
    with pytest.raises(SecretsUnavailable) as raised:
        store.current("own", deadline=Deadline(seconds=5))
    assert note(raised.value) == "ConnectionRefusedError"


@pytest.mark.parametrize("cause", ["ConnectionRefusedError", "TimeoutError"])
def test_an_event_says_why_a_queue_could_not_be_written(
    http: HttpClient, closed: str, servers: ExitStack, cause: str
) -> None:
    """The connection is refused, or there is no response."""
    silent = servers.enter_context(ScriptedServer(keep_silent))
    host = closed if cause == "ConnectionRefusedError" else f"127.0.0.1:{silent.port}"
    connection = (
        f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YWJj;QueueEndpoint=http://{host}/a"
    )
    storage = StorageSettings(connection_string=connection)
    queues = Queues(storage=storage, identity=make_identity(), http=http, retention_days=30)
    seconds = 30 if cause == "ConnectionRefusedError" else 0.3
    with pytest.raises(QueueUnavailable) as raised:
        queues.send(REQUESTS, "{}", deadline=Deadline(seconds=seconds))
    assert note(raised.value) == cause
    with pytest.raises(QueueUnavailable) as raised:
        queues.length(REQUESTS, deadline=Deadline(seconds=0.3))
    assert note(raised.value) == cause


def test_the_innermost_exception_is_found_however_it_is_wrapped(closed: str) -> None:
    """As a cause, as an argument, or as azure-core wraps it."""
    with pytest.raises(requests.ConnectionError) as raised:
        requests.get(f"http://{closed}/canary", timeout=5)
    assert root_cause(raised.value) == "ConnectionRefusedError"
    assert root_cause(ValueError("text")) == "ValueError"
    unavailable = IdentityUnavailable("No.", cause="TimeoutError")
    assert root_cause(RuntimeError("text", unavailable)) == "TimeoutError"
    assert root_cause(IdentityUnavailable("No.")) == "IdentityUnavailable"


def test_azure_identitys_warnings_are_not_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They quote the endpoint's response, which may hold a part of a token."""
    logger = logging.getLogger("azure.identity")
    level = logger.level
    telemetry.configure_logging()
    try:
        with IdentityEndpoint(Authority(ID), client_id=ID, object_id=ID) as endpoint:
            for name, value in endpoint.environment.items():
                monkeypatch.setenv(name, value)
            endpoint.always(Body(b'{"access_token": "canary'))
            identity = ManagedIdentity(client_id=None, environment=endpoint.environment)
            with pytest.raises(IdentityUnavailable) as raised:
                identity.token(GRAPH_SCOPE, deadline=Deadline(seconds=5))
        assert raised.value.cause == "JSONDecodeError"
        assert "canary" not in caplog.text
    finally:
        logger.setLevel(level)
