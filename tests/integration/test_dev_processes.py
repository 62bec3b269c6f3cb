"""Ctrl-C ends a command and all that it has started, within seconds and without a traceback."""

import subprocess
from pathlib import Path

import pytest

from tests.integration.app_under_test import eventually
from tests.integration.pressing import press
from tests.integration.serving import descendants, started

pytestmark = pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="asks /proc about processes"
)

TIDY = """
import subprocess
try:
    subprocess.run(["sleep", "60"])
except KeyboardInterrupt:
    print("put in order", flush=True)
"""
DEAF = f"""
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
{TIDY}
"""
CHECK = """
from pathlib import Path
from dev import processes
processes._BEGINNING = {beginning}
processes._PATIENCE = {patience}
processes.run_main(lambda: processes.run("child", folder=Path.cwd()))
"""
INSTALLATION = """
import sys
from pathlib import Path
from dev import processes
command = [sys.executable, "-m", "child"]
processes.run_main(lambda: processes.run_quietly(command, folder=Path.cwd()).returncode)
"""
SUCCESSOR = """
import os, signal
from dev import processes
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # as what came before has left it
os.kill(os.getpid(), signal.SIGINT)
processes.run_main(lambda: 0)
"""


@pytest.mark.parametrize(
    ("child", "beginning", "patience", "said"),
    [
        (TIDY, 0, 20, "put in order\n"),
        (DEAF, 0, 0.2, ""),
        (TIDY, 60, 20, ""),
    ],
    ids=["puts things in order", "does not end by itself", "has hardly begun"],
)
def test_a_check_ends_with_all_that_it_has_started(
    tmp_path: Path, child: str, beginning: float, patience: float, said: str
) -> None:
    """It has some seconds for that. In its first seconds it is killed at once."""
    (tmp_path / "child.py").write_text(child)

    code = CHECK.format(beginning=beginning, patience=patience)

    with started("-c", code, environment={"PYTHONPATH": str(tmp_path)}) as process:
        await_two(process)
        assert press(process) == said


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_installation_ends_at_once(tmp_path: Path, name: str) -> None:
    """By Ctrl-C, by SIGTERM, and by the end of its terminal."""
    (tmp_path / "child.py").write_text(DEAF)

    with started("-c", INSTALLATION, environment={"PYTHONPATH": str(tmp_path)}) as process:
        await_two(process)
        assert press(process, name=name) == ""


def test_ctrl_c_is_not_lost_when_one_program_replaces_another() -> None:
    """It waits until the next program can end without a traceback."""
    with started("-c", SUCCESSOR) as process:
        output, _ = process.communicate(timeout=20)

    assert (process.returncode, output) == (130, "")


def await_two(process: subprocess.Popen[str]) -> None:
    """Wait for a child, and for its child."""
    eventually(lambda: len(list(descendants(process.pid))) == 2)
