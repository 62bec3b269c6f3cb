"""The number of outcomes that one worker delivers, each signed and over a separate connection."""

import itertools
import json
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path

from bench.report import Report, Table, median
from bench.warm import GRAPHS_PACE, cpu, p99, speed
from bench.worker import Times, Worker, WrongResponse
from bench.world import MEETING_ID, SUBJECTS, USER_ID, World
from dev.booking_systems import ANY_SECRET
from dev.host import wire
from dev.host.worker_process import Value
from dev.local_run import LocalAzure
from shared.core.strict_json import Json
from shared.deliveries.delivery import Delivery

_EACH = 8  # deliveries to one destination at a time, the app's limit
_NAMES = ("one", "two", "three")  # three times eight is the host's limit
_SECRET = "bench-deliveries"  # noqa: S105 - the secret's name
# Number of destinations, seconds until they answer, and seconds of each round.
_CASES = ((1, 0.0, 1.0), (3, 0.0, 1.0), (3, GRAPHS_PACE, 3.0))


def measure(world: World, *, rounds: int, say: Callable[[str], None]) -> Report:
    """Let one worker deliver to one destination and to several."""
    destination = {"url": f"{world.graph_url}/hook", "secret": _SECRET, "private": True}
    configured = json.dumps(dict.fromkeys(_NAMES, destination))
    found: list[list[Times]] = [[] for _ in _CASES]
    with (
        LocalAzure(settings={"DELIVERIES": configured}) as azure,
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
    ):
        azure.vault.set_secret(_SECRET, ANY_SECRET)
        bundle = Path(folder) / "bundle.pem"  # the certificate authorities of vault and receiver
        bundle.write_bytes(azure.tls.ca.read_bytes() + world.authority_file.read_bytes())
        settings = {**azure.environment(), "REQUESTS_CA_BUNDLE": str(bundle)}
        with Worker(SUBJECTS[0], world, settings=settings) as worker:
            _deliver(worker, world, names=_NAMES, seconds=1.0)
            for number in range(rounds):
                say(f"deliveries, round {number + 1} of {rounds}")
                for (destinations, delay, seconds), times in zip(_CASES, found, strict=True):
                    world.delay(delay)
                    names = _NAMES[:destinations]
                    times.append(_deliver(worker, world, names=names, seconds=seconds))
            world.delay(0)
    rows = tuple(
        (
            f"{_EACH * destinations} at a time, to {destinations}, "
            + (f"after {delay * 1000:g} ms" if delay else "at once"),
            f"{median(map(speed, times)):.0f}",
            f"{1e6 * median(map(cpu, times)):.0f}",
            f"{1000 * median(map(p99, times)):.0f}",
        )
        for (destinations, delay, _), times in zip(_CASES, found, strict=True)
    )
    table = Table(
        title="Deliveries: signed posts by one worker, by how soon destinations answer",
        columns=("", "posts/s", "CPU, µs", "p99, ms"),
        rows=rows,
    )
    return Report(name="deliveries", tables=(table,))


def _deliver(worker: Worker, world: World, *, names: tuple[str, ...], seconds: float) -> Times:
    """Deliver for the given seconds, and check that all outcomes arrived and were signed.

    Raises:
        WrongResponse: An outcome is missing.
    """
    before = world.counts()
    messages = [_inputs(name) for name in names]
    turn = itertools.cycle(messages)

    def deliver() -> Future[Value]:
        inputs, metadata = next(turn)
        return worker.invoke("join_link_deliveries", inputs, metadata=metadata)

    times = worker.calls(
        at_once=_EACH * len(names), seconds=seconds, call=deliver, check=lambda _: None
    )
    arrived = (world.counts() - before).deliveries
    if arrived != len(times.latencies):
        raise WrongResponse(f"{arrived} of {len(times.latencies)} deliveries arrived, signed.")
    return times


def _inputs(destination: str) -> tuple[dict[str, wire.Data], dict[str, wire.Data]]:
    """Write a message of the delivery queue as the host passes it to the worker."""
    now = datetime.now(UTC).isoformat()
    data: dict[str, Json] = {
        "requestId": "bench-1",
        "userId": USER_ID,
        "onlineMeetingId": MEETING_ID,
        "virtualAppointmentJoinWebUrl": "https://visit.teams.microsoft.com/",
        "context": {"bookingId": "B-1"},
        "attempts": 1,
        "source": None,
    }
    event: dict[str, Json] = {
        "specversion": "1.0",
        "type": "virtual-appointment.join-link.resolved",
        "source": "/virtual-appointment/queue",
        "id": "bench-1",
        "time": now,
        "data": data,
    }
    body = Delivery(destination=destination, event=event, caller_name="key").to_message()
    metadata: dict[str, wire.Data] = {
        "Id": {"string": "bench-1"},
        "DequeueCount": {"json": "1"},
        "InsertionTime": {"json": json.dumps(now)},
    }
    return {"message": {"string": body}}, metadata
