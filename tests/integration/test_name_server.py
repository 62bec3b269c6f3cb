"""A silent name server costs a request some seconds, depending on the resolver's options."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from dev.host.host import Host
from dev.host.logs import LogLine
from dev.local_run import FUNCTION_KEY, MASTER_KEY, ROOT, LocalAzure
from dev.stand_ins.name_server import NameServer
from tests.integration.app_under_test import eventually
from tests.integration.conftest import QUICK_QUEUES

REQUEST = {"userId": "4e7c2a10-5d38-4c1f-9f6e-0d1b9a8c7e65", "onlineMeetingId": "M1"}


@pytest.fixture
def names(tmp_path: Path) -> Iterator[NameServer]:
    """A separate name server for each test."""
    with ExitStack() as parts:
        try:
            names = parts.enter_context(NameServer(tmp_path))
        except OSError as error:
            pytest.skip(f"this user may not run a name server: {error}")
        yield names


@pytest.fixture
def ask(names: NameServer) -> Iterator[Callable[..., tuple[requests.Response, list[LogLine]]]]:
    """Ask an app for a link when it must resolve Graph's name."""
    with names.silent(), ExitStack() as apps:

        def ask(**settings: str | None) -> tuple[requests.Response, list[LogLine]]:
            azure = LocalAzure(
                settings={
                    "GRAPH_ROOT": "https://graph.microsoft.com",
                    "HTTPS_PROXY": None,
                    "GRAPH_TIMEOUT_SECONDS": "2",
                    **QUICK_QUEUES,
                    **settings,
                }
            )
            lines: list[LogLine] = []
            host = Host(
                app=ROOT,
                environment=apps.enter_context(azure).environment(),
                function_key=FUNCTION_KEY,
                master_key=MASTER_KEY,
                on_log=lines.append,
                python=names.python,
            )
            apps.enter_context(host)
            key = {"x-functions-key": FUNCTION_KEY}
            url = f"{host.url}/api/join-link"
            return requests.post(url, json=REQUEST, headers=key, timeout=60), lines

        yield ask


def test_a_request_ends_in_seconds_with_a_silent_name_server(
    ask: Callable[..., tuple[requests.Response, list[LogLine]]],
) -> None:
    """By RES_OPTIONS in the app settings. Without it, the resolver waits five times as long."""
    answer, lines = ask()
    without, _ = ask(RES_OPTIONS=None)

    assert (answer.status_code, answer.json()["code"]) == (504, "graph_timeout")
    assert without.status_code == 504
    assert answer.elapsed < without.elapsed / 2
    eventually(lambda: any('"note":"gaierror"' in line.message for line in lines))


def test_a_name_resolves_until_the_name_server_is_silent(names: NameServer) -> None:
    """To this machine's address. An unanswered query is counted."""
    look_up = "import socket; print(socket.getaddrinfo('graph.soak.example', 443)[0][4][0])"

    def found() -> str:
        environment = {"RES_OPTIONS": "timeout:1 attempts:1"}
        command = [names.python, "-c", look_up]
        return subprocess.run(  # noqa: S603 - ours
            command, env=environment, capture_output=True, text=True, check=False
        ).stdout.strip()

    assert found() == "127.0.0.1"
    with names.silent():
        assert found() == ""
    assert names.unanswered
    assert found() == "127.0.0.1"
