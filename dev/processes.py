"""Ctrl-C at any moment: an end within seconds, exit code 130, and no process left behind.

`python -m dev.processes MODULE …` is `python -m MODULE …` with that manner. Standard library only,
as dev/environment.py is.
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
from typing import Any, NoReturn

INTERRUPTED = 130  # the exit code that shells expect: 128 and the number of the signal
_PATIENCE = 6.0  # seconds that a process has to put things in order after Ctrl-C
_BEGINNING = 3.0  # seconds in which there is nothing to put in order, and pytest prints tracebacks


def run_main(main: Callable[[], int]) -> NoReturn:
    """Run a program to its end, and end this process with its exit code; 130 after Ctrl-C.

    Who ends it politely, or closes its terminal, gets the same end as by Ctrl-C.
    """
    try:
        for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
            number = getattr(signal, name, None)
            if number and signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.default_int_handler)
        _release_interrupts()
        code = main()
    except KeyboardInterrupt:
        with suppress(OSError):  # the terminal may have gone
            sys.stdout.flush()
        # At once: the interpreter's own end would wait for every thread.
        os._exit(INTERRUPTED)
    sys.exit(code)


def become(command: list[str]) -> int:
    """Let another program, which uses `run_main`, go on in place of this one.

    Returns:
        Its exit code, on Windows: the caller would not wait for a process that replaces this one.
    """
    if os.name != "nt":
        _hold_interrupts()
        os.execv(command[0], command)  # noqa: S606 - this process has nothing left to do
    return subprocess.call(command)


def run(module: str, *arguments: str, folder: Path) -> int:
    """Run a module of Python's that speaks for itself, and return its exit code.

    After Ctrl-C it has a few seconds to put things in order.
    """
    command = [sys.executable, "-m", "dev.processes", module, *arguments]
    with _started(command, patience=_PATIENCE, cwd=folder) as process:
        return process.wait()


def run_quietly(command: Sequence[str], *, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program and keep what it prints.

    After Ctrl-C it ends at once, whatever it was at.
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
    """Start a program, and end it, with all that it has started, where the context is left early.

    In a session of its own, so that Ctrl-C comes from us: once, and to everything that it started.
    """
    began = time.monotonic()
    _hold_interrupts()
    try:
        with subprocess.Popen(command, start_new_session=True, **options) as process:
            try:
                _release_interrupts()  # not before somebody holds what runs
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
        pass  # it takes too long, or somebody cannot wait
    finally:
        _signal(process, "SIGKILL")


def _signal(process: subprocess.Popen[str], name: str) -> None:
    if os.name != "nt":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, getattr(signal, name))
    elif name == "SIGKILL":  # Ctrl-C reaches everything in a console of Windows by itself
        process.kill()


def _hold_interrupts() -> None:
    """Let Ctrl-C wait, also for a process that is started or becomes this one's successor."""
    if os.name != "nt":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _release_interrupts() -> None:
    """Let Ctrl-C come, also one that has waited."""
    if os.name != "nt":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _main() -> int:
    module, *sys.argv[1:] = sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    run_main(_main)
