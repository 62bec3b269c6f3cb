"""`python dev.py soak`: a load run with failing services. Each request must have a result.

It sends messages steadily while Graph throttles, fails, resets, hangs and cuts bodies (a fifth of
all calls), the identity endpoint, the queue service and the name server reset or ignore connections
one after the other, and workers are killed.
Then all services work again, and each waiting message must be processed.
"""

import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dev.soak_ledger import Ledger, ask
from dev.soak_world import World
from dev.terminal import green, red, working, wrapped

SEED = 20
RATE = 25.0  # messages a second at most. Azurite does little more
LEAST_SENDING = 75.0  # seconds, so that there is time for outages and kills
LEAST_KILLS, MESSAGES_PER_KILL = 12, 250
SPARED_FROM = 0.5  # share of the messages after which the first host's worker is not killed
FIRST_OUTAGE, BETWEEN_OUTAGES = 0.1, 0.17  # as shares of the messages
OUTAGE = 8.0  # seconds
MOST_OPEN = 1_000  # messages. With as many open, no more are sent
PROGRESS = 5.0  # seconds between two lines
MOST_GROWTH = 1.15  # of a worker's memory, from the first to the last third of its samples
LEAST_SAMPLES = 3


@dataclass
class Run:
    """The plan and the state of a run."""

    messages: int
    seconds: float
    began: float = field(default_factory=time.monotonic)
    over: threading.Event = field(default_factory=threading.Event)
    sent: int = 0
    kills: int = 0
    outages: list[str] = field(default_factory=list)
    outage: str = ""
    memory: list[float] = field(default_factory=list)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    @property
    def pause(self) -> float:
        """Seconds between two messages."""
        return max(1 / RATE, LEAST_SENDING / self.messages)

    @property
    def kills_planned(self) -> int:
        """The number of workers to kill."""
        return max(LEAST_KILLS, self.messages // MESSAGES_PER_KILL)

    def reaches(self, share: float) -> bool:
        """Wait until this share of the messages is sent. Return whether the run still goes on."""
        while self.sent < share * self.messages:
            if self.over.wait(0.1):
                return False
        return not self.over.is_set()


def soak(*, messages: int, seconds: float) -> int:
    """Run it and return 0 if each request is accounted for.

    Args:
        messages: The number of messages.
        seconds: The time limit.
    """
    with ExitStack() as parts:
        with working("Starting two hosts, their queues and their stand-ins"):
            world = parts.enter_context(World(seed=SEED))
        run = Run(messages, seconds)
        ledger = Ledger(world)
        with world.graph_misbehaving(), _disturb(run, world, ledger):
            _watch(run, world, ledger, until=lambda: run.sent == messages)
        print(f"{run.elapsed:4.0f} s  all services work again", flush=True)
        finished = _watch(run, world, ledger, until=lambda: not ledger.open and not _waiting(world))
        return _report(run, world, ledger, finished=finished)


@contextmanager
def _disturb(run: Run, world: World, ledger: Ledger) -> Iterator[None]:
    """Send messages, disturb one service after the other and kill workers, each in a thread."""

    def kill() -> None:
        for number in range(1, run.kills_planned + 1):
            share = number / (run.kills_planned + 1)
            if not run.reaches(share):
                return
            # After this share only other hosts' workers, because one worker's memory is watched.
            hosts = world.hosts[1:] if share > SPARED_FROM else world.hosts
            hosts[number % len(hosts)].kill_worker()
            run.kills += 1

    def disturb() -> None:
        for number, (name, outage) in enumerate(world.outages().items()):
            if not run.reaches(FIRST_OUTAGE + number * BETWEEN_OUTAGES):
                return
            with outage():
                run.outage = name
                run.over.wait(OUTAGE)
            run.outage = ""
            run.outages.append(name)

    with ThreadPoolExecutor(3, thread_name_prefix="soak") as threads:
        running = [
            threads.submit(_send, run, world, ledger),
            threads.submit(kill),
            threads.submit(disturb),
        ]
        try:
            yield
        finally:
            run.over.set()
    for thread in running:
        thread.result()


def _send(run: Run, world: World, ledger: Ledger) -> None:
    for asked in ask(world, run.messages):
        wait = max(0.0, run.sent * run.pause - run.elapsed)
        while not run.over.wait(wait) and ledger.open >= MOST_OPEN:
            wait = 1.0
        if run.over.is_set():
            return
        ledger.write(asked)
        run.sent += 1


def _watch(run: Run, world: World, ledger: Ledger, *, until: Callable[[], bool]) -> bool:
    """Collect results until a condition is true or the time is over."""
    next_line = run.elapsed
    while not until():
        if run.elapsed > run.seconds:
            return False
        if not ledger.collect():
            time.sleep(0.2)
        if run.elapsed >= next_line:
            next_line = run.elapsed + PROGRESS
            _measure(run, world)
            print(_progress(run, world, ledger), flush=True)
    return True


def _waiting(world: World) -> int:
    queues = ("join-link-requests", "join-link-deliveries")
    return sum(world.count(name) + world.count(f"{name}-poison") for name in queues)


def _progress(run: Run, world: World, ledger: Ledger) -> str:
    outage = f"  {run.outage}" if run.outage else ""
    return (
        f"{run.elapsed:4.0f} s  sent {run.sent:6,}  open {ledger.open:5,}  "
        f"queued {_waiting(world):5,}  killed {run.kills:2}{outage}"
    )


def _measure(run: Run, world: World) -> None:
    """Record the resident memory of the first host's worker, in MB."""
    if run.sent <= SPARED_FROM * run.messages:
        return
    statm = Path(f"/proc/{world.hosts[0].worker_pid}/statm")
    if statm.exists():
        pages = int(statm.read_text(encoding="ascii").split()[1])
        run.memory.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)


def _report(run: Run, world: World, ledger: Ledger, *, finished: bool) -> int:
    calls = world.graph.count()
    attempts = ledger.attempts()
    print(f"\n{run.sent:,} messages in {run.elapsed:.0f} s; {run.kills} workers killed")
    print(f"  outages: {', '.join(run.outages)}")
    if world.names is None:
        print("  names silent: not tried, because that needs Linux and root")
    else:
        print(f"  unanswered queries for a name: {world.names.unanswered:,}")
    for outcome, count in sorted(ledger.outcomes().items()):
        print(f"  {outcome}: {count:,}")
    print(f"  answered more than once: {ledger.duplicates():,} further answers")
    print(f"  calls to Graph: {calls:,}, {calls / max(1, run.sent):.2f} a message")
    tries = ", ".join(f"{n}: {attempts[n]:,}" for n in sorted(attempts))
    print(wrapped(f"  answers by tries: {tries}", indent="    "))
    deliveries, missing = ledger.deliveries()
    for what, count in sorted(deliveries.items()):
        print(f"  {what}: {count:,}")
    problems = ledger.wrong() + missing
    if not finished:
        problems.append(f"not finished: {ledger.open:,} open, {_waiting(world):,} on the queue")
    if run.kills < run.kills_planned:
        problems.append(f"only {run.kills} of {run.kills_planned} workers were killed")
    problems += [f"not tried: {name}" for name in world.outages() if name not in run.outages]
    problems += _growth(run.memory)
    for problem in problems[:20]:
        print(wrapped(f"  {problem}", indent="    "))
    print(
        red("Some are not accounted for.") if problems else green("Every request is accounted for.")
    )
    return 1 if problems else 0


def _growth(memory: list[float]) -> list[str]:
    if not Path("/proc/self/statm").exists():
        print("  memory: not measured, because this system has no /proc")
        return []
    if len(memory) < LEAST_SAMPLES:
        return [f"memory was measured only {len(memory)} times"]
    third = len(memory) // 3
    before, after = statistics.mean(memory[:third]), statistics.mean(memory[-third:])
    print(f"  memory of the spared worker: {before:.1f} MB, at the end {after:.1f} MB")
    return ["a worker's memory grew"] if after > before * MOST_GROWTH else []
