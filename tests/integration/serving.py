"""`python dev.py serve` as a process, started and ended as at a terminal."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
AT_A_TERMINAL = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""A shell lets background processes ignore Ctrl-C. CI may start this one so."""


@contextlib.contextmanager
def started(
    *arguments: str,
    folder: Path = PROJECT,
    environment: Mapping[str, str] | None = None,
    seconds: float = 60,
) -> Iterator[subprocess.Popen[str]]:
    """Run Python as a shell does, in its own process group, for a limited time."""
    with subprocess.Popen(  # noqa: S603 - this project's own commands
        [sys.executable, "-c", AT_A_TERMINAL, sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        limit = threading.Timer(seconds, process.terminate)
        limit.start()
        try:
            yield process
        finally:
            limit.cancel()
            process.kill()


@contextlib.contextmanager
def serving(
    *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Start it. It ends after two minutes at most."""
    command = ("-m", "dev", "serve", *options)
    with started(*command, environment=environment, seconds=120) as process:
        try:
            yield process
        finally:
            # Not by SIGKILL, so that its children end too.
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=30)


def until(process: subprocess.Popen[str], text: str) -> str:
    """Read the output up to a line that holds a text."""
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"{text} was never printed: {''.join(lines)}")


def stop(process: subprocess.Popen[str]) -> str:
    """Press Ctrl-C, and give the output from then on."""
    os.killpg(process.pid, signal.SIGINT)
    return end_of(process)


def end_of(process: subprocess.Popen[str]) -> str:
    """Wait until it ends, and give the output until then."""
    output, _ = process.communicate(timeout=30)
    return output


def descendants(pid: int) -> Iterator[int]:
    """Give the processes that a process has started, and their children."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text(encoding="utf-8")
        except OSError:  # it has just ended
            continue
        if f"\nPPid:\t{pid}\n" in text:
            child = int(status.parent.name)
            yield child
            yield from descendants(child)
