"""`python dev.py serve --host func`, with a stub of func that records its call and runs the app."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from dev import func_host, serve
from dev.booking_systems import SECRETS, sign_as_calcom
from dev.func_host import FuncHost
from dev.local_run import sample_settings
from tests.integration.serving import PROJECT, descendants, end_of, serving, stop, until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stub is found by its #! line")
UP = "Ctrl-C stops everything"


class Func:
    """The stub, in a folder that goes on the PATH, and what it recorded."""

    def __init__(self, folder: Path) -> None:
        self._record = folder / "record.json"
        program = folder / "func"
        text = Path(__file__).with_name("func_stub.py").read_text(encoding="utf-8")
        program.write_text(f"#!/usr/bin/env python3\n{text}", encoding="utf-8")
        program.chmod(0o755)
        self.environment = {
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "FUNC_RECORD": str(self._record),
        }

    @property
    def recorded(self) -> dict[str, Any]:
        """Its arguments, folder, environment and so on."""
        recorded: dict[str, Any] = json.loads(self._record.read_text(encoding="utf-8"))
        return recorded


@pytest.fixture
def func(tmp_path: Path) -> Func:
    """A func that runs the app."""
    return Func(tmp_path)


def test_func_is_started_as_a_person_would_start_it(func: Func) -> None:
    """In the app's folder, on a free or given port, with the app's Python."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with serving("--host", "func", "--port", str(port), environment=func.environment) as process:
        guide = until(process, UP)
        stop(process)

    assert func.recorded["arguments"] == ["start", "--port", str(port)]
    assert func.recorded["folder"] == str(PROJECT)
    assert func.recorded["prefix"] == func.recorded["environment"]["VIRTUAL_ENV"] == sys.prefix
    assert f"curl -iw '\\n' http://127.0.0.1:{port}/api/health" in guide


def test_a_users_own_sources_work_under_func(func: Func, tmp_path: Path) -> None:
    """With a command to paste."""
    file = tmp_path / "sources.json"
    file.write_text('{"mine": {"preset": "standard", "secret": "webhook-mine"}}', encoding="utf-8")
    options = ("--host", "func", "--sources", str(file))
    with serving(*options, environment=func.environment) as process:
        guide = until(process, UP)
        stop(process)

    assert "mine" in json.loads(func.recorded["environment"]["WEBHOOK_SOURCES"])
    assert "\n== mine\n" in guide


def test_the_app_works_under_func(func: Func) -> None:
    """A signed booking becomes a link, and the vault is reached past func's proxy."""
    proxies = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "intranet.example"}
    with serving("--host", "func", environment={**func.environment, **proxies}) as process:
        guide = until(process, UP)
        url = guide.partition("curl -iw '\\n' ")[2].partition("/api/")[0]
        booking = guide.partition("\n== calcom")[2].partition("EVENT='")[2].partition("'\n")[0]
        body = booking.encode()
        headers = sign_as_calcom(body, SECRETS["webhook-calcom"])
        answer = requests.post(f"{url}/api/webhooks/calcom", data=body, headers=headers, timeout=30)
        assert (answer.status_code, answer.reason) == (202, "Accepted")
        until(process, f"-> join-link-results: {answer.json()['requestId']} ")
        result = until(process, "virtualAppointmentJoinWebUrl")
        stop(process)

    environment = func.recorded["environment"]
    assert json.loads(result)["requestId"] == answer.json()["requestId"]
    assert environment["HTTPS_PROXY"] == proxies["HTTPS_PROXY"]
    assert environment["NO_PROXY"] == environment["no_proxy"]
    assert environment["NO_PROXY"].split(",") == ["intranet.example", "127.0.0.1", "localhost"]


def test_the_demo_succeeds_under_func(func: Func) -> None:
    """With the same calls. CI runs it with the real func."""
    done = run_dev("demo", "--host", "func", environment=func.environment)

    assert (done.returncode, done.stderr) == (0, "")
    assert "came out right." in done.stdout
    assert func.recorded["arguments"][0] == "start"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"PATH": ""}, "install Azure Functions Core Tools 4"),
        ({"FUNC_EXIT": "3"}, "func has ended by itself, with exit code 3."),
    ],
)
def test_the_demo_without_func_says_what_is_wrong(
    environment: dict[str, str], message: str, func: Func
) -> None:
    """And fails."""
    done = run_dev("demo", "--host", "func", environment={**func.environment, **environment})

    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_func_gets_every_setting_and_storage_for_its_own_locks(func: Func) -> None:
    """As environment variables. Nothing is written into the checkout."""
    file = PROJECT / "local.settings.json"
    before = file.read_bytes() if file.exists() else None
    with serving("--host", "func", environment=func.environment) as process:
        until(process, UP)
        environment = func.recorded["environment"]
        parts = (part.partition("=") for part in environment["AzureWebJobsStorage"].split(";"))
        endpoints = {name: urlsplit(value) for name, _, value in parts if "Endpoint" in name[-8:]}
        for endpoint in endpoints.values():
            socket.create_connection((endpoint.hostname or "", endpoint.port or 0)).close()
        stop(process)

    assert set(sample_settings()) <= set(environment)
    assert endpoints.keys() == {"BlobEndpoint", "QueueEndpoint", "TableEndpoint"}
    assert (file.read_bytes() if file.exists() else None) == before


def test_funcs_output_is_shown_and_the_differences_are_explained(func: Func) -> None:
    """The extension bundle before it starts; the keys and the addresses in the guide."""
    with serving("--host", "func", environment=func.environment) as process:
        before = until(process, "func says: hello")
        guide = until(process, UP)
        stop(process)

    assert "the first time, it\ndownloads the extension bundle" in before
    assert "func, which checks no keys on this machine, and listens on all" in guide


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="asks /proc about processes")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_ctrl_c_or_a_closed_terminal_ends_func_too(func: Func, how: signal.Signals) -> None:
    """It is asked once, before the services that it uses end. No process is left."""
    with serving("--host", "func", environment=func.environment) as process:
        until(process, UP)
        started = list(descendants(process.pid))
        os.killpg(process.pid, how)
        output = end_of(process)

    assert process.returncode == 0
    assert output.count("func says: goodbye") == 1
    assert "Stopping ..." in output
    assert "Traceback" not in output
    assert func.recorded["pid"] in started
    assert len(started) >= 3  # func, its worker, and Azurite
    assert not [pid for pid in started if Path("/proc", str(pid)).exists()]


def run_dev(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command of dev.py to its end."""
    return subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-m", "dev", *arguments],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_without_func_one_line_says_what_to_install(tmp_path: Path) -> None:
    """And that the other commands work without it."""
    done = run_dev("serve", "--host", "func", environment={"PATH": str(tmp_path)})

    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "install Azure Functions Core Tools 4" in done.stderr
    assert "or run: python dev.py serve" in done.stderr


def test_the_error_for_a_func_that_does_not_start_has_its_exit_code(func: Func) -> None:
    """Its output is printed above."""
    with serving("--host", "func", environment={**func.environment, "FUNC_EXIT": "3"}) as process:
        output = end_of(process)

    assert process.returncode == 1
    assert "func says: hello" in output
    assert "func has ended by itself, with exit code 3." in output
    assert "Traceback" not in output
    assert UP not in output


def test_the_error_for_a_func_that_ends_later_has_its_exit_code(func: Func) -> None:
    """Here it is killed while it serves."""
    with serving("--host", "func", environment=func.environment) as process:
        until(process, UP)
        os.kill(func.recorded["pid"], signal.SIGKILL)
        output = end_of(process)

    assert process.returncode == 1
    assert "func has ended by itself, with exit code -9." in output


def test_a_func_that_ignores_ctrl_c_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After PATIENCE seconds."""
    program = tmp_path / "func"
    program.write_text(
        "#!/bin/sh\ntrap '' INT\ntouch ready\nwhile :; do sleep 0.1; done\n", encoding="utf-8"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(func_host, "PATIENCE", 0.5)

    monkeypatch.setattr(func_host, "ROOT", tmp_path)  # where it writes that it ignores Ctrl-C

    with FuncHost(environment={}) as func:
        while not (tmp_path / "ready").exists():
            time.sleep(0.01)

    assert func.exit_code == -signal.SIGKILL


def test_each_thing_that_a_start_waits_for_is_printed_once(
    func: Func, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A person who waits for func's download sees that the start goes on, and what is missing."""
    for name, value in func.environment.items():
        monkeypatch.setenv(name, value)

    printed = ""
    with FuncHost(environment={"AzureWebJobsStorage": ""}) as host:
        waiting = threading.Thread(target=host.wait_until_up)
        waiting.start()
        deadline = time.monotonic() + 30
        while "/api/health answers 503" not in printed and time.monotonic() < deadline:
            time.sleep(0.1)
            printed += capfd.readouterr().out
    waiting.join(10)

    assert printed.count(f"{host.url}/api/health does not answer yet\n") == 1
    assert printed.count(f"{host.url}/api/health answers 503\n") == 1


def test_the_guide_mentions_a_local_settings_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says before the start whose settings win, because func reads the file as well."""
    monkeypatch.setattr(serve, "ROOT", tmp_path)
    func = FuncHost(environment={}, port=7071)
    without = serve._before_func(func)
    (tmp_path / "local.settings.json").write_text("{}", encoding="utf-8")

    with_one = serve._before_func(func)

    assert "local.settings.json" not in without
    assert "There is a local.settings.json: this run's settings go before it" in with_one
