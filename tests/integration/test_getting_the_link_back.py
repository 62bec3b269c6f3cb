"""docs/getting-the-link-back.md: its programs run unchanged."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from dev.clinic import Clinic
from dev.local_run import FUNCTION_KEY, ROOT
from dev.stand_ins.graph_data import GraphData
from tests.integration.app_under_test import App, eventually
from tests.integration.conftest import FreshApp

GUIDE = ROOT / "docs" / "getting-the-link-back.md"
SECRET = "whsec_YSBzZWNyZXQgb2YgdGhlIHBhZ2UncyByZWNlaXZlcnMgLi4u"
PORT = 8080
"""The port in the programs. The tests use a free one."""


def programs(language: str) -> list[str]:
    """Give the page's blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)


def lines(code: str) -> int:
    """Count the lines that are not empty."""
    return len([line for line in code.splitlines() if line.strip()])


def free_port() -> int:
    """Find a free port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def receiver(language: str, folder: Path, port: int) -> Iterator[IO[str]]:
    """Run the page's receiver, and give its output."""
    code = programs(language)[0]
    assert code.count(str(PORT)) == 1
    code = code.replace(str(PORT), str(port))
    if language == "javascript":
        (folder / "node_modules").symlink_to(ROOT / "dev" / "node_modules")
        (folder / "receiver.mjs").write_text(code, encoding="utf-8")
        command = ["node", "receiver.mjs"]
    else:
        command = [sys.executable, "-c", code]
    running = subprocess.Popen(  # noqa: S603 - ours
        command,
        cwd=folder,
        env={**os.environ, "SECRET": SECRET},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert running.stdout is not None
        yield running.stdout
    finally:
        running.kill()
        running.wait()
        if running.stdout is not None:
            running.stdout.close()


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_the_pages_receiver_accepts_the_apps_deliveries(
    fresh_app: FreshApp, tmp_path: Path, language: str
) -> None:
    """In at most 20 lines. It refuses an unsigned post."""
    assert lines(programs(language)[0]) <= 20
    port = free_port()
    url = f"http://127.0.0.1:{port}/hooks/links"
    entry = {"url": url, "secret": "delivery-page", "private": True}
    app = fresh_app({"DELIVERIES": json.dumps({"page": entry})})
    app.run.vault.set_secret("delivery-page", app.log.forbid("a delivery's secret", SECRET))
    request = app.request()

    with receiver(language, tmp_path, port) as printed:
        eventually(lambda: answers(app, url) == 401, within=20)
        app.enqueue(request)

        assert printed.readline().split() == ["join_link.resolved", request["requestId"]]


def test_the_pages_call_to_the_local_run_names_one_of_its_meetings() -> None:
    """With its organizer and the local run's key."""
    clinic = Clinic.open(GraphData("72f988bf-0000-4000-8000-000000000001"))
    (call,) = (code for code in programs("bash") if "http://127.0.0.1:7071" in code)

    body = json.loads(re.findall(r"-d '(.*?)'", call, re.DOTALL)[0])
    assert body == {
        "userId": clinic.doctor.user_principal_name,
        "joinWebUrl": clinic.meeting.join_web_url,
    }
    assert f"x-functions-key: {FUNCTION_KEY}" in call


def answers(app: App, url: str) -> int:
    """Post without a signature, and give the status, or 0 if nothing listens yet."""
    try:
        return app.session.post(url, data=b"{}", timeout=5).status_code
    except OSError:
        return 0


def test_the_pages_reader_takes_results_from_the_queue(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    """In at most 15 lines. It deletes what it has read."""
    _, code = programs("python")
    assert lines(code) <= 15
    request = app.request()
    app.enqueue(request)
    results = app.run.queue("join-link-results")
    eventually(results.peek_messages)
    reader: dict[str, object] = {}
    exec(code, reader)  # noqa: S102 - ours

    reader["read"](results)  # type: ignore[operator] # the page's function

    told = capsys.readouterr().out.split()
    assert told == ["virtual-appointment.join-link.resolved", request["requestId"]]
    assert not results.peek_messages()
