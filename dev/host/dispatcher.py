"""Keeps one worker process running and runs functions in it."""

import re
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial

from dev.host import wire
from dev.host.errors import HostError, HostStopped, WorkerExited
from dev.host.functions import Function
from dev.host.logs import Logs
from dev.host.worker_process import Invocation, Value, WorkerProcess

PAUSE_BEFORE_RESTART = 1.0  # seconds, after a worker that could not load the app
TRACEPARENT = re.compile("00-(?P<trace>[0-9a-f]{32})-[0-9a-f]{16}-(?P<flags>[0-9a-f]{2})")


class Dispatcher:
    """Runs functions in the current worker, and starts another one when it ends.

    Args:
        launch: Starts a worker process.
        logs: Where starts, ends and results of functions are written.
        start_limit: How many seconds a worker may take to load the app.
    """

    def __init__(
        self, *, launch: Callable[[], WorkerProcess], logs: Logs, start_limit: float
    ) -> None:
        self._launch = launch
        self._start_limit = start_limit
        self._logs = logs
        self._change = threading.Condition()
        self._stopping = threading.Event()
        self._latest: WorkerProcess | None = None
        self._ready: WorkerProcess | None = None
        self._running = 0
        self._first: Future[Mapping[str, Function]] = Future()
        self._supervisor = threading.Thread(target=self._supervise, name="worker-supervisor")

    @property
    def worker_pid(self) -> int | None:
        """The process id of the worker that takes invocations now."""
        with self._change:
            return self._ready.pid if self._ready else None

    def start(self) -> Mapping[str, Function]:
        """Start the first worker and return the functions it found.

        Raises:
            HostError: The app could not be loaded, or not in time.
        """
        self._supervisor.start()
        try:
            return self._first.result(timeout=self._start_limit)
        except TimeoutError:
            raise HostError(
                f"The worker did not load the app within {self._start_limit:g} seconds. "
                f"The end of its log:\n{self._logs.end()}"
            ) from None

    def run(
        self,
        function: Function,
        *,
        inputs: Mapping[str, wire.Data],
        reason: str,
        trigger_metadata: Mapping[str, wire.Data] | None = None,
        traceparent: str = "",
        tracestate: str = "",
    ) -> Future[Value]:
        """Run a function. If it fails, the future has an InvocationError.

        Waits while a new worker starts.
        """
        invocation = Invocation(
            id=str(uuid.uuid4()),
            function=function,
            inputs=inputs,
            trigger_metadata=trigger_metadata or {},
            traceparent=continue_trace(traceparent),
            tracestate=tracestate,
        )
        with self._change:
            self._running += 1
        began = time.monotonic()
        self._log("INFO", invocation, f"Executing 'Functions.{function.name}' (Reason='{reason}')")
        outcome: Future[Value] = Future()
        self._send(invocation).add_done_callback(
            lambda done: self._done(invocation, done, began, outcome)
        )
        return outcome

    def wait_idle(self, patience: float) -> None:
        """Wait until no function runs, for at most `patience` seconds."""
        with self._change:
            self._change.wait_for(lambda: self._running == 0, timeout=patience)

    def kill_worker(self) -> None:
        """Kill the worker, and wait until its end was noticed."""
        with self._change:
            worker = self._ready
            if worker:
                worker.kill()
                self._change.wait_for(lambda: self._ready is not worker)

    def stop(self) -> None:
        """End the worker. Running functions fail with HostStopped."""
        with self._change:
            self._stopping.set()
            worker = self._latest
            self._change.notify_all()
        if worker:
            worker.fail_all(HostStopped("The host has been stopped."))
            worker.stop()
        if self._supervisor.ident:
            self._supervisor.join()

    def _send(self, invocation: Invocation) -> Future[Value]:
        with self._change:
            self._change.wait_for(
                lambda: self._ready or self._stopping.is_set(), timeout=self._start_limit
            )
            worker = self._ready
        if worker:
            return worker.invoke(invocation)
        failed: Future[Value] = Future()
        stopped = HostStopped("The host has been stopped.")
        late = WorkerExited("No worker process could be started.")
        failed.set_exception(stopped if self._stopping.is_set() else late)
        return failed

    def _done(
        self, invocation: Invocation, done: Future[Value], began: float, outcome: Future[Value]
    ) -> None:
        """Log the end before the future has its result, so that a caller finds it in the log."""
        name, took = invocation.function.name, round((time.monotonic() - began) * 1000)
        error = done.exception()
        text = f"Executed 'Functions.{name}' ({{}}, Duration={took}ms)"
        if error:
            self._log("ERROR", invocation, f"{text.format('Failed')}\n{error}")
            outcome.set_exception(error)
        else:
            self._log("INFO", invocation, text.format("Succeeded"))
            outcome.set_result(done.result())
        with self._change:
            self._running -= 1
            self._change.notify_all()

    def _log(self, level: str, invocation: Invocation, text: str) -> None:
        self._logs.write(
            level, f"Host.Function.{invocation.function.name}", text, invocation_id=invocation.id
        )

    def _supervise(self) -> None:
        while True:
            with self._change:
                if self._stopping.is_set():
                    return
                worker = self._latest = self._launch()
            worker.run(on_ready=partial(self._take, worker))
            with self._change:
                was_ready, self._ready = self._ready is worker, None
                self._change.notify_all()
            if self._stopping.is_set():
                return
            if not self._first.done():
                self._first.set_exception(
                    HostError(
                        f"The worker could not load the app: {worker.failure}\n"
                        f"The end of its log:\n{self._logs.end()}"
                    )
                )
                return
            self._logs.write("ERROR", "Host.Worker", f"{worker.failure} Starting another.")
            if not was_ready:
                self._stopping.wait(PAUSE_BEFORE_RESTART)

    def _take(self, worker: WorkerProcess, functions: Mapping[str, Function]) -> None:
        with self._change:
            self._ready = worker
            self._change.notify_all()
        if not self._first.done():
            self._first.set_result(functions)


def continue_trace(traceparent: str) -> str:
    """Return the trace context of the host's own span: a child of the caller's, or a new trace.

    Source: W3C Trace Context.
    """
    given = TRACEPARENT.fullmatch(traceparent)
    trace, flags = (given["trace"], given["flags"]) if given else (secrets.token_hex(16), "00")
    return f"00-{trace}-{secrets.token_hex(8)}-{flags}"
