"""The host's side of one worker process."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dev.host import wire
from dev.host.errors import FunctionFailed, InvocationError, WorkerExited
from dev.host.functions import Function
from dev.host.logs import LogLine, Logs

PROJECT = Path(__file__).resolve().parents[2]
# The variables that each process needs. The app gets no others of this environment.
INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "SYSTEMROOT", "USERPROFILE", "TEMP", "TMP")

type Value = wire.Data | None


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """One call of a function, as the worker needs it."""

    id: str
    function: Function
    inputs: Mapping[str, wire.Data]
    trigger_metadata: Mapping[str, wire.Data]
    traceparent: str
    tracestate: str = ""


class WorkerProcess:
    """The worker process of an app, from its start to its end.

    Args:
        app: The app's folder.
        settings: The app settings, which are its environment.
        logs: Where its log records and its output go.
        python: The interpreter, whose environment has the app's packages and the worker's
            library.
    """

    def __init__(
        self,
        *,
        app: Path,
        settings: Mapping[str, str],
        logs: Logs,
        python: str = sys.executable,
    ) -> None:
        self._logs = logs
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._pending: dict[str, Future[Value]] = {}
        self._end: InvocationError | None = None
        self.failure = ""
        base = {name: os.environ[name] for name in INHERITED if name in os.environ}
        own = {"AzureWebJobsScriptRoot": str(app), "FUNCTIONS_WORKER_RUNTIME": "python"}
        self._process = subprocess.Popen(
            [python, "-m", "dev.host.worker", str(app)],
            cwd=PROJECT,
            env=base | own | dict(settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def run(self, *, on_ready: Callable[[Mapping[str, Function]], None]) -> None:
        """Read what the process sends until it ends, then fail its open invocations.

        If the app could not be loaded, `failure` says why and `on_ready` is never called.
        """
        assert self._process.stdout  # noqa: S101 - for the type checker; it is a pipe
        assert self._process.stderr  # noqa: S101 - as above
        output = threading.Thread(
            target=self._read_output, args=(self._process.stderr,), name="worker-output"
        )
        output.start()
        with self._process.stdout as frames:
            while frame := wire.read_frame(frames):
                self._receive(frame, on_ready)
        code = self._process.wait()
        output.join()
        self.failure = self.failure or f"The worker process ended with exit code {code}."
        self.fail_all(WorkerExited(self.failure))
        self._close_input()

    def invoke(self, invocation: Invocation) -> Future[Value]:
        """Send an invocation. On failure the future has an InvocationError."""
        future: Future[Value] = Future()
        payload = wire.encode_frame(
            {
                "id": invocation.id,
                "function_id": invocation.function.id,
                "inputs": invocation.inputs,
                "trigger_metadata": invocation.trigger_metadata,
                "traceparent": invocation.traceparent,
                "tracestate": invocation.tracestate,
            }
        )
        with self._lock:
            if self._end:
                future.set_exception(self._end)
                return future
            self._pending[invocation.id] = future
        assert self._process.stdin  # noqa: S101 - for the type checker; it is a pipe
        # If the process is ending, run() will fail all open invocations.
        with self._writing, contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(payload)
            self._process.stdin.flush()
        return future

    def fail_all(self, error: InvocationError) -> None:
        """Fail all running and later invocations."""
        with self._lock:
            self._end = self._end or error
            pending, self._pending = self._pending, {}
        for future in pending.values():
            future.set_exception(error)

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def stop(self, *, patience: float = 2.0) -> None:
        """End the process. Kill it if it takes longer than `patience` seconds."""
        self._close_input()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _receive(
        self, frame: wire.Frame, on_ready: Callable[[Mapping[str, Function]], None]
    ) -> None:
        match frame.pop("kind"):
            case "log":
                # Microsoft's host drops records that belong to no running invocation, such as
                # those from the app's loading or from its own threads.
                with self._lock:
                    executing = frame["invocation_id"] in self._pending
                if executing:
                    self._logs.add(LogLine(**frame))
            case "result":
                with self._lock:
                    future = self._pending.pop(frame["id"], None)
                if future is None:
                    return
                if frame["ok"]:
                    future.set_result(frame["value"])
                else:
                    text = f"{frame['message']}\n{frame['stack_trace']}"
                    future.set_exception(FunctionFailed(text.strip()))
            case "ready":
                functions = (
                    Function(name=found["name"], id=found["id"], bindings=tuple(found["bindings"]))
                    for found in frame["functions"]
                )
                on_ready({function.name: function for function in functions})
            case "failed":
                self.failure = f"{frame['message']}\n{frame['stack_trace']}".strip()

    def _read_output(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                text = line.decode(errors="replace").rstrip()
                self._logs.write("INFO", "Worker.Output", text)

    def _close_input(self) -> None:
        assert self._process.stdin  # noqa: S101 - for the type checker; it is a pipe
        with contextlib.suppress(OSError):  # it may have ended with unread bytes
            self._process.stdin.close()
