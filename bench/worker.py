"""A subject in the Functions Python worker: calls go in, and times and memory are measured."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.world import Subject, World
from dev.errors import StartError
from dev.host import wire
from dev.host.functions import Function
from dev.host.logs import LogLine, Logs
from dev.host.worker_process import Invocation, Value, WorkerProcess

PATIENCE = 60.0  # seconds, for work that should take one


class WrongResponse(StartError):
    """A subject gave no link, so its measurement is invalid."""


@dataclass(frozen=True, slots=True)
class Times:
    """The times of a number of calls.

    Attributes:
        wall: Seconds from the start of the first to the end of the last.
        cpu: Seconds of the worker's CPU, for all threads.
        latencies: Seconds of each call.
    """

    wall: float
    cpu: float
    latencies: tuple[float, ...]


class Worker:
    """A subject's worker process, from its start to its end. A context manager.

    Args:
        subject: The app to load.
        world: Its services and environments.
        settings: App settings in addition to the world's.
    """

    def __init__(
        self, subject: Subject, world: World, *, settings: Mapping[str, str] | None = None
    ) -> None:
        self._subject = subject
        self._ids = itertools.count()
        self._functions: Mapping[str, Function] = {}
        headers, members = world.request(subject)
        self._request = http_request("join-link", members, headers=headers)
        self._loaded = threading.Event()
        self.lines: list[LogLine] = []
        self.started = time.perf_counter()
        self._process = WorkerProcess(
            app=subject.app,
            settings={**world.settings(subject), **(settings or {})},
            logs=Logs(on_line=self.lines.append, capacity=1),
            python=str(world.python(subject)),
        )
        self._reader = threading.Thread(
            target=self._process.run, kwargs={"on_ready": self._on_ready}, name="bench-reader"
        )
        self._reader.start()

    def __enter__(self) -> Self:
        """Wait until the app is loaded.

        Raises:
            WrongResponse: The app could not be loaded.
        """
        while not self._loaded.wait(0.1):
            if not self._reader.is_alive() or time.perf_counter() - self.started > PATIENCE:
                self._process.stop()
                raise WrongResponse(f"{self._subject.name} did not start: {self._process.failure}")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._reader.join()

    def _on_ready(self, functions: Mapping[str, Function]) -> None:
        self._functions = functions
        self.ready = time.perf_counter()
        self._loaded.set()

    def cpu(self) -> float:
        """Seconds of CPU that the process has used."""
        return process_cpu(self._process.pid)

    def peak_memory(self) -> int:
        """The greatest memory of the process so far, in bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def call(self) -> Future[Value]:
        """Request one link."""
        return self.invoke("join_link", {"req": self._request})

    def invoke(
        self,
        name: str,
        inputs: Mapping[str, wire.Data],
        *,
        metadata: Mapping[str, wire.Data] | None = None,
    ) -> Future[Value]:
        """Call a function of the app, as a host would."""
        return self._process.invoke(
            Invocation(
                id=f"{next(self._ids):032x}",
                function=self._functions[name],
                inputs=inputs,
                trigger_metadata=metadata or {},
                traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            )
        )

    def calls(
        self,
        *,
        at_once: int,
        count: int | None = None,
        seconds: float = 0.0,
        call: Callable[[], Future[Value]] | None = None,
        check: Callable[[Value], None] | None = None,
    ) -> Times:
        """Make calls, several at once, until the number is reached or the time is over.

        Args:
            at_once: The number of calls at once.
            count: The number of calls, or None to use the time.
            seconds: The time.
            call: Starts one call, by default for a link.
            check: Raises WrongResponse for a wrong response, by default one without a link.

        Raises:
            WrongResponse: A response was wrong.
        """
        run = _Run(
            self,
            call or self.call,
            check or check_link,
            at_once=at_once,
            count=count,
            seconds=seconds,
        )
        return run.times()


class _Run:
    def __init__(
        self,
        worker: Worker,
        call: Callable[[], Future[Value]],
        check: Callable[[Value], None],
        *,
        at_once: int,
        count: int | None,
        seconds: float,
    ) -> None:
        self._call, self._check = call, check
        self._left = count
        self._lock = threading.Lock()
        self._latencies: list[float] = []
        self._fault: BaseException | None = None
        self._finished = threading.Semaphore(0)
        self._at_once = at_once
        cpu, self._start = worker.cpu(), time.perf_counter()
        self._end = self._start + seconds
        for _ in range(at_once):
            self._next()
        for _ in range(at_once):
            self._finished.acquire()
        self._wall, self._cpu = time.perf_counter() - self._start, worker.cpu() - cpu

    def times(self) -> Times:
        if self._fault is not None:
            raise WrongResponse(str(self._fault)) from self._fault
        return Times(self._wall, self._cpu, tuple(self._latencies))

    def _next(self) -> None:
        """Start one more call, or end this chain of calls."""
        now = time.perf_counter()
        with self._lock:
            if self._left is not None:
                self._left -= 1
            over = now >= self._end if self._left is None else self._left < 0
        if over or self._fault:
            self._finished.release()
            return
        self._call().add_done_callback(lambda future: self._ended(future, now))

    def _ended(self, future: Future[Value], began: float) -> None:
        self._latencies.append(time.perf_counter() - began)
        try:
            self._check(future.result())
        except Exception as error:  # noqa: BLE001 - raised by times()
            self._fault = error
        self._next()


def process_cpu(pid: int) -> float:
    """Seconds of CPU that a process has used, to the nanosecond."""
    # The clock of another process, as clock_getcpuclockid(3) makes it on Linux.
    return time.clock_gettime((~pid << 3) | 2)


def http_request(
    route: str, members: Mapping[str, object], *, headers: Mapping[str, str] | None = None
) -> wire.Data:
    """Write a POST as the host passes it to the worker."""
    body = json.dumps(members).encode("ascii")
    own = {"content-type": "application/json", "content-length": str(len(body))}
    return {
        "http": {
            "method": "POST",
            "url": f"http://localhost/api/{route}",
            "headers": {**own, **(headers or {})},
            "query": {},
            "params": {},
            "body": wire.encode_bytes(body),
        }
    }


def check_link(value: Value, *, count: int = 1) -> None:
    """Check that a response has a link, or the given number of links.

    Raises:
        WrongResponse: It has not.
    """
    http = (value or {}).get("http", {})
    body = http.get("body") or {}
    text = body.get("string") or wire.decode_bytes(body.get("bytes", "")).decode()
    links = text.count("https://visit.teams.microsoft.com/")
    if http.get("status_code") != 200 or links != count:
        raise WrongResponse(f"{http.get('status_code')} {text}")
