"""A name server that does not answer costs a request some seconds, by the resolver's options."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from dev.host.host import Host
from dev.host.logs import LogLine
from dev.local_run import FUNCTION_KEY, MASTER_KEY, ROOT, LocalAzure
from tests.integration.app_under_test import eventually
from tests.integration.conftest import QUICK_QUEUES

SERVER = "127.53.53.53"
REQUEST = {"userId": "4e7c2a10-5d38-4c1f-9f6e-0d1b9a8c7e65", "onlineMeetingId": "M1"}


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    """A name server that takes questions and answers none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        try:
            server.bind((SERVER, 53))
        except OSError:
            pytest.skip("this user may not listen on port 53")
        yield server


@pytest.fixture
def python(silent_server: socket.socket, tmp_path: Path) -> str:
    """An interpreter that asks that name server, and no other."""
    configuration = tmp_path / "resolv.conf"
    configuration.write_text(f"nameserver {SERVER}\n", encoding="ascii")
    program = tmp_path / "python"
    mount = f"mount --bind {configuration} /etc/resolv.conf"
    run = f'{mount} && exec {sys.executable} "$@"'
    program.write_text(f"#!/bin/sh\nexec unshare --mount sh -c '{run}' sh \"$@\"\n", "ascii")
    program.chmod(0o755)
    tried = subprocess.run([program, "-c", ""], capture_output=True, check=False)  # noqa: S603 - ours
    if tried.returncode:
        pytest.skip("this user may not mount")
    return str(program)


@pytest.fixture
def ask(python: str) -> Iterator[Callable[..., tuple[requests.Response, list[LogLine]]]]:
    """Ask an app for a link that has to find Graph by its name."""
    with ExitStack() as apps:

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
                python=python,
            )
            apps.enter_context(host)
            key = {"x-functions-key": FUNCTION_KEY}
            url = f"{host.url}/api/join-link"
            return requests.post(url, json=REQUEST, headers=key, timeout=60), lines

        yield ask


def test_a_request_ends_in_seconds_where_the_name_server_is_silent(
    ask: Callable[..., tuple[requests.Response, list[LogLine]]],
) -> None:
    """By RES_OPTIONS among the app settings; without it, the resolver waits five times as long."""
    answer, lines = ask()
    without, _ = ask(RES_OPTIONS=None)

    assert (answer.status_code, answer.json()["code"]) == (504, "graph_timeout")
    assert without.status_code == 504
    assert answer.elapsed < without.elapsed / 2
    eventually(lambda: any('"note":"gaierror"' in line.message for line in lines))
