"""Sending a delivery: allowed addresses, the bytes that are sent, and the time limits."""

import queue
import socket
import ssl
import threading
from contextlib import ExitStack

import pytest

from dev.stand_ins.certificates import TlsFiles, make_certificates
from dev.stand_ins.listener import Listener
from dev.stand_ins.proxy import ConnectProxy
from shared.core.deadline import Deadline
from shared.core.http_client import ConnectionFailed, DeadlineExceeded
from shared.core.tls import make_context
from shared.deliveries.addresses import AddressNotAllowed
from shared.deliveries.destinations import Endpoint
from shared.deliveries.sender import (
    MAX_ANSWER_BYTES,
    MOST_AT_ONCE,
    DestinationBusy,
    Receipt,
    Sender,
    resolve,
)
from tests.unit.scripted_server import (
    Reply,
    ScriptedServer,
    answer,
    cut,
    drip,
    hang_up,
)

BODY = b'{"type": "join_link.resolved"}'
PUBLIC = "93.184.215.14"
SECRET_PATH = "/hooks/%2f..//x?sig=canary%3D&b=%zz"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """An authority, and a certificate for one name and no address."""
    return make_certificates("localhost", folder=tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def tls(files: TlsFiles) -> ssl.SSLContext:
    """What a server with that certificate needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate)
    return context


@pytest.fixture(scope="module")
def trusting(files: TlsFiles) -> ssl.SSLContext:
    """What a client has that trusts that authority."""
    return make_context(str(files.ca))


def serve(servers: ExitStack, *replies: Reply, tls: ssl.SSLContext | None = None) -> ScriptedServer:
    """Start a server."""
    return servers.enter_context(ScriptedServer(*replies, tls=tls))


def at(server: ScriptedServer, path: str = SECRET_PATH) -> Endpoint:
    """Give a server's endpoint, by its name."""
    url = f"{server.url}{path}".replace("127.0.0.1", "localhost")
    return Endpoint.parse(url, private=True)


def post(
    sender: Sender, endpoint: Endpoint, *, private: bool = True, seconds: float = 10
) -> Receipt:
    """Post once."""
    return sender.post(
        endpoint,
        private=private,
        headers={"Content-Type": "application/json", "webhook-id": "msg_1"},
        body=BODY,
        deadline=Deadline(seconds=seconds),
    )


def test_a_delivery_goes_out_as_it_was_written(
    servers: ExitStack, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """Target, host and headers, over TLS that verifies the receiver's name."""
    server = serve(servers, answer(204, b""), tls=tls)

    receipt = post(Sender(context=trusting), at(server))

    assert receipt == Receipt(204, None)
    assert server.targets == [SECRET_PATH]
    sent = server.headers()
    assert sent.pop("user-agent")
    assert sent == {
        "host": f"localhost:{server.port}",
        "connection": "close",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": str(len(BODY)),
        "webhook-id": "msg_1",
    }


@pytest.mark.parametrize("status", [200, 302, 307, 410, 429, 500])
def test_each_status_is_given_and_no_redirect_is_followed(
    servers: ExitStack, trusting: ssl.SSLContext, status: int
) -> None:
    """A redirect would lead to a place that no operator has named."""
    other = serve(servers, answer())
    headers = {"Location": f"{other.url}/", "Retry-After": "120"}
    server = serve(servers, answer(status, b"told to nobody", headers))

    assert post(Sender(context=trusting), at(server)) == Receipt(status, "120")
    assert other.connections == 0


def test_a_proxy_of_the_environment_is_not_used(
    servers: ExitStack, trusting: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy would look up the name itself, so the address could not be checked."""
    proxy = servers.enter_context(ConnectProxy({}))
    for name, value in proxy.environment.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(name.replace("HTTPS", "HTTP"), value)
    monkeypatch.delenv("NO_PROXY")
    server = serve(servers, answer())

    post(Sender(context=trusting), at(server))

    assert proxy.asked == []


def test_a_name_that_leads_to_a_private_address_gets_no_connection(
    servers: ExitStack, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """Unless the destination is private."""
    server = serve(servers, answer(), tls=tls)

    with pytest.raises(AddressNotAllowed):
        post(Sender(context=trusting), at(server), private=False)

    assert server.connections == 0


def test_a_name_is_refused_if_one_of_its_addresses_is_not_allowed(
    servers: ExitStack, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """Its name server could decide which address is used."""
    server = serve(servers, answer(), tls=tls)
    sender = Sender(context=trusting, resolve=lambda *_: [PUBLIC, "169.254.169.254"])

    with pytest.raises(AddressNotAllowed):
        post(sender, at(server), private=True)

    assert server.connections == 0


def test_the_address_of_an_open_connection_is_checked_before_anything_is_sent(
    servers: ExitStack, trusting: ssl.SSLContext
) -> None:
    """Even before TLS begins, and whatever the name server answered."""
    received: queue.Queue[bytes] = queue.Queue()
    listener = servers.enter_context(
        Listener(serve=lambda sock: received.put(sock.recv(1)), name="inside")
    )
    sender = Sender(
        context=trusting,
        resolve=lambda *_: [PUBLIC],
        connect=lambda _, seconds: socket.create_connection(("127.0.0.1", listener.port), seconds),
    )

    with pytest.raises(AddressNotAllowed):
        post(sender, Endpoint.parse("https://crm.example/", private=False), private=False)

    assert received.get(timeout=10) == b""


def test_without_tls_the_name_has_to_lead_to_this_machine(
    servers: ExitStack, trusting: ssl.SSLContext
) -> None:
    """`localhost` is a name, and could lead elsewhere."""
    server = serve(servers, answer())
    sender = Sender(context=trusting, resolve=lambda *_: ["10.0.0.4"])

    with pytest.raises(AddressNotAllowed):
        post(sender, at(server))

    assert server.connections == 0


def test_after_an_address_that_does_not_answer_the_next_one_is_tried(
    servers: ExitStack, trusting: ssl.SSLContext
) -> None:
    """In the name server's order."""
    server = serve(servers, answer(200))
    asked: list[str] = []

    def connect(address: tuple[str, int], seconds: float) -> socket.socket:
        asked.append(address[0])
        if len(asked) == 1:
            raise TimeoutError
        return socket.create_connection(address, seconds)

    sender = Sender(
        context=trusting, resolve=lambda *_: ["127.0.0.2", "127.0.0.1"], connect=connect
    )

    assert post(sender, at(server)).status == 200
    assert asked == ["127.0.0.2", "127.0.0.1"]


def test_nothing_is_sent_to_a_server_with_a_wrong_certificate(
    servers: ExitStack, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """For another name, or by an unknown authority."""
    server = serve(servers, answer(), tls=tls)
    by_number = Endpoint.parse(f"{server.url}/", private=True)

    for sender, endpoint in [
        (Sender(context=trusting), by_number),
        (Sender(context=ssl.create_default_context()), at(server)),
    ]:
        with pytest.raises(ConnectionFailed) as failed:
            post(sender, endpoint)
        assert failed.value.reason == "SSLCertVerificationError"

    assert server.heads == []


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (hang_up, "RemoteDisconnected"),
        (cut(b"not HTTP at all\r\n\r\n"), "BadStatusLine"),
        (cut(b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000), "LineTooLong"),
    ],
)
def test_a_malformed_response_is_a_failure_that_names_its_kind(
    servers: ExitStack, trusting: ssl.SSLContext, reply: Reply, reason: str
) -> None:
    """Neither the host nor the URL is in the error."""
    server = serve(servers, reply)

    with pytest.raises(ConnectionFailed) as failed:
        post(Sender(context=trusting), at(server))

    assert failed.value.reason == reason
    assert "canary" not in str(failed.value)
    assert failed.value.__cause__ is None


def test_a_name_without_an_address_is_a_failure(trusting: ssl.SSLContext) -> None:
    """It may pass: a name server may be unreachable."""
    endpoint = Endpoint.parse("https://nowhere.invalid/", private=False)

    with pytest.raises(ConnectionFailed) as failed:
        post(Sender(context=trusting), endpoint, private=False)

    assert failed.value.reason == "gaierror"


def test_a_refused_connection_is_a_failure(trusting: ssl.SSLContext) -> None:
    """The error names its type."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    endpoint = Endpoint.parse(f"http://127.0.0.1:{port}/", private=True)

    with pytest.raises(ConnectionFailed) as failed:
        post(Sender(context=trusting), endpoint)

    assert failed.value.reason == "ConnectionRefusedError"


def stay_silent(connection: socket.socket) -> None:
    """Take the request, and answer nothing until the caller gives up."""
    while connection.recv(65536):
        pass


def continue_for_ever(connection: socket.socket) -> None:
    """Send one 100 Continue after another."""
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize(
    "reply",
    [
        stay_silent,
        drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000),
        drip(b"X: y\r\n" * 1000, after=b"HTTP/1.1 200 OK\r\n"),
        continue_for_ever,
    ],
)
def test_no_complete_response_by_the_deadline_is_a_failure(
    servers: ExitStack,
    tls: ssl.SSLContext,
    trusting: ssl.SSLContext,
    reply: Reply,
    secure: bool,
) -> None:
    """Also if single bytes keep coming, with TLS and without."""
    server = serve(servers, reply, tls=tls if secure else None)

    with pytest.raises(DeadlineExceeded):
        post(Sender(context=trusting), at(server), seconds=0.5)


def test_a_tls_handshake_that_never_ends_ends_at_the_deadline(
    servers: ExitStack, trusting: ssl.SSLContext
) -> None:
    """The server accepts the connection and sends nothing."""
    server = serve(servers, stay_silent)
    url = at(server).authority

    with pytest.raises(DeadlineExceeded):
        post(Sender(context=trusting), Endpoint.parse(f"https://{url}/", private=True), seconds=0.5)


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize(
    "reply", [drip(b"x" * 100_000, after=HEAD), cut(HEAD + b"x"), cut(HEAD[:-4] + b"\r\n\r\n")]
)
def test_a_response_counts_as_soon_as_its_headers_are_there(
    servers: ExitStack,
    tls: ssl.SSLContext,
    trusting: ssl.SSLContext,
    reply: Reply,
    secure: bool,
) -> None:
    """The status is known. The body does not matter."""
    server = serve(servers, reply, tls=tls if secure else None)

    assert post(Sender(context=trusting), at(server), seconds=1).status == 200


def test_only_the_beginning_of_a_long_response_is_read(
    servers: ExitStack, trusting: ssl.SSLContext
) -> None:
    """A body may be endless."""
    left = threading.Event()

    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        try:
            while True:
                connection.sendall(b"x" * MAX_ANSWER_BYTES)
        except OSError:
            left.set()

    server = serve(servers, endless)

    assert post(Sender(context=trusting), at(server)).status == 200
    assert left.wait(10)


def test_reaching_a_destination_sends_nothing(
    servers: ExitStack, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """It connects with TLS, and sends no request."""
    server = serve(servers, answer(), tls=tls)

    Sender(context=trusting).reach(at(server), private=True, deadline=Deadline(seconds=10))

    servers.close()
    assert (server.connections, server.heads) == (1, [])


def test_deliveries_to_one_destination_at_once_are_limited(
    trusting: ssl.SSLContext,
) -> None:
    """The next one gets DestinationBusy. Other destinations are not affected."""
    sender = Sender(context=trusting)
    with ExitStack() as turns:
        for _ in range(MOST_AT_ONCE):
            turns.enter_context(sender.turn("crm"))
        with pytest.raises(DestinationBusy):
            turns.enter_context(sender.turn("crm"))
        turns.enter_context(sender.turn("flow"))

    with sender.turn("crm"):
        pass


def test_a_turn_is_given_back_when_a_delivery_fails(trusting: ssl.SSLContext) -> None:
    """Otherwise a failing destination would stay busy."""
    sender = Sender(context=trusting)

    def fail() -> None:
        with sender.turn("crm"):
            raise ZeroDivisionError

    for _ in range(MOST_AT_ONCE + 1):
        with pytest.raises(ZeroDivisionError):
            fail()


def test_a_name_is_looked_up_as_the_system_does() -> None:
    """With the system's order of addresses."""
    assert set(resolve("localhost", 443)) <= {"127.0.0.1", "::1"}


def test_a_sender_has_no_secrets_in_its_repr(trusting: ssl.SSLContext) -> None:
    """Nor have its arguments."""
    endpoint = Endpoint.parse("https://crm.example/?sig=canary", private=False)

    assert "canary" not in repr(endpoint) + repr(Sender(context=trusting))
