"""Starts Python as a shell at a terminal does, and presses Ctrl-C."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.integration.app_under_test import eventually
from tests.integration.serving import AT_A_TERMINAL, PROJECT, descendants

INTERRUPTED = 130


@contextlib.contextmanager
def started(
    *arguments: str, folder: Path = PROJECT, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """Run Python in a group of its own; nothing outlives a minute."""
    with subprocess.Popen(  # noqa: S603 - this project's own commands
        [sys.executable, "-c", AT_A_TERMINAL, sys.executable, *arguments],
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        limit = threading.Timer(60, process.kill)
        limit.start()
        try:
            yield process
        finally:
            limit.cancel()
            process.kill()


def press(process: subprocess.Popen[str], *, name: str = "SIGINT") -> str:
    """Press Ctrl-C, or send the group another signal, and see it end with all that it has started.

    Returns:
        What is printed from then on.
    """
    running = list(descendants(process.pid))
    os.killpg(process.pid, signal.Signals[name])
    output, _ = process.communicate(timeout=20)
    assert process.returncode == INTERRUPTED, output
    eventually(lambda: not any(map(_runs, running)), within=5)
    return output


def _runs(pid: int) -> bool:
    try:  # what has ended shows as a zombie until somebody has taken notice
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False
