"""The time in which one instance of the app, or two, empty a full queue."""

import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from azure.storage.queue import QueueClient, QueueServiceClient

from bench.report import Report, Table, median, ratio
from bench.worker import WrongResponse, process_cpu
from bench.world import MEETING_ID, NOTHING, OURS, RIVAL, ROOT, SUBJECTS, USER_ID, Subject, World
from dev.azurite import Azurite
from dev.local_run import QUEUES

MESSAGES = 2000
INSTANCES = (1, 2)
_PATIENCE = 300.0  # seconds for one drain
_WARM = 0.1  # of the messages, at the start and at the end, are not measured
_REQUEST = json.dumps({"userId": USER_ID, "onlineMeetingId": MEETING_ID})
_REQUESTS, _RESULTS = "join-link-requests", "join-link-results"


@dataclass(frozen=True, slots=True)
class Drain:
    """One emptied queue: messages per second, and seconds of CPU per message."""

    speed: float
    workers: float
    hosts: float
    azurite: float


def measure(world: World, *, rounds: int, say: Callable[[str], None]) -> Report:
    """Fill the queue, start the instances, and wait until it is empty, in turns."""
    subjects = [subject for subject in SUBJECTS if subject.name in (OURS, RIVAL, NOTHING)]
    cases = list(itertools.product(INSTANCES, subjects))
    drains: dict[tuple[int, str], list[Drain]] = {
        (instances, subject.name): [] for instances, subject in cases
    }
    for number in range(rounds):
        for instances, subject in cases:
            say(f"drain, {instances} × {subject.name}, round {number + 1} of {rounds}")
            drains[instances, subject.name].append(_drain(world, subject, instances))
    rows = tuple(
        _row(f"{instances} × {name}", found, drains[instances, RIVAL], drains[1, name])
        for (instances, name), found in drains.items()
    )
    columns = ("", "messages/s", "× msgraph-sdk's", "× one worker's", "worker", "host", "Azurite")
    title = f"Drain: {MESSAGES:,} messages; CPU in ms per message"
    return Report(name="drain", tables=(Table(title=title, columns=columns, rows=rows),))


def _row(name: str, mine: list[Drain], rival: list[Drain], alone: list[Drain]) -> tuple[str, ...]:
    return (
        name,
        f"{median(drain.speed for drain in mine):.0f}",
        f"{ratio(mine, rival, lambda drain: drain.speed):.2f}",
        f"{ratio(mine, alone, lambda drain: drain.speed):.2f}",
        f"{1000 * median(drain.workers for drain in mine):.1f}",
        f"{1000 * median(drain.hosts for drain in mine):.1f}",
        f"{1000 * median(drain.azurite for drain in mine):.1f}",
    )


def _drain(world: World, subject: Subject, instances: int) -> Drain:
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        azurite = parts.enter_context(Azurite(folder=folder))
        service = QueueServiceClient.from_connection_string(azurite.connection_string)
        parts.enter_context(service)
        for name in QUEUES:
            service.create_queue(name)
        requests = service.get_queue_client(_REQUESTS)
        for _ in range(MESSAGES):
            requests.send_message(_REQUEST)
        settings = {
            **world.settings(subject),
            "AzureWebJobsStorage": azurite.connection_string,
        }
        # All have the same host.json, because the other apps have none.
        app = folder / "app"
        shutil.copytree(subject.app, app, ignore=shutil.ignore_patterns(".*", "node_modules"))
        shutil.copy(ROOT / "host.json", app)
        told = {"app": str(app), "settings": settings, "python": str(world.python(subject))}
        pids = [parts.enter_context(_instance(told)) for _ in range(instances)]

        def spent() -> tuple[float, float, float]:
            return (
                sum(process_cpu(worker) for _, worker in pids),
                sum(process_cpu(host) for host, _ in pids),
                process_cpu(azurite.pid),
            )

        begin, end = MESSAGES * _WARM, MESSAGES * (1 - _WARM)
        done, started = _wait(requests, begin)
        before = spent()
        more, ended = _wait(requests, end)
        count = more - done
        workers, hosts, service_cpu = (
            (now - then) / count for now, then in zip(spent(), before, strict=True)
        )
        left = service.get_queue_client(_RESULTS).get_queue_properties().approximate_message_count
        if subject.name != NOTHING and not left:
            raise WrongResponse(f"{subject.name} put nothing on {_RESULTS}.")
        return Drain(count / (ended - started), workers, hosts, service_cpu)


@contextmanager
def _instance(told: Mapping[str, object]) -> Iterator[tuple[int, int]]:
    """Start an instance, and give the process ids of its host and its worker."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.host_process"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin  # noqa: S101 - for the type checker. They are pipes
    assert process.stdout  # noqa: S101 - as above
    with process:
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        try:
            yield process.pid, json.loads(process.stdout.readline())["worker"]
        finally:
            process.stdin.close()
            process.kill()


def _wait(requests: QueueClient, done: float) -> tuple[int, float]:
    """Wait until the given number of messages is done. Return their real number, and the time."""
    limit = time.monotonic() + _PATIENCE
    while time.monotonic() < limit:
        left = requests.get_queue_properties().approximate_message_count or 0
        if MESSAGES - left >= done:
            return MESSAGES - left, time.monotonic()
        time.sleep(0.2)
    raise WrongResponse(f"The queue was not empty after {_PATIENCE:g} seconds.")
