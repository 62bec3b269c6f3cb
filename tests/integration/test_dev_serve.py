"""`python dev.py serve`, as a person at a terminal starts and ends it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="asks /proc about processes")
def test_ctrl_c_stops_everything_and_leaves_no_process() -> None:
    """Azurite and the worker are processes of their own, and end with it."""
    with subprocess.Popen(
        [sys.executable, "-m", "dev", "serve"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout
            assert any("Ctrl-C stops everything" in line for line in process.stdout)
            started = list(descendants(process.pid))

            os.killpg(process.pid, signal.SIGINT)
            output, _ = process.communicate(timeout=30)
        finally:
            process.kill()

    assert process.returncode == 0
    assert "Stopping ..." in output
    assert "Traceback" not in output
    assert len(started) >= 2
    assert not [pid for pid in started if Path("/proc", str(pid)).exists()]


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
