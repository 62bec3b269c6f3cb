"""The HTTP client: what is sent, when a call ends, and the errors."""

import gc
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import certifi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dev.stand_ins.certificates import TlsFiles, make_certificates
from dev.stand_ins.listener import tunnel
from dev.stand_ins.proxy import ConnectProxy
from shared.core.http_client import (
    MAX_BODY_BYTES,
    ConnectionFailed,
    DeadlineExceeded,
    HttpClient,
    Response,
    ResponseTooLarge,
)
from tests.unit.scripted_server import (
    Reply,
    ScriptedServer,
    answer,
    cut,
    drip,
    end,
    hang_up,
    keep_silent,
)

OK = answer(200, b"hello", {"X-Name": "value"})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """An authority, and a certificate for two names and no address."""
    folder = tmp_path_factory.mktemp("tls")
    return make_certificates("localhost", "many.example", folder=folder)


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


def get(transport: HttpClient, url: str, *, seconds: float = 5) -> Response:
    """Send one GET with so much time."""
    return transport.get(url, headers={"X-A": "b"}, deadline=time.monotonic() + seconds)


def plain(servers: ExitStack, *replies: Reply) -> ScriptedServer:
    """Start a server without TLS."""
    return servers.enter_context(ScriptedServer(*replies))


def over_tls(servers: ExitStack, tls: ssl.SSLContext, *replies: Reply) -> ScriptedServer:
    """Start a server with TLS."""
    return servers.enter_context(ScriptedServer(*replies, tls=tls))


def by_name(server: ScriptedServer) -> str:
    """Give its address as its certificate has it."""
    return f"{server.url.replace('127.0.0.1', 'localhost')}/x"


@contextmanager
def ends_within(seconds: float) -> Iterator[None]:
    """Check that a call does not take longer than this."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


def test_a_call_over_tls_gets_a_response(
    transport: HttpClient, tls: ssl.SSLContext, servers: ExitStack
) -> None:
    """With its status, its headers in any case, and its body."""
    server = servers.enter_context(ScriptedServer(OK, tls=tls))
    found = get(transport, f"https://localhost:{server.port}/x")
    assert (found.status, found.headers.get("x-name"), found.body) == (200, "value", b"hello")
    assert server.headers()["x-a"] == "b"


def test_a_wrong_host_name_is_refused(
    transport: HttpClient, tls: ssl.SSLContext, servers: ExitStack
) -> None:
    """The certificate is for another name, so nothing is sent."""
    server = servers.enter_context(ScriptedServer(OK, tls=tls))
    with pytest.raises(ConnectionFailed):
        get(transport, f"https://127.0.0.1:{server.port}/x")
    assert server.heads == []


def test_an_unknown_authority_is_refused(tls: ssl.SSLContext, servers: ExitStack) -> None:
    """By default only the platform's authorities are trusted."""
    server = servers.enter_context(ScriptedServer(OK, tls=tls))
    with pytest.raises(ConnectionFailed):
        get(HttpClient(pool_size=1), f"https://localhost:{server.port}/x")
    assert server.heads == []


def test_the_session_for_other_libraries_verifies_as_well(
    transport: HttpClient, tls: ssl.SSLContext, servers: ExitStack
) -> None:
    """Whatever their requests say about it."""
    server = servers.enter_context(ScriptedServer(OK, tls=tls))
    assert transport.session.get(f"https://localhost:{server.port}/", timeout=5).text == "hello"
    with pytest.raises(OSError, match="certificate verify failed"):
        transport.session.get(f"https://127.0.0.1:{server.port}/", timeout=5, verify=False)


def test_the_session_for_other_libraries_shares_connections_and_no_timeouts(
    transport: HttpClient, tls: ssl.SSLContext, servers: ExitStack
) -> None:
    """One library's timeout does not stay on a connection."""
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
    """Even after the deadline of the call that opened it first."""
    server = plain(servers, answer(200, b"hello", {"Connection": "close"}))
    get(transport, server.url, seconds=0.2)
    time.sleep(0.2)
    assert transport.session.get(server.url, timeout=5).text == "hello"


def test_one_ssl_context_serves_all_connections(
    transport: HttpClient, tls: ssl.SSLContext, servers: ExitStack
) -> None:
    """Another context would cost 24 ms of CPU for each new connection."""
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
    assert _contexts_of_connections_to(server.port) == [transport.context] * 16
    # Nor is one made and thrown away. Threads of other tests may make one meanwhile, but not many.
    assert _ssl_contexts() - before < 16 / 2


def _contexts_of_connections_to(port: int) -> list[ssl.SSLContext]:
    """Give the context of each open connection of a client."""
    sockets = [thing for thing in gc.get_objects() if isinstance(thing, ssl.SSLSocket)]
    return [
        one.context
        for one in sockets
        if one.fileno() >= 0 and not one.server_side and one.getpeername()[1] == port
    ]


def _ssl_contexts() -> int:
    return sum(isinstance(thing, ssl.SSLContext) for thing in gc.get_objects())


AS_IT_IS = [
    "/v1.0/users/a%2Fb%2Bc%3D/onlineMeetings",
    "/v1.0/x?$filter=JoinWebUrl%20eq%20%27https%3A%2F%2Fx%253a%27%27y%2B%27",
    "/v1.0/users/%C3%BC%23%3F?$select=id",
    "/a//b/./../%2E%2E/%25/~-._!*'();:@&=+$,?a?b/c",
]
NOT_AS_IT_IS = [
    "/a%2fb",
    "/100%",
    "/%",
    "/a%2",
    "/a%zz%2F",
    "/a b",
    "/a\tb",
    "/a\r\nX: y",
    "/a#b",
    "/?a#b",
    "/[a]",
    '/"{a}"',
    "/a|b^c`d",
    "/a\\b",
    "/<a>",
    "/\u00fc",
    "/a\x7f",
    "/\0",
]


@pytest.mark.parametrize("target", AS_IT_IS)
def test_a_url_is_sent_unchanged(transport: HttpClient, servers: ExitStack, target: str) -> None:
    """Encoded characters stay encoded, and the others stay plain."""
    server = plain(servers, OK)
    get(transport, server.url + target)
    assert server.targets == [target]


@pytest.mark.parametrize("target", NOT_AS_IT_IS)
def test_a_url_that_urllib3_would_change_is_refused(
    transport: HttpClient, servers: ExitStack, target: str
) -> None:
    """urllib3 would encode it, perhaps again. The error does not quote it."""
    server = plain(servers, OK)
    with pytest.raises(ValueError, match="not percent-encoded") as raised:
        get(transport, server.url + target)
    assert str(raised.value) == "a URL's target holds characters that are not percent-encoded"
    assert server.heads == []


_ANY_CHARACTER = st.one_of(
    st.sampled_from("%/?#.:;[]{}|^\"'`<>& =+ab2fF"), st.sampled_from(["%2F", "%2f", "%25"])
)


def test_any_url_is_sent_unchanged_or_not_at_all() -> None:
    """For any text."""
    with ScriptedServer(OK) as server:
        transport = HttpClient(pool_size=1)

        @given(st.lists(_ANY_CHARACTER, max_size=8).map("".join))
        def check(text: str) -> None:
            server.heads.clear()
            with suppress(ValueError):
                get(transport, f"{server.url}/{text}")
            assert server.targets in ([], [f"/{text}"])

        check()
        transport.session.close()


def test_no_compression_is_requested_or_decoded(transport: HttpClient, servers: ExitStack) -> None:
    """A small body could become very large."""
    server = plain(servers, answer(200, b"hello", {"Content-Encoding": "gzip"}))
    assert get(transport, server.url).body == b"hello"
    assert server.headers()["accept-encoding"] == "identity"


def test_no_cookie_is_kept(transport: HttpClient, servers: ExitStack) -> None:
    """Calls must not affect each other."""
    server = plain(servers, answer(200, b"hello", {"Set-Cookie": "a=b; Path=/"}))
    for _ in range(2):
        get(transport, server.url)
    assert "cookie" not in server.headers()


@pytest.mark.parametrize(
    "reply", [answer(503, b"", {"Retry-After": "0"}), answer(429, b"", {"Retry-After": "0"})]
)
def test_nothing_is_tried_twice(transport: HttpClient, servers: ExitStack, reply: Reply) -> None:
    """The caller decides about retries."""
    server = plain(servers, reply)
    assert get(transport, server.url).status in (429, 503)
    assert len(server.heads) == 1


def test_a_body_is_sent_with_its_length(transport: HttpClient, servers: ExitStack) -> None:
    """And with the headers that were given."""
    server = plain(servers, OK)
    headers = {"Content-Type": "text/plain"}
    deadline = time.monotonic() + 5
    sent = transport.post(f"{server.url}/x", headers=headers, body=b"a: b", deadline=deadline)
    assert sent.body == b"hello"
    assert server.heads[0].startswith(b"POST /x HTTP/1.1\r\n")
    assert server.headers(0)["content-length"] == "4"
    assert server.headers(0)["content-type"] == "text/plain"


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "first", [OK, CHUNKED, answer(404, b"gone"), answer(204, b""), answer(200, b"")]
)
def test_a_connection_is_used_again(
    transport: HttpClient, servers: ExitStack, first: bytes
) -> None:
    """After each kind of response."""
    server = plain(servers, first, OK)
    for _ in range(3):
        get(transport, server.url)
    assert server.connections == 1
    assert len(server.heads) == 3


def test_a_call_on_a_kept_connection_leaves_its_timeout(
    transport: HttpClient, tls: ssl.SSLContext, servers: ExitStack
) -> None:
    """Each change lets another thread run first, which a busy worker pays for in late responses."""
    server = over_tls(servers, tls, OK)
    changes: list[str] = []

    def note(_frame: FrameType, event: str, called: Any) -> None:  # noqa: ANN401 - any function
        if event == "c_call" and called.__name__ == "settimeout":
            changes.append(repr(called))

    get(transport, by_name(server), seconds=5)
    sys.setprofile(note)
    try:
        get(transport, by_name(server), seconds=5)
        unchanged = len(changes)
        get(transport, by_name(server), seconds=4)
    finally:
        sys.setprofile(None)
    assert server.connections == 1
    assert (unchanged, len(changes)) == (0, 1)


@pytest.mark.parametrize(
    ("head", "connections"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Name: value\r\nContent-Length: 5\r\n\r\n", 1),
        (b"HTTP/1.1 200 \r\ncontent-length:5\r\nx-name:value\r\n\r\n", 1),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK.removesuffix(b"hello"), 1),
        (b"HTTP/1.0 200 OK\r\nX-Name: value\r\nContent-Length: 5\r\n\r\n", 2),
        (
            b"HTTP/1.1 200 OK\r\nX-Name: value\r\nConnection: Close\r\nContent-Length: 5\r\n\r\n",
            2,
        ),
    ],
)
def test_headers_are_read_in_any_form(
    transport: HttpClient, servers: ExitStack, head: bytes, connections: int
) -> None:
    """The next call gets no rest of it, and no connection that the server will close."""
    server = plain(servers, head + b"hello", OK)
    found = get(transport, server.url)
    assert (found.status, found.headers.get("x-name"), found.body) == (200, "value", b"hello")
    assert get(transport, server.url).body == b"hello"
    assert server.connections == connections


def test_a_redirect_is_a_response(transport: HttpClient, servers: ExitStack) -> None:
    """It is not followed."""
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


TRICKLES = {
    "silence": keep_silent,
    "body": drip(b"x" * 200, after=HEAD_ONLY),
    "head": drip(SLOW),
    "chunks": drip(CHUNKED),
    "headers": drip(b"a: b\r\n" * 50, after=b"HTTP/1.1 200 OK\r\n"),
    "no end": go_on_for_ever,
    "end of the connection": drip(b"x" * 200, after=b"HTTP/1.1 200 OK\r\n\r\n"),
}


@pytest.mark.parametrize("reply", TRICKLES.values(), ids=TRICKLES)
def test_a_call_ends_at_its_deadline_even_if_bytes_keep_coming(
    transport: HttpClient, tls: ssl.SSLContext, servers: ExitStack, reply: Reply
) -> None:
    """The next call gets its own response."""
    server = over_tls(servers, tls, reply, OK)
    with ends_within(2), pytest.raises(DeadlineExceeded) as raised:
        get(transport, by_name(server), seconds=0.3)
    assert raised.value.reason == "TimeoutError"
    assert get(transport, by_name(server)).body == b"hello"


@pytest.mark.parametrize("name", ["silence", "body", "end of the connection"])
def test_without_tls_a_body_and_each_wait_end_at_the_deadline(
    transport: HttpClient, servers: ExitStack, name: str
) -> None:
    """As for a loopback address: other addresses need TLS."""
    server = plain(servers, TRICKLES[name], OK)
    with ends_within(2), pytest.raises(DeadlineExceeded):
        get(transport, server.url, seconds=0.3)
    assert get(transport, server.url).body == b"hello"


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
def test_a_large_body_is_sent_until_the_deadline(
    transport: HttpClient, tls: ssl.SSLContext, servers: ExitStack, *, secure: bool
) -> None:
    """To a server that reads slowly."""
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


def test_a_body_has_all_the_time_however_many_addresses_the_host_has(
    transport: HttpClient,
    tls: ssl.SSLContext,
    servers: ExitStack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The addresses divide only the time for connecting."""

    def take_late(connection: socket.socket) -> None:
        time.sleep(1)
        take_all(connection)

    server = over_tls(servers, tls, take_late)
    monkeypatch.setattr(socket, "getaddrinfo", _addresses(*["127.0.0.1"] * 20))
    url = f"https://many.example:{server.port}/x"
    assert post_large(transport, url, seconds=8).body == b"hello"


def test_a_tls_handshake_that_never_ends_ends_at_the_deadline(
    transport: HttpClient, servers: ExitStack
) -> None:
    """The server accepts the connection and sends nothing."""
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


def test_a_connection_without_an_answer_ends_at_the_deadline(
    transport: HttpClient, black_hole: int
) -> None:
    """As behind a firewall that drops packets."""
    with ends_within(2), pytest.raises(DeadlineExceeded):
        get(transport, f"http://127.0.0.1:{black_hole}/", seconds=0.3)


def test_a_host_with_many_addresses_gets_no_more_time(
    transport: HttpClient, black_hole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They share the deadline, even if each of them hangs."""
    monkeypatch.setattr(socket, "getaddrinfo", _addresses(*["127.0.0.1"] * 5))
    with ends_within(2), pytest.raises(DeadlineExceeded) as raised:
        get(transport, f"https://many.example:{black_hole}/", seconds=0.5)
    assert raised.value.reason == "TimeoutError"


def test_an_address_that_hangs_leaves_time_for_the_next(
    transport: HttpClient,
    tls: ssl.SSLContext,
    servers: ExitStack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next one answers."""
    server = over_tls(servers, tls, OK)
    hanging = servers.enter_context(_hanging_address(server.port))
    monkeypatch.setattr(socket, "getaddrinfo", _addresses(hanging, "127.0.0.1"))
    assert get(transport, f"https://many.example:{server.port}/", seconds=1).body == b"hello"


def test_an_address_may_be_a_number(transport: HttpClient, servers: ExitStack) -> None:
    """Of either family."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listening:
        port = listening.getsockname()[1]
    for host in ("127.0.0.1", "[::1]"):
        with pytest.raises(ConnectionFailed) as raised:
            get(transport, f"https://{host}:{port}/")
        assert raised.value.reason == "ConnectionRefusedError"


_getaddrinfo = socket.getaddrinfo


def _addresses(*addresses: str) -> Any:  # noqa: ANN401 - stands in for an overloaded function
    def resolve(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:  # noqa: ANN401
        names = addresses if host == "many.example" else (host,)
        return [info for name in names for info in _getaddrinfo(name, port, *args, **kwargs)]

    return resolve


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
    """There is no time for a response."""
    server = plain(servers, OK)
    with pytest.raises(DeadlineExceeded):
        get(transport, server.url, seconds=-1)
    assert server.connections == 0


CUT_ANYWHERE = {
    "nothing": hang_up,
    "body": cut(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
    "chunk": cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf"),
    "end of a chunk": cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf"),
    "next chunk": cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
    "no chunk": cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"),
    "no http": cut(b"220 mail.example ESMTP\r\n\r\n"),
    "another protocol": cut(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    ),
    "early hints": b"HTTP/1.1 103 Early Hints\r\nX-Name: early\r\n\r\n" + OK,
}
CUT_UNDER_TLS = {
    "head": cut(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "head after a line": cut(b"HTTP/1.1 404 Not Found\r\nDate: today\r\n"),
    "no length": cut(b"HTTP/1.1 200 OK\r\n\r\nno end"),
    "no body": cut(b"HTTP/1.1 200 OK\r\n\r\n"),
}


@pytest.mark.parametrize("reply", CUT_ANYWHERE.values(), ids=CUT_ANYWHERE)
def test_an_incomplete_or_malformed_response_is_a_failed_connection(
    transport: HttpClient, servers: ExitStack, reply: Reply
) -> None:
    """The next call gets its own response."""
    server = plain(servers, reply, OK)
    with pytest.raises(ConnectionFailed):
        get(transport, server.url)
    assert get(transport, server.url).body == b"hello"


@pytest.mark.parametrize(
    "reply", [*CUT_ANYWHERE.values(), *CUT_UNDER_TLS.values()], ids=[*CUT_ANYWHERE, *CUT_UNDER_TLS]
)
def test_under_tls_a_cut_connection_is_distinguished_from_a_closed_one(
    transport: HttpClient, tls: ssl.SSLContext, servers: ExitStack, reply: Reply
) -> None:
    """So a response without a length is complete, or an error (RFC 9112, 6.3 and 9.8)."""
    server = over_tls(servers, tls, reply, OK)
    with pytest.raises(ConnectionFailed):
        get(transport, by_name(server))
    assert get(transport, by_name(server)).body == b"hello"


@pytest.mark.parametrize("body", [b"hello", b"", b"x" * 100_000])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_response_may_end_with_its_connection(
    transport: HttpClient, tls: ssl.SSLContext, servers: ExitStack, body: bytes, *, secure: bool
) -> None:
    """If it has no length (RFC 9112, section 6.3)."""
    ended = end(b"HTTP/1.1 200 OK\r\nX-Name: value\r\n\r\n" + body)
    server = servers.enter_context(ScriptedServer(ended, OK, tls=tls if secure else None))
    found = get(transport, by_name(server))
    assert (found.status, found.headers.get("x-name"), found.body) == (200, "value", body)
    assert get(transport, by_name(server)).body == b"hello"


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        b"HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nContent-Length: 5\r\n\r\nhello",
        CHUNKED.replace(b"\r\n", b"\r\nContent-Length: 3\r\n", 1),
        CHUNKED.replace(b"\r\n", b"\r\nContent-Length: 500\r\n", 1),
        OK.replace(b": 5", b": 5, 5"),
        OK.replace(b": 5", b": " + b"9" * 5000),
        OK.replace(b": 5", b": -5"),
        OK.replace(b": 5", b": 5\r\nContent-Length: 3"),
        OK + answer(200, b"another's"),
        answer(204, b"another's"),
        answer(304, b"another's"),
        OK + b"x" * 20_000,
        answer(200, b"x" * 9_000) + answer(200, b"another's"),
    ],
    ids=[
        "no carriage returns",
        "folded header",
        "two framings, short",
        "two framings, long",
        "length twice",
        "endless length",
        "negative length",
        "two lengths",
        "two answers",
        "204 with a body",
        "304 with a body",
        "a rest",
        "two answers in one record",
    ],
)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_malformed_http_does_not_reach_the_next_call(
    transport: HttpClient, tls: ssl.SSLContext, servers: ExitStack, reply: bytes, *, secure: bool
) -> None:
    """http.client accepts it, and its rest could be another call's link."""

    def then_wait(connection: socket.socket) -> None:
        connection.sendall(reply)
        connection.settimeout(0.5)
        with suppress(TimeoutError):
            connection.recv(65_536)

    server = servers.enter_context(ScriptedServer(then_wait, OK, tls=tls if secure else None))
    with suppress(ConnectionFailed):
        assert b"another" not in get(transport, by_name(server)).body
    with suppress(ConnectionFailed):
        assert get(transport, by_name(server)).body == b"hello"
    assert get(transport, by_name(server)).body == b"hello"


def test_a_kept_connection_that_has_ended_is_opened_again(
    transport: HttpClient, tls: ssl.SSLContext, servers: ExitStack
) -> None:
    """Servers close idle connections, and the caller does not notice."""
    server = over_tls(servers, tls, cut(OK), OK)
    get(transport, by_name(server))
    time.sleep(0.1)
    assert get(transport, by_name(server)).body == b"hello"
    assert server.connections == 2


def test_a_kept_connection_that_ends_as_a_request_arrives_is_a_failed_one(
    transport: HttpClient, tls: ssl.SSLContext, servers: ExitStack
) -> None:
    """The server may have processed the request, so the caller decides about a retry."""
    server = over_tls(servers, tls, OK, hang_up, OK)
    get(transport, by_name(server))
    with pytest.raises(ConnectionFailed):
        get(transport, by_name(server))
    assert len(server.heads) == 2
    assert get(transport, by_name(server)).body == b"hello"


def reset(connection: socket.socket) -> None:
    """Reset the connection, as a crashed machine's neighbour does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_failure_names_its_cause_by_its_type(
    transport: HttpClient, tls: ssl.SSLContext, servers: ExitStack
) -> None:
    """Name resolution, refusal, certificate, reset, cut. Its text would hold the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    server = over_tls(servers, tls, OK)
    half = cut(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    causes = {
        "https://no-such-host.invalid/canary": "gaierror",
        "http://no-such-host.invalid/canary": "gaierror",
        f"https://127.0.0.1:{port}/canary": "ConnectionRefusedError",
        f"http://127.0.0.1:{port}/canary": "ConnectionRefusedError",
        f"https://127.0.0.1:{server.port}/canary": "SSLCertVerificationError",
        f"{plain(servers, reset).url}/canary": "ConnectionResetError",
        f"{plain(servers, hang_up).url}/canary": "RemoteDisconnected",
        f"{plain(servers, half).url}/canary": "IncompleteRead",
        f"{by_name(over_tls(servers, tls, half))}/canary": "SSLEOFError",
        f"{plain(servers, cut(b'no http')).url}/canary": "BadStatusLine",
        f"https://127.0.0.1:{plain(servers, OK).port}/canary": "TimeoutError",
    }
    found = {}
    for url in causes:
        with pytest.raises((ConnectionFailed, DeadlineExceeded)) as raised:
            get(transport, url, seconds=0.5)
        found[url] = raised.value.reason
        assert "canary" not in repr(raised.value)
        assert raised.value.__cause__ is None
        assert raised.value.__suppress_context__
    assert found == causes


@pytest.mark.parametrize(
    "head",
    [
        f"HTTP/1.1 200 OK\r\nContent-Length: {10**12}\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["length", "chunked", "no length"],
)
def test_a_response_longer_than_one_mib_is_an_error(
    transport: HttpClient, servers: ExitStack, head: str
) -> None:
    """With and without a Content-Length. The rest is not read."""
    server = plain(servers, cut(head.encode() + b"x" * (MAX_BODY_BYTES + 100_000)), OK)
    with pytest.raises(ResponseTooLarge):
        get(transport, server.url)
    assert get(transport, server.url).body == b"hello"


def test_the_connection_of_a_partly_read_response_is_closed(
    transport: HttpClient, servers: ExitStack
) -> None:
    """At once, not at garbage collection."""
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


def test_endless_headers_are_a_failed_connection(transport: HttpClient, servers: ExitStack) -> None:
    """http.client limits them."""
    for head in (b"X-Name: " + b"x" * 1_000_000, b"X-Name: value\r\n" * 100_000):
        server = plain(servers, cut(b"HTTP/1.1 200 OK\r\n" + head), OK)
        with pytest.raises(ConnectionFailed):
            get(transport, server.url)
        assert get(transport, server.url).body == b"hello"


def test_a_response_of_one_mib_is_read(transport: HttpClient, servers: ExitStack) -> None:
    """The limit itself is allowed."""
    server = plain(servers, answer(200, b"x" * MAX_BODY_BYTES))
    assert len(get(transport, server.url).body) == MAX_BODY_BYTES == 1024 * 1024


def test_a_response_does_not_show_its_body() -> None:
    """It may hold a link, and so may its headers."""
    assert "canary" not in repr(Response(200, {"Location": "canary"}, b"canary"))


def test_the_platforms_folder_of_authorities_is_trusted(
    files: TlsFiles, tls: ssl.SSLContext, servers: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundle is not read, which would take 24 ms."""
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
    """An image may have an empty folder. Then the bundle of certifi is used."""
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setattr(certifi, "where", lambda: str(files.ca))
    server = servers.enter_context(ScriptedServer(OK, tls=tls))
    assert get(HttpClient(pool_size=1), f"https://localhost:{server.port}/x").body == b"hello"


@pytest.mark.parametrize(("authorities", "is_the_platforms"), [(99, False), (100, True)])
def test_a_folder_is_the_platforms_from_a_hundred_authorities_on(
    files: TlsFiles,
    tls: ssl.SSLContext,
    servers: ExitStack,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    authorities: int,
    is_the_platforms: bool,
) -> None:
    """A smaller one was made for another purpose, so the bundle of certifi is used."""
    for number in range(authorities):
        (tmp_path / f"{number:08x}.0").touch()
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setattr(certifi, "where", lambda: str(files.ca))
    server = servers.enter_context(ScriptedServer(OK, tls=tls))
    client, url = HttpClient(pool_size=1), f"https://localhost:{server.port}/x"

    if is_the_platforms:
        with pytest.raises(ConnectionFailed):  # its empty files name no authority
            get(client, url)
    else:
        assert get(client, url).body == b"hello"


def test_unrequested_bytes_do_not_reach_the_next_call(
    transport: HttpClient, servers: ExitStack
) -> None:
    """They could hold another call's link."""

    def twice(connection: socket.socket) -> None:
        connection.sendall(OK)
        time.sleep(0.1)
        connection.sendall(answer(200, b"another's"))
        connection.recv(1)

    server = plain(servers, twice, OK)
    assert get(transport, server.url).body == b"hello"
    time.sleep(0.3)
    assert get(transport, server.url).body == b"hello"


@pytest.mark.parametrize(
    "headers",
    [
        {"X": "canary\r\nY: z"},
        {"X": "canary\nY: z"},
        {"X": "canary\r"},
        {"X": "canary\r\n folded"},
        {"X": "canary\0"},
        {"X": "canary\x7f"},
        {"X": "canary\u2603"},
        {"X": "canary\u00fc"},
        {"X: y\r\nZ": "canary"},
    ],
)
def test_a_header_with_control_characters_is_not_sent(
    transport: HttpClient, servers: ExitStack, headers: dict[str, str]
) -> None:
    """The error does not quote it, because it may be a token."""
    server = plain(servers, OK)
    with pytest.raises(ValueError, match="not printable ASCII") as raised:
        transport.get(server.url + "/1", headers=headers, deadline=time.monotonic() + 5)
    assert "canary" not in f"{raised.value!r}{raised.value.__cause__}{raised.value.__context__}"
    assert get(transport, server.url + "/2").body == b"hello"
    assert server.targets == ["/2"]


def use_proxy(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Send all HTTPS calls through a proxy."""
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
    """The proxy sees only the host's name. The tunnel is kept."""
    server = servers.enter_context(ScriptedServer(OK, tls=tls))
    proxy = servers.enter_context(ConnectProxy({"localhost": server.port}))
    use_proxy(monkeypatch, proxy.environment["HTTPS_PROXY"])
    for _ in range(3):
        assert get(transport, "https://localhost/x").body == b"hello"
    assert (server.connections, server.targets) == (1, ["/x"] * 3)


def test_after_a_slow_proxy_the_call_has_only_the_remaining_time(
    transport: HttpClient, servers: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handshake after it does not get the whole time again."""

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
    tls: ssl.SSLContext,
    servers: ExitStack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TLS runs inside TLS in both directions, and deadlines hold there as well."""
    half = cut_short_and_wait(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", after=0.5)
    server = servers.enter_context(ScriptedServer(OK, half, tls=tls))

    def carry(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with socket.create_connection(("127.0.0.1", server.port)) as other:
            tunnel(connection, other)

    proxy = servers.enter_context(ScriptedServer(carry, tls=tls))
    use_proxy(monkeypatch, f"https://localhost:{proxy.port}")
    assert get(transport, "https://localhost/x").body == b"hello"
    with ends_within(1.3), pytest.raises(DeadlineExceeded):
        get(transport, "https://localhost/x", seconds=0.8)
    assert proxy.targets == ["localhost:443"]


def test_without_tls_no_proxy_is_used(
    transport: HttpClient, servers: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would see the whole request, and no proxy leads to a loopback address."""
    proxy = plain(servers, answer(200, b"proxy"))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy.url)
    assert get(transport, plain(servers, OK).url).body == b"hello"
    assert proxy.heads == []
