"""Runs the app in Microsoft's own host: `func start` of Azure Functions Core Tools."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Self

from dev.errors import StartError
from dev.local_run import ROOT, LocalApp, LocalAzure

PATIENCE = 15.0  # seconds that func has to end
_PAUSE = 0.5
_MISSING = "No func here: install Azure Functions Core Tools 4, or run: python dev.py serve"


class FuncHost:
    """Runs the app in `func start` until it is stopped. A context manager.

    What func prints appears where this process prints.

    Args:
        environment: The app settings. func prefers them to those of a local.settings.json, and
            passes them on to the app.
        port: Where func listens; 0 for any free port.

    Attributes:
        port: Where it listens.
        url: `http://127.0.0.1:PORT`.
    """

    def __init__(self, *, environment: Mapping[str, str], port: int = 0) -> None:
        self._environment = environment
        self.port = port or _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        """Start func.

        Raises:
            StartError: func is not installed.
        """
        self._process = subprocess.Popen(
            [find_func(), "start", "--port", str(self.port)],
            cwd=ROOT,
            env=_as_activated(os.environ) | dict(self._environment),
            stdin=subprocess.DEVNULL,
            # Ctrl-C goes to this process, which ends func once, and then what func uses.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        return self

    def __exit__(self, *_: object) -> None:
        """End func as Ctrl-C does. Kill it if it takes too long."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        try:
            # To func only: its npm wrapper passes it on, and a second Ctrl-C would kill func.
            process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT))
            process.wait(PATIENCE)
        except (
            subprocess.TimeoutExpired,
            KeyboardInterrupt,
        ):  # it takes too long, or Ctrl-C came again
            if sys.platform == "win32":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @property
    def exit_code(self) -> int | None:
        """The exit code of func. None while it runs."""
        return self._process.poll() if self._process else None

    def wait_until_up(self) -> bool:
        """Wait until the app answers, and print its state. False if func ended before."""
        told = ""
        while self.exit_code is None:
            status = self._status()
            if status == 200:
                return True
            found = f"answers {status}" if status else "does not answer yet"
            if found != told:
                told = found
                print(f"   {self.url}/api/health {found}", flush=True)
            time.sleep(_PAUSE)
        return False

    def _status(self) -> int | None:
        with contextlib.closing(HTTPConnection("127.0.0.1", self.port, timeout=5)) as connection:
            try:
                connection.request("GET", "/api/health")
                return connection.getresponse().status
            except (OSError, HTTPException):
                return None


class FuncRun(LocalApp):
    """The app in `func start`, with the services that it needs. A context manager.

    Args:
        settings: As for LocalAzure.

    Attributes:
        func: The app in func. The other attributes are LocalAzure's.
    """

    def __init__(self, *, settings: Mapping[str, str | None] | None = None) -> None:
        super().__init__(settings=settings, every_storage_service=True)
        self.func: FuncHost

    @property
    def url(self) -> str:
        """The app's address, without `/api`."""
        return self.func.url

    def _start(self, parts: ExitStack) -> None:
        find_func()
        super()._start(parts)
        self.func = parts.enter_context(FuncHost(environment=environment_for_func(self)))
        if not self.func.wait_until_up():
            raise StartError(f"func has ended by itself, with exit code {self.func.exit_code}.")


def find_func() -> str:
    """Find the program.

    Raises:
        StartError: It is not on the PATH. The text says what to install.
    """
    func = shutil.which("func")
    if func is None:
        raise StartError(_MISSING)
    return func


def environment_for_func(azure: LocalAzure) -> dict[str, str]:
    """Give the app settings, changed so that func itself still reaches the internet.

    func loads the extension bundle from Microsoft, and uses HTTPS_PROXY as the app does. So the
    proxy is set only for the vault's host, in a form that Python's urllib and requests understand.
    """
    environment = azure.environment()
    environment[f"https://{azure.vault.host}_proxy"] = environment.pop("HTTPS_PROXY")
    # If both are set, the lower-case one counts.
    theirs = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    direct = ",".join(filter(None, (theirs, environment["NO_PROXY"])))
    return {**environment, "no_proxy": direct, "NO_PROXY": direct}


def _as_activated(environment: Mapping[str, str]) -> dict[str, str]:
    """Change PATH as `activate` does, because func runs the first `python3` or `python` on it."""
    path = os.pathsep.join((str(Path(sys.executable).parent), environment.get("PATH", "")))
    kept = {name: value for name, value in environment.items() if name != "PYTHONHOME"}
    return {**kept, "VIRTUAL_ENV": sys.prefix, "PATH": path}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
