"""Runs commands on a pseudo-terminal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COLOUR = "\033["
"""The beginning of each escape sequence for colours."""


def show(*arguments: str, typed: str = "", **environment: str) -> tuple[int, str]:
    """Run Python on a pseudo-terminal. Return its exit code and all its output.

    Args:
        *arguments: The arguments of `python`.
        typed: Input typed before it starts.
        **environment: Its variables beside PATH and a TERM with colours.
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
    except OSError:  # the other side is closed
        return b""
