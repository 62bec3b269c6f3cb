"""A server taken away and given back, in front of the identity endpoint as an example."""

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
    """What is behind it."""
    authority = Authority("10000000-0000-4000-8000-000000000001")
    with IdentityEndpoint(authority, client_id="app", object_id="identity") as server:
        yield server


@pytest.fixture
def proxy(server: IdentityEndpoint) -> Iterator[TcpProxy]:
    """What is before it."""
    with TcpProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def session() -> Iterator[requests.Session]:
    """A caller that keeps its connection."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


def ask(session: requests.Session, proxy: TcpProxy, *, timeout: float = 5) -> int:
    """The status that comes back: 404, which is as good as any."""
    return session.get(f"http://127.0.0.1:{proxy.port}/", timeout=timeout).status_code


def test_forwards_both_ways(proxy: TcpProxy, session: requests.Session) -> None:
    """Nobody notices it."""
    assert [ask(session, proxy), ask(session, proxy)] == [404, 404]


def test_down_cuts_old_connections_and_refuses_new_ones(
    proxy: TcpProxy, session: requests.Session
) -> None:
    """An outage, and its end, on the same port."""
    ask(session, proxy)

    with proxy.down():
        for _ in range(3):
            with pytest.raises(requests.ConnectionError):
                ask(session, proxy)

    assert ask(session, proxy) == 404


def test_stalled_carries_nothing_until_it_ends(proxy: TcpProxy, session: requests.Session) -> None:
    """Connections hang rather than fail; what was sent arrives afterwards."""
    ask(session, proxy)

    with proxy.stalled(), pytest.raises(requests.ReadTimeout):
        ask(session, proxy, timeout=0.1)

    assert ask(session, proxy) == 404


def test_leaves_nothing_behind(server: IdentityEndpoint) -> None:
    """Stopped while stalled with a connection open, it ends at once."""
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
