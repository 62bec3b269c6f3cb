"""Runs programs so that Ctrl-C ends them within seconds, with exit code 130 and no process left.

`python -m dev.processes MODULE …` runs `python -m MODULE …` like that. This module uses only the
standard library, as dev/environment.py does.
"""

import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NoReturn

INTERRUPTED = 130  # the exit code that shells expect: 128 and the number of the signal
_PATIENCE = 6.0  # seconds that a process has to put things in order after Ctrl-C
_BEGINNING = 3.0  # seconds in which there is nothing to put in order, and pytest prints tracebacks


def run_main(main: Callable[[], int]) -> NoReturn:
    """Run a program to its end, and end this process with its exit code; 130 after Ctrl-C.

    SIGTERM, and closing the terminal, have the same effect as Ctrl-C.
    """
    try:
        for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
            number = getattr(signal, name, None)
            if number and signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.default_int_handler)
        _release_interrupts()
        code = main()
    except KeyboardInterrupt:
        with suppress(OSError):  # the terminal may be closed
            sys.stdout.flush()
        # At once, because the interpreter's normal exit waits for each thread.
        os._exit(INTERRUPTED)
    sys.exit(code)


def become(command: list[str]) -> int:
    """Replace this process by another program, which uses `run_main`.

    Returns:
        On Windows, its exit code: there the caller would not wait for a replacing process.
    """
    if os.name != "nt":
        _hold_interrupts()
        os.execv(command[0], command)  # noqa: S606 - this process has nothing left to do
    return subprocess.call(command)


def run(module: str, *arguments: str, folder: Path) -> int:
    """Run a Python module that prints by itself, and return its exit code.

    After Ctrl-C it has a few seconds to clean up.
    """
    with beside(module, *arguments, folder=folder) as process:
        return process.wait()


@contextmanager
def beside(
    module: str, *arguments: str, folder: Path, output: IO[str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a Python module as `run` does, but do not wait for its end.

    Args:
        module: The module.
        *arguments: Its arguments.
        folder: Where it runs.
        output: A file for all that it prints. Without one it prints by itself.
    """
    command = [sys.executable, "-m", "dev.processes", module, *arguments]
    complaints = None if output is None else subprocess.STDOUT
    with _started(
        command, patience=_PATIENCE, cwd=folder, stdout=output, stderr=complaints
    ) as process:
        yield process


def run_quietly(command: Sequence[str], *, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program and return what it prints.

    After Ctrl-C it is killed at once.
    """
    with _started(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as process:
        output, complaints = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, output, complaints)


@contextmanager
def _started(
    command: Sequence[str],
    *,
    patience: float = 0.0,
    **options: Any,  # noqa: ANN401 - as Popen
) -> Iterator[subprocess.Popen[str]]:
    """Start a program. If the context is left early, end it and all processes that it has started.

    It runs in its own session, so that Ctrl-C reaches it only through this process, and only once.
    """
    began = time.monotonic()
    _hold_interrupts()
    try:
        with subprocess.Popen(command, start_new_session=True, **options) as process:
            try:
                _release_interrupts()  # not before the new process is known
                yield process
            except BaseException:
                _end(process, patience if time.monotonic() - began > _BEGINNING else 0.0)
                raise
    finally:
        _release_interrupts()


def _end(process: subprocess.Popen[str], patience: float) -> None:
    try:
        if patience:
            _signal(process, "SIGINT")
            process.wait(patience)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        pass  # it takes too long, or Ctrl-C was pressed again
    finally:
        _signal(process, "SIGKILL")


def _signal(process: subprocess.Popen[str], name: str) -> None:
    if os.name != "nt":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, getattr(signal, name))
    elif name == "SIGKILL":  # on Windows, Ctrl-C reaches each process of the console by itself
        process.kill()


def _hold_interrupts() -> None:
    """Hold Ctrl-C back, also in a process that is started or replaces this one."""
    if os.name != "nt":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _release_interrupts() -> None:
    """Let Ctrl-C through again, including one that was held back."""
    if os.name != "nt":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _main() -> int:
    module, *sys.argv[1:] = sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    run_main(_main)
