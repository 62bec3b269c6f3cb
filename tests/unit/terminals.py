"""Runs commands on a terminal, as far as they can tell."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COLOUR = "\033["
"""How every change of colour begins."""


def show(*arguments: str, typed: str = "", **environment: str) -> tuple[int, str]:
    """Run Python on a terminal of its own; return its exit code, and all that was shown.

    Args:
        *arguments: What follows `python`.
        typed: What somebody has typed ahead.
        **environment: What it finds there beside PATH and a terminal that knows colours.
    """
    ours, its = pytest.importorskip("pty", reason="there are none on Windows").openpty()
    os.write(ours, typed.encode())
    with subprocess.Popen(  # noqa: S603 - this project's own commands
        [sys.executable, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "TERM": "xterm", **environment},
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    ) as process:
        os.close(its)
        shown = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    return process.returncode, shown.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # nobody has it open any longer
        return b""
