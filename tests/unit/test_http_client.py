"""The process's one way out: what reaches the wire, and how a call ends."""

import gc
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import certifi
import pytest

from dev.stand_ins.certificates import TlsFiles, make_certificates
from dev.stand_ins.listener import tunnel
from dev.stand_ins.proxy import ConnectProxy
from shared.core.connections import ConnectionFailed, DeadlineExceeded
from shared.core.http_client import HttpClient
from shared.core.http_wire import MAX_RESPONSE_BYTES, Response, ResponseTooLarge
from shared.core.tls import default_ca_bundle
from tests.unit.scripted_server import (
    Reply,
    ScriptedServer,
    answer,
    cut,
    drip,
    hang_up,
    keep_silent,
)

OK = answer(200, b"hello", {"X-Name": "value"})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """An authority, and a certificate for `localhost` alone."""
    return make_certificates("localhost", folder=tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def tls(files: TlsFiles) -> ssl.SSLContext:
    """What a server with that certificate needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate)
    return context


@pytest.fixture
def transport(files: TlsFiles) -> Iterator[HttpClient]:
    """A transport that trusts that authority."""
    transport = HttpClient(pool_size=32, ca_bundle=str(files.ca))
    yield transport
    transport.session.close()


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    """Servers that stop at the test's end."""
    with ExitStack() as servers:
        yield servers


def get(transport: HttpClient, url: str, *, seconds: float = 5) -> Response:
    """Send one GET with so much time."""
    return transport.get(url, headers={"X-A": "b"}, deadline=time.monotonic() + seconds)


def plain(servers: ExitStack, *replies: Reply) -> ScriptedServer:
    """Start a server without TLS."""
    return servers.enter_context(ScriptedServer(*replies))


def by_name(server: ScriptedServer) -> str:
    """Give its address as its certificate has it."""
    return f"{server.url.replace('127.0.0.1', 'localhost')}/x"


@contextmanager
def ends_within(seconds: float) -> Iterator[None]:
    """Check that something does not take longer than that."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


def test_a_call_over_tls_has_an_answer(
    transport: HttpClient, tls: ssl.SSLContext, servers: ExitStack
) -> None:
    """Its status, its headers in any case, its body."""
    server = servers.enter_context(ScriptedServer(OK, tls=tls))
    found = get(transport, f"https://localhost:{server.port}/x")
    assert (found.status, found.headers.get("x-name"), found.body) == (200, "value", b"hello")
    assert server.headers()["x-a"] == "b"


def test_a_wrong_host_name_is_refused(
    transport: HttpClient, tls: ssl.SSLContext, servers: ExitStack
) -> None:
    """The certificate is for another; nothing is sent."""
    server = servers.enter_context(ScriptedServer(OK, tls=tls))
    with pytest.raises(ConnectionFailed):
        get(transport, f"https://127.0.0.1:{server.port}/x")
    assert server.heads == []


def test_an_unknown_authority_is_refused(tls: ssl.SSLContext, servers: ExitStack) -> None:
    """By default only the well-known ones are trusted."""
    server = servers.enter_context(ScriptedServer(OK, tls=tls))
    with pytest.raises(ConnectionFailed):
        get(HttpClient(pool_size=1), f"https://localhost:{server.port}/x")
    assert server.heads == []


def test_the_session_for_other_libraries_verifies_as_well(
    transport: HttpClient, tls: ssl.SSLContext, servers: ExitStack
) -> None:
    """Whatever they say about it."""
    server = servers.enter_context(ScriptedServer(OK, tls=tls))
    assert transport.session.get(f"https://localhost:{server.port}/", timeout=5).text == "hello"
    with pytest.raises(OSError, match="certificate verify failed"):
        transport.session.get(f"https://127.0.0.1:{server.port}/", timeout=5, verify=False)


def test_the_session_for_other_libraries_shares_connections_and_no_timeouts(
    transport: HttpClient, tls: ssl.SSLContext, servers: ExitStack
) -> None:
    """What one leaves on a connection, the next does not inherit."""
    slow = drip(b"hello", after=OK.removesuffix(b"hello"), every=0.3)
    server = servers.enter_context(ScriptedServer(OK, OK, slow, OK, slow, tls=tls))
    url = by_name(server)
    assert transport.session.get(url, timeout=30).text == "hello"
    assert get(transport, url).body == b"hello"
    with ends_within(1.3), pytest.raises(DeadlineExceeded):
        get(transport, url, seconds=0.5)
    assert get(transport, url).body == b"hello"
    assert transport.session.get(url, timeout=5).text == "hello"
    assert server.connections == 2


def test_the_session_for_other_libraries_may_open_a_connection_again(
    transport: HttpClient, servers: ExitStack
) -> None:
    """However long ago the call that opened it first had to end."""
    server = plain(servers, answer(200, b"hello", {"Connection": "close"}))
    get(transport, server.url, seconds=0.2)
    time.sleep(0.2)
    assert transport.session.get(server.url, timeout=5).text == "hello"


def test_one_ssl_context_serves_all_connections(
    transport: HttpClient, tls: ssl.SSLContext, servers: ExitStack
) -> None:
    """Another one would cost 24 ms of CPU for each new connection."""
    everyone_there = threading.Barrier(16)

    def together(connection: socket.socket) -> None:
        everyone_there.wait(10)
        connection.sendall(OK)

    server = servers.enter_context(ScriptedServer(together, tls=tls))
    gc.collect()
    before = _ssl_contexts()

    with ThreadPoolExecutor(16) as threads:
        url = f"https://localhost:{server.port}/x"
        answers = list(threads.map(lambda _: get(transport, url), range(16)))

    assert [found.status for found in answers] == [200] * 16
    assert server.connections == 16
    assert _ssl_contexts() <= before


def _ssl_contexts() -> int:
    return sum(isinstance(thing, ssl.SSLContext) for thing in gc.get_objects())


@pytest.mark.parametrize(
    "target",
    [
        "/v1.0/users/a%2Fb%2Bc%3D/onlineMeetings",
        "/v1.0/x?$filter=JoinWebUrl%20eq%20%27https%3A%2F%2Fx%253a%27%27y%2B%27",
        "/v1.0/users/%C3%BC%23%3F?$select=id",
        "/a//b/%2E%2E/%25/~-._!*'();:@&=+$,",
    ],
)
def test_a_url_goes_out_as_it_is(transport: HttpClient, servers: ExitStack, target: str) -> None:
    """What its maker encoded stays encoded, and what not, not."""
    server = plain(servers, OK)
    get(transport, server.url + target)
    assert server.targets == [target]


def test_no_compression_is_asked_for(transport: HttpClient, servers: ExitStack) -> None:
    """A small body could become a huge one."""
    server = plain(servers, OK)
    get(transport, server.url)
    assert server.headers()["accept-encoding"] == "identity"


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "first", [OK, CHUNKED, answer(404, b"gone"), answer(204, b""), answer(200, b"")]
)
def test_a_connection_is_used_again(
    transport: HttpClient, servers: ExitStack, first: bytes
) -> None:
    """After an answer of every kind."""
    server = plain(servers, first, OK)
    for _ in range(3):
        get(transport, server.url)
    assert server.connections == 1
    assert len(server.heads) == 3


@pytest.mark.parametrize(
    ("head", "connections"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Name: value\r\nContent-Length: 5\r\n\r\n", 1),
        (b"HTTP/1.1 200 \r\ncontent-length:5\r\nx-name:value\t \r\n\r\n", 1),
        (b"HTTP/1.1 200 OK\r\nX-Name: value\r\nX-Name: b\r\nContent-Length: 5\r\n\r\n", 1),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK.removesuffix(b"hello"), 1),
        (b"HTTP/1.0 200 OK\r\nX-Name: value\r\nContent-Length: 5\r\n\r\n", 2),
        (
            b"HTTP/1.1 200 OK\r\nX-Name: value\r\nConnection: Close\r\nContent-Length: 5\r\n\r\n",
            2,
        ),
    ],
)
def test_a_head_is_read_however_it_is_written(
    transport: HttpClient, servers: ExitStack, head: bytes, connections: int
) -> None:
    """The next call meets no rest of it, and no connection that its server will close."""
    server = plain(servers, head + b"hello", OK)
    found = get(transport, server.url)
    assert (found.status, found.headers.get("x-name"), found.body) == (200, "value", b"hello")
    assert get(transport, server.url).body == b"hello"
    assert server.connections == connections


def test_a_redirect_is_an_answer(transport: HttpClient, servers: ExitStack) -> None:
    """Nobody goes there."""
    elsewhere = plain(servers, OK)
    server = plain(servers, answer(307, b"", {"Location": elsewhere.url}))
    assert get(transport, server.url).status == 307
    assert elsewhere.heads == []


def go_on_for_ever(connection: socket.socket) -> None:
    """Say that the answer will come, again and again."""
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.001)


SLOW = answer(200, b"x" * 200)
HEAD_ONLY = SLOW.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


@pytest.mark.parametrize(
    "reply",
    [
        keep_silent,
        drip(SLOW),
        drip(b"x" * 200, after=HEAD_ONLY),
        drip(CHUNKED),
        drip(b"a: b\r\n" * 50, after=b"HTTP/1.1 200 OK\r\n"),
        go_on_for_ever,
    ],
    ids=["silence", "head", "body", "chunks", "headers", "no end"],
)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_call_ends_at_its_deadline_however_slowly_an_answer_trickles_in(
    transport: HttpClient, tls: ssl.SSLContext, servers: ExitStack, reply: Reply, *, secure: bool
) -> None:
    """What comes, comes in time; the whole does not. The next call has its own answer."""
    server = servers.enter_context(ScriptedServer(reply, OK, tls=tls if secure else None))
    url = by_name(server)
    with ends_within(2), pytest.raises(DeadlineExceeded):
        get(transport, url, seconds=0.3)
    assert get(transport, url).body == b"hello"


LARGE = b"x" * 8 * 1024 * 1024 + b"end"
"""More than the system takes off a sender's hands at once."""


def take_all(connection: socket.socket) -> None:
    """Answer once the large body is there."""
    time.sleep(0.1)  # until the sender has to wait
    taken = b""
    while not taken.endswith(b"end"):
        received = connection.recv(1024 * 1024)
        if not received:
            return
        taken = (taken + received)[-3:]
    connection.sendall(OK)


def post_large(transport: HttpClient, url: str, *, seconds: float) -> Response:
    """Send it with so much time."""
    return transport.post(url, headers={}, body=LARGE, deadline=time.monotonic() + seconds)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_body_that_is_taken_in_slowly_is_sent_as_far_as_there_is_time(
    transport: HttpClient, tls: ssl.SSLContext, servers: ExitStack, *, secure: bool
) -> None:
    """Whole, or not."""
    late = threading.Event()

    def take_nothing(_: socket.socket) -> None:
        late.wait(5)

    server = ScriptedServer(take_nothing, take_all, tls=tls if secure else None)
    servers.enter_context(server)
    url = by_name(server)
    with ends_within(2), pytest.raises(DeadlineExceeded):
        post_large(transport, url, seconds=0.3)
    late.set()
    assert post_large(transport, url, seconds=5).body == b"hello"


def test_a_tls_handshake_that_never_ends_ends_at_the_deadline(
    transport: HttpClient, servers: ExitStack
) -> None:
    """The server takes the connection and says nothing."""
    server = plain(servers, OK)  # waits for the end of a head that is none
    with ends_within(2), pytest.raises(DeadlineExceeded):
        get(transport, f"https://localhost:{server.port}/", seconds=0.3)


@pytest.fixture
def black_hole(servers: ExitStack) -> int:
    """A port that answers no connection: its queue is full, so packets are dropped."""
    listening = servers.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _ in range(4):
        waiting = servers.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(listening.getsockname())
    port: int = listening.getsockname()[1]
    return port


def test_a_connection_that_nobody_answers_ends_at_the_deadline(
    transport: HttpClient, black_hole: int
) -> None:
    """As behind a firewall that drops packets."""
    with ends_within(2), pytest.raises(DeadlineExceeded):
        get(transport, f"http://127.0.0.1:{black_hole}/", seconds=0.3)


def test_a_host_with_many_addresses_gets_no_more_time(
    transport: HttpClient, black_hole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They share the deadline: each of them may hang."""
    monkeypatch.setattr(socket, "getaddrinfo", _many_addresses)
    with ends_within(2), pytest.raises(DeadlineExceeded):
        get(transport, f"http://many.example:{black_hole}/", seconds=0.5)


def test_an_address_that_hangs_leaves_time_for_the_next(
    transport: HttpClient, servers: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them answers."""
    server = plain(servers, OK)
    hanging = servers.enter_context(_hanging_address(server.port))
    monkeypatch.setattr(socket, "getaddrinfo", _addresses(hanging, "127.0.0.1"))
    assert get(transport, f"http://many.example:{server.port}/", seconds=1).body == b"hello"


_getaddrinfo = socket.getaddrinfo


def _addresses(*addresses: str) -> Any:  # noqa: ANN401 - stands in for an overloaded function
    def resolve(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:  # noqa: ANN401
        names = addresses if host == "many.example" else (host,)
        return [info for name in names for info in _getaddrinfo(name, port, *args, **kwargs)]

    return resolve


_many_addresses = _addresses("127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1")


@contextmanager
def _hanging_address(port: int) -> Iterator[str]:
    """Open a black hole on another loopback address, at the same port."""
    with ExitStack() as open_:
        listening = open_.enter_context(socket.create_server(("127.0.0.2", port), backlog=0))
        for _ in range(4):
            waiting = open_.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield "127.0.0.2"


def test_a_deadline_that_has_passed_sends_nothing(
    transport: HttpClient, servers: ExitStack
) -> None:
    """There is no time for an answer."""
    server = plain(servers, OK)
    with pytest.raises(DeadlineExceeded):
        get(transport, server.url, seconds=-1)
    assert server.connections == 0


@pytest.mark.parametrize(
    "reply",
    [
        hang_up,
        cut(b"HTTP/1.1 200 OK\r\nContent-Le"),
        cut(b"HTTP/1.1 404 Not Found\r\nDate: today\r\n"),
        cut(b"HTTP/1.1 200 OK\r\n\r\nno end"),
        cut(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf"),
        cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"),
        cut(b"220 mail.example ESMTP\r\n\r\n"),
        cut(b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
        cut(b"HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nContent-Length: 5\r\n\r\nhello"),
        cut(CHUNKED.replace(b"\r\n", b"\r\nContent-Length: 5\r\n", 1)),
        cut(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
        cut(OK + OK),
    ],
    ids=[
        "nothing",
        "head",
        "head after a line",
        "no length",
        "body",
        "chunk",
        "no chunk",
        "no http",
        "no carriage returns",
        "folded header",
        "two framings",
        "another protocol",
        "two answers",
    ],
)
def test_an_answer_that_is_not_whole_or_not_one_is_a_lost_connection(
    transport: HttpClient, servers: ExitStack, reply: Reply
) -> None:
    """A half answer is none, and so is what could be cut up in two ways. The next has its own."""
    server = plain(servers, reply, OK)
    with pytest.raises(ConnectionFailed):
        get(transport, server.url)
    assert get(transport, server.url).body == b"hello"


def test_a_host_that_is_not_there_is_a_lost_connection(transport: HttpClient) -> None:
    """Nobody listens, or nobody knows the name; the error quotes no address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/canary", "http://no-such-host.invalid/canary"):
        with pytest.raises(ConnectionFailed) as raised:
            get(transport, url)
        assert "canary" not in repr(raised.value)


@pytest.mark.parametrize(
    "head",
    [
        f"HTTP/1.1 200 OK\r\nContent-Length: {10**12}\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        "HTTP/1.1 200 OK\r\nX-Name: ",
        "HTTP/1.1 100 Continue\r\n\r\n" * 50_000,
    ],
    ids=["length", "chunked", "header", "no end"],
)
def test_an_answer_past_one_mib_is_cut_off(
    transport: HttpClient, servers: ExitStack, head: str
) -> None:
    """However its length is told; the rest is not read."""
    server = plain(servers, cut(head.encode() + b"x" * (MAX_RESPONSE_BYTES + 100_000)), OK)
    with pytest.raises(ResponseTooLarge):
        get(transport, server.url)
    assert get(transport, server.url).body == b"hello"


def test_the_connection_of_an_answer_that_was_not_read_to_its_end_is_closed(
    transport: HttpClient, servers: ExitStack
) -> None:
    """At once, not when the garbage is collected."""
    closed = threading.Event()

    def go_on(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n")
        with suppress(OSError):
            while True:
                connection.sendall(b"x" * 65536)
        closed.set()

    server = plain(servers, go_on)
    with pytest.raises(ResponseTooLarge) as raised:
        get(transport, server.url)
    assert closed.wait(2), raised


def test_an_answer_of_one_mib_is_read(transport: HttpClient, servers: ExitStack) -> None:
    """The limit itself fits, head and all."""
    head = len(answer(200, b"x" * 1_000_000)) - 1_000_000
    server = plain(servers, answer(200, b"x" * (MAX_RESPONSE_BYTES - head)))
    assert len(get(transport, server.url).body) == MAX_RESPONSE_BYTES - head == 1024 * 1024 - head


def test_an_answer_does_not_show_its_body() -> None:
    """It may hold a link, and so may its headers."""
    assert "canary" not in repr(Response(200, {"Location": "canary"}, b"canary"))


def test_the_environment_may_name_another_bundle(files: TlsFiles) -> None:
    """By the names that requests and curl use."""
    assert default_ca_bundle({}) is None
    assert default_ca_bundle({"CURL_CA_BUNDLE": "c"}) == "c"
    assert default_ca_bundle({"REQUESTS_CA_BUNDLE": "r", "CURL_CA_BUNDLE": "c"}) == "r"


def test_the_platforms_folder_of_authorities_is_trusted(
    files: TlsFiles, tls: ssl.SSLContext, servers: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a look at the bundle, which takes 24 ms to read."""
    monkeypatch.setenv("SSL_CERT_DIR", str(files.authorities))
    monkeypatch.setattr(certifi, "where", lambda: "/nowhere")
    server = servers.enter_context(ScriptedServer(OK, tls=tls))
    assert get(HttpClient(pool_size=1), f"https://localhost:{server.port}/x").body == b"hello"


def test_a_folder_of_a_few_authorities_is_not_taken_for_the_platforms(
    files: TlsFiles,
    tls: ssl.SSLContext,
    servers: ExitStack,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """An image may have an empty one: the bundle of requests serves instead."""
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setattr(certifi, "where", lambda: str(files.ca))
    server = servers.enter_context(ScriptedServer(OK, tls=tls))
    assert get(HttpClient(pool_size=1), f"https://localhost:{server.port}/x").body == b"hello"


def test_what_a_server_sends_unasked_meets_nobody(
    transport: HttpClient, servers: ExitStack
) -> None:
    """It could be another's link."""

    def twice(connection: socket.socket) -> None:
        connection.sendall(OK)
        time.sleep(0.1)
        connection.sendall(answer(200, b"another's"))
        connection.recv(1)

    server = plain(servers, twice, OK)
    assert get(transport, server.url).body == b"hello"
    time.sleep(0.3)
    assert get(transport, server.url).body == b"hello"


@pytest.mark.parametrize("length", ["9" * 5000, "-5", "5, 5", "\u0665"])
def test_an_odd_length_is_a_lost_connection(
    transport: HttpClient, servers: ExitStack, length: str
) -> None:
    """It could be anybody's guess."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
    server = plain(servers, cut(head.encode("utf-8") + b"hello"))
    with pytest.raises(ConnectionFailed):
        get(transport, server.url)


def test_a_head_that_could_not_be_written_leaves_nothing_behind(
    transport: HttpClient, servers: ExitStack
) -> None:
    """Neither in the pool nor on the wire."""
    server = plain(servers, OK)
    with pytest.raises(ValueError, match="must not stand there") as raised:
        transport.get(
            server.url + "/1", headers={"X-A": "canary\r\nb"}, deadline=time.monotonic() + 5
        )
    assert "canary" not in str(raised.value)
    assert get(transport, server.url + "/2").body == b"hello"
    assert server.targets == ["/2"]


def use_proxy(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Lead everything that goes by HTTPS through a proxy."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", url)


def cut_short_and_wait(data: bytes, *, after: float) -> Reply:
    """Send something late, and then nothing."""

    def reply(connection: socket.socket) -> None:
        time.sleep(after)
        connection.sendall(data)
        keep_silent(connection)

    return reply


def test_a_proxy_is_tunnelled_through(
    transport: HttpClient,
    tls: ssl.SSLContext,
    servers: ExitStack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It sees the host's name, and nothing that is meant for the host; the tunnel is kept."""
    server = servers.enter_context(ScriptedServer(OK, tls=tls))
    proxy = servers.enter_context(ConnectProxy({"localhost": server.port}))
    use_proxy(monkeypatch, proxy.environment["HTTPS_PROXY"])
    for _ in range(3):
        assert get(transport, "https://localhost/x").body == b"hello"
    assert (server.connections, server.targets) == (1, ["/x"] * 3)


def test_a_proxy_that_answers_late_leaves_the_rest_of_the_time_only(
    transport: HttpClient, servers: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handshake behind it does not have all of it again."""

    def open_late(connection: socket.socket) -> None:
        time.sleep(0.5)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while connection.recv(65_536):
            """Say nothing, until the caller gives up."""

    proxy = plain(servers, open_late)
    use_proxy(monkeypatch, proxy.url)
    with ends_within(1.3), pytest.raises(DeadlineExceeded):
        get(transport, "https://localhost/x", seconds=0.8)


def test_a_proxy_may_speak_tls_itself(
    transport: HttpClient,
    files: TlsFiles,
    tls: ssl.SSLContext,
    servers: ExitStack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TLS goes through TLS, there and back; time is kept there too. Nothing is left in between."""
    half = cut_short_and_wait(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", after=0.5)
    server = servers.enter_context(ScriptedServer(OK, half, tls=tls))

    def carry(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with socket.create_connection(("127.0.0.1", server.port)) as other:
            tunnel(connection, other)

    proxy = servers.enter_context(ScriptedServer(carry, tls=tls))
    use_proxy(monkeypatch, f"https://localhost:{proxy.port}")
    monkeypatch.setenv("SSL_CERT_FILE", str(files.ca))
    assert get(transport, "https://localhost/x").body == b"hello"
    with ends_within(1.3), pytest.raises(DeadlineExceeded):
        get(transport, "https://localhost/x", seconds=0.8)
    assert proxy.targets == ["localhost:443"] * 2


PROXIED = """
import sys, time
from shared.core.http_client import HttpClient
transport = HttpClient(pool_size=1)
url = "http://graph.example/path"
answer = transport.get(url, headers={}, deadline=time.monotonic() + 5)
assert answer.body == b"hello", answer
"""


def test_a_proxy_of_the_environment_is_used(servers: ExitStack, tmp_path: Path) -> None:
    """It gets the whole address."""
    proxy = plain(servers, OK)
    subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", PROXIED],
        check=True,
        timeout=30,
        env={"http_proxy": proxy.url, "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
    )
    assert proxy.targets == ["http://graph.example/path"]
