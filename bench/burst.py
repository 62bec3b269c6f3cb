"""The first calls of a cold process, all at once."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import requests

from bench.profile import FIRST_CALLS, profile
from bench.report import Goal, Report, Table, median, ratio
from bench.worker import Times, Worker, WrongResponse
from bench.world import FLOOR, OURS, PARTS, PERSON, Counts, World, in_turns
from dev.booking_systems import SECRETS, calcom_booking, sign_as_calcom
from dev.local_run import LocalRun
from dev.stand_ins.messages import Call

AT_ONCE = (32, 100)
PROFILED = 32  # also measured with parts of this app left out


@dataclass(frozen=True, slots=True)
class Burst:
    """One burst, and the requests that the server got during it."""

    times: Times
    counts: Counts


def measure(world: World, *, rounds: int, say: Callable[[str], None]) -> Report:
    """Start each subject, and call it many times before it has given a link."""
    tables, goals = [], []
    for at_once in AT_ONCE:
        subjects = (*world.subjects, *PARTS) if at_once == PROFILED else world.subjects
        bursts: dict[str, list[Burst]] = {subject.name: [] for subject in subjects}
        for number in range(rounds):
            say(f"{at_once} first calls, round {number + 1} of {rounds}")
            for subject in in_turns(subjects, number):
                with Worker(subject, world) as worker:
                    before = world.counts()
                    times = worker.calls(at_once=at_once, count=at_once)
                    bursts[subject.name].append(Burst(times, world.counts() - before))
        rows = tuple(_row(name, mine, bursts[FLOOR]) for name, mine in bursts.items())
        tables.append(
            Table(
                title=f"Burst: the first {at_once} calls of a cold process, at once",
                columns=("", "last link, ms", "of raw's", "tokens", "connections", "Graph calls"),
                rows=rows,
            )
        )
        if at_once == PROFILED:
            tables.append(
                profile(
                    bursts,
                    lambda burst: 1e3 * _wall(burst),
                    parts=FIRST_CALLS,
                    title=f"Where this app's first {at_once} calls take their time",
                    column="last link, ms",
                    digits=1,
                )
            )
        goals += _goals(bursts, at_once)
    say("first calls of one person")
    with Worker(PERSON, world) as worker:
        before = world.counts()
        worker.calls(at_once=AT_ONCE[-1], count=AT_ONCE[-1])
        counts = world.counts() - before
    goals.append(
        Goal(
            text=f"exchanges for {AT_ONCE[-1]} first calls of one person",
            found=counts.exchanges,
            limit=1,
        )
    )
    say("first webhooks")
    table, reads_of_all = _webhooks()
    goals.append(Goal(text="vault trips for 100 first webhooks", found=reads_of_all, limit=1))
    return Report(name="burst", tables=(*tables, table), goals=tuple(goals))


def _webhooks() -> tuple[Table, int]:
    """Post many signed bookings to an app that has not read the secret, and count the requests."""
    rows, reads_of_all = [], 0
    for at_once in AT_ONCE:
        with LocalRun() as run, ThreadPoolExecutor(at_once) as senders:
            meeting, doctor = run.clinic.meeting, run.clinic.doctor
            bodies = [calcom_booking(meeting, doctor) for _ in range(at_once)]

            def post(body: bytes, run: LocalRun = run) -> int:
                headers = sign_as_calcom(body, SECRETS["webhook-calcom"])
                url = f"{run.url}/api/webhooks/calcom"
                return requests.post(url, body, headers=headers, timeout=60).status_code

            began = time.perf_counter()
            statuses = set(senders.map(post, bodies))
            wall = time.perf_counter() - began
            if statuses != {202}:
                raise WrongResponse(f"Webhooks were answered with {statuses}.")
            tokens = run.identity.count(lambda call: "vault.azure.net" in call.request.target)
            reads = run.vault.count(_lists_versions)
        reads_of_all = max(reads_of_all, reads)
        rows.append((f"{at_once} signed bookings", f"{1000 * wall:.0f}", str(tokens), str(reads)))
    return (
        Table(
            title="Burst: the first webhooks of a cold process, at once, through the local host",
            columns=("", "last 202, ms", "tokens for the vault", "vault reads for the secret"),
            rows=tuple(rows),
        ),
        reads_of_all,
    )


def _lists_versions(call: Call) -> bool:
    """Tell whether a call begins reading the secret, after the vault's challenge."""
    return call.status == 200 and call.path.endswith("/webhook-calcom/versions")


def _wall(burst: Burst) -> float:
    return burst.times.wall


def _row(name: str, mine: list[Burst], floor: list[Burst]) -> tuple[str, ...]:
    return (
        name,
        f"{1000 * median(map(_wall, mine)):.0f}",
        f"{ratio(mine, floor, _wall):.2f}",
        f"{max(burst.counts.tokens for burst in mine)}",
        f"{max(burst.counts.connections for burst in mine)}",
        f"{max(burst.counts.graph for burst in mine)}",
    )


def _goals(bursts: dict[str, list[Burst]], at_once: int) -> list[Goal]:
    ours = bursts[OURS]
    return [
        Goal(
            text=f"{at_once} first calls at once, of a raw socket's time,",
            found=ratio(ours, bursts[FLOOR], _wall),
            limit=1.1 if at_once <= 32 else 1.5,
        ),
        Goal(
            text=f"token requests for {at_once} first calls",
            found=max(burst.counts.tokens for burst in ours),
            limit=1,
        ),
    ]
