"""A server that goes away and comes back, with the identity endpoint as an example."""

import threading
import time
from collections.abc import Iterator

import pytest
import requests

from dev.stand_ins.authority import Authority
from dev.stand_ins.identity_endpoint import IdentityEndpoint
from dev.stand_ins.tcp_proxy import TcpProxy


@pytest.fixture(scope="module")
def server() -> Iterator[IdentityEndpoint]:
    """The server behind the proxy."""
    authority = Authority("10000000-0000-4000-8000-000000000001")
    with IdentityEndpoint(authority, client_id="app", object_id="identity") as server:
        yield server


@pytest.fixture
def proxy(server: IdentityEndpoint) -> Iterator[TcpProxy]:
    """The proxy."""
    with TcpProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def session() -> Iterator[requests.Session]:
    """A caller that keeps its connection open."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


def ask(session: requests.Session, proxy: TcpProxy, *, timeout: float = 5) -> int:
    """Give the response's status, which is 404."""
    return session.get(f"http://127.0.0.1:{proxy.port}/", timeout=timeout).status_code


def test_forwards_both_ways(proxy: TcpProxy, session: requests.Session) -> None:
    """A caller sees no difference."""
    assert [ask(session, proxy), ask(session, proxy)] == [404, 404]


def test_down_cuts_old_connections_and_refuses_new_ones(
    proxy: TcpProxy, session: requests.Session
) -> None:
    """As in an outage. It ends on the same port."""
    ask(session, proxy)

    with proxy.down():
        for _ in range(3):
            with pytest.raises(requests.ConnectionError):
                ask(session, proxy)

    assert ask(session, proxy) == 404


def test_while_stalled_nothing_is_forwarded(proxy: TcpProxy, session: requests.Session) -> None:
    """Connections hang and do not fail. The bytes arrive afterwards."""
    ask(session, proxy)

    with proxy.stalled(), pytest.raises(requests.ReadTimeout):
        ask(session, proxy, timeout=0.1)

    assert ask(session, proxy) == 404


def test_leaves_no_thread_or_connection(server: IdentityEndpoint) -> None:
    """Stopped while stalled with an open connection, it ends at once."""
    before = set(threading.enumerate())
    proxy = TcpProxy(server.port)
    with proxy, requests.Session() as session:
        session.trust_env = False
        with proxy.stalled():
            with pytest.raises(requests.ReadTimeout):
                ask(session, proxy, timeout=0.1)
            started = time.monotonic()
            proxy.__exit__()
            took = time.monotonic() - started

    assert took < 1
    assert {thread for thread in threading.enumerate() if thread.name == "tcp proxy"} <= before
