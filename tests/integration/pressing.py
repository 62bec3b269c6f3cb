"""Presses Ctrl-C as at a terminal."""

import os
import signal
import subprocess
from pathlib import Path

from tests.integration.app_under_test import eventually
from tests.integration.serving import descendants

INTERRUPTED = 130


def press(process: subprocess.Popen[str], *, name: str = "SIGINT") -> str:
    """Press Ctrl-C, or send the group another signal, and wait until all its processes end.

    Returns:
        The output from then on.
    """
    running = list(descendants(process.pid))
    os.killpg(process.pid, signal.Signals[name])
    output, _ = process.communicate(timeout=20)
    assert process.returncode == INTERRUPTED, output
    eventually(lambda: not any(map(_runs, running)), within=5)
    return output


def _runs(pid: int) -> bool:
    try:  # an ended process is a zombie until its parent has waited for it
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False
