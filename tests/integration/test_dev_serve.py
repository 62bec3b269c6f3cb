"""`python dev.py serve`, as a person at a terminal starts and ends it."""

import ast
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from dev.booking_systems import sign_as_standard

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="asks /proc about processes")
def test_ctrl_c_stops_everything_and_leaves_no_process() -> None:
    """Azurite and the worker are processes of their own, and end with it."""
    with serving() as process:
        until(process, "Ctrl-C stops everything")
        started = list(descendants(process.pid))

        output = stop(process)

    assert process.returncode == 0
    assert "Stopping ..." in output
    assert "Traceback" not in output
    assert len(started) >= 2
    assert not [pid for pid in started if Path("/proc", str(pid)).exists()]


def test_a_system_of_ones_own_posts_what_is_printed_and_sees_its_results() -> None:
    """The address, the secret and the event, ready to paste; each result once, as it arrives."""
    with serving() as process:
        guide = until(process, "Ctrl-C stops everything")
        url, secret, event = ast.literal_eval(
            guide.partition("\npost")[2].partition(")\n")[0] + ")"
        )
        ids = []
        for number in (1, 2):
            body = json.dumps(event).encode()
            headers = sign_as_standard(body, secret, delivery_id=f"delivery-{number}")
            ids.append(requests.post(url, data=body, headers=headers, timeout=30).json())
            output = until(process, f"-> join-link-results: {ids[-1]['requestId']} ")
            result = until(process, "virtualAppointmentJoinWebUrl")

            assert output.count("-> join-link-results") == 1
            assert json.loads(result)["requestId"] == ids[-1]["requestId"]

        assert "-> join-link-results" not in stop(process)


AT_A_TERMINAL = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""What a shell starts in the background, as CI may, begins deaf to Ctrl-C, and so would this."""


@contextlib.contextmanager
def serving() -> Iterator[subprocess.Popen[str]]:
    """Start it as a shell does, in a group of its own; nothing outlives two minutes."""
    with subprocess.Popen(  # noqa: S603 - this project's own command
        [sys.executable, "-c", AT_A_TERMINAL, sys.executable, "-m", "dev", "serve"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        limit = threading.Timer(120, process.kill)
        limit.start()
        try:
            yield process
        finally:
            limit.cancel()
            process.kill()


def until(process: subprocess.Popen[str], text: str) -> str:
    """Read what is printed, up to a line that holds a text."""
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"{text} was never printed: {''.join(lines)}")


def stop(process: subprocess.Popen[str]) -> str:
    """Press Ctrl-C, and give what is printed from then on."""
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    return output


def descendants(pid: int) -> Iterator[int]:
    """Give the processes that a process has started, and those that they have."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text(encoding="utf-8")
        except OSError:  # it has just ended
            continue
        if f"\nPPid:\t{pid}\n" in text:
            child = int(status.parent.name)
            yield child
            yield from descendants(child)
