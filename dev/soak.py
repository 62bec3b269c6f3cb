"""`python dev.py soak`: is every request accounted for while everything around it fails?

Messages come in steadily while Graph throttles, fails, resets, hangs and cuts bodies (a fifth of
all calls), the identity endpoint, the queue service and the name server go away or fall silent, one
after the other, and workers are killed.
Then the world heals, and whatever waits has to come to its end.
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
RATE = 25.0  # messages a second, at most; the emulator does little more
LEAST_SENDING = 75.0  # seconds; outages and kills need some time to lie in
LEAST_KILLS, MESSAGES_PER_KILL = 12, 250
SPARED_FROM = 0.5  # share of the messages after which the first host's worker is left alone
FIRST_OUTAGE, BETWEEN_OUTAGES = 0.1, 0.17  # as shares of the messages
OUTAGE = 8.0  # seconds
MOST_OPEN = 1_000  # messages; more are not sent until some are answered
PROGRESS = 5.0  # seconds between two lines
MOST_GROWTH = 1.15  # of a worker's memory, from the first to the last third of its samples
LEAST_SAMPLES = 3


@dataclass
class Course:
    """What is to happen, and what has happened so far."""

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
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    @property
    def pause(self) -> float:
        """Seconds between two messages."""
        return max(1 / RATE, LEAST_SENDING / self.messages)

    @property
    def kills_planned(self) -> int:
        """How many workers are to be killed."""
        return max(LEAST_KILLS, self.messages // MESSAGES_PER_KILL)

    def reaches(self, share: float) -> bool:
        """Wait until so many of the messages are sent, and say whether the run still goes on."""
        while self.sent < share * self.messages:
            if self.over.wait(0.1):
                return False
        return not self.over.is_set()


def soak(*, messages: int, seconds: float) -> int:
    """Run it and return 0 if every request is accounted for.

    Args:
        messages: How many.
        seconds: How long it may take at most.
    """
    with ExitStack() as parts:
        with working("Starting two hosts, their queues and their stand-ins"):
            world = parts.enter_context(World(seed=SEED))
        course = Course(messages, seconds)
        ledger = Ledger(world)
        with world.graph_misbehaving(), _trouble(course, world, ledger):
            _watch(course, world, ledger, until=lambda: course.sent == messages)
        print(f"{course.elapsed:4.0f} s  the world has healed", flush=True)
        finished = _watch(
            course, world, ledger, until=lambda: not ledger.open and not _waiting(world)
        )
        return _report(course, world, ledger, finished=finished)


@contextmanager
def _trouble(course: Course, world: World, ledger: Ledger) -> Iterator[None]:
    """Send messages, trouble one service after the other and kill workers, each in a thread."""

    def kill() -> None:
        for number in range(1, course.kills_planned + 1):
            share = number / (course.kills_planned + 1)
            if not course.reaches(share):
                return
            # To the end; but a worker's memory can only be watched while it lives.
            victims = world.hosts[1:] if share > SPARED_FROM else world.hosts
            victims[number % len(victims)].kill_worker()
            course.kills += 1

    def trouble() -> None:
        for number, (name, outage) in enumerate(world.outages().items()):
            if not course.reaches(FIRST_OUTAGE + number * BETWEEN_OUTAGES):
                return
            with outage():
                course.outage = name
                course.over.wait(OUTAGE)
            course.outage = ""
            course.outages.append(name)

    with ThreadPoolExecutor(3, thread_name_prefix="soak") as threads:
        running = [
            threads.submit(_send, course, world, ledger),
            threads.submit(kill),
            threads.submit(trouble),
        ]
        try:
            yield
        finally:
            course.over.set()
    for thread in running:
        thread.result()


def _send(course: Course, world: World, ledger: Ledger) -> None:
    for asked in ask(world, course.messages):
        wait = max(0.0, course.sent * course.pause - course.elapsed)
        while not course.over.wait(wait) and ledger.open >= MOST_OPEN:
            wait = 1.0
        if course.over.is_set():
            return
        ledger.write(asked)
        course.sent += 1


def _watch(course: Course, world: World, ledger: Ledger, *, until: Callable[[], bool]) -> bool:
    """Collect what comes back until a condition holds, or the time is over."""
    next_line = course.elapsed
    while not until():
        if course.elapsed > course.seconds:
            return False
        if not ledger.collect():
            time.sleep(0.2)
        if course.elapsed >= next_line:
            next_line = course.elapsed + PROGRESS
            _measure(course, world)
            print(_progress(course, world, ledger), flush=True)
    return True


def _waiting(world: World) -> int:
    queues = ("join-link-requests", "join-link-deliveries")
    return sum(world.count(name) + world.count(f"{name}-poison") for name in queues)


def _progress(course: Course, world: World, ledger: Ledger) -> str:
    outage = f"  {course.outage}" if course.outage else ""
    return (
        f"{course.elapsed:4.0f} s  sent {course.sent:6,}  open {ledger.open:5,}  "
        f"queued {_waiting(world):5,}  killed {course.kills:2}{outage}"
    )


def _measure(course: Course, world: World) -> None:
    """Note the resident memory of the worker that is spared, in MB."""
    if course.sent <= SPARED_FROM * course.messages:
        return
    statm = Path(f"/proc/{world.hosts[0].worker_pid}/statm")
    if statm.exists():
        pages = int(statm.read_text(encoding="ascii").split()[1])
        course.memory.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)


def _report(course: Course, world: World, ledger: Ledger, *, finished: bool) -> int:
    calls = world.graph.count()
    attempts = ledger.attempts()
    print(f"\n{course.sent:,} messages in {course.elapsed:.0f} s; {course.kills} workers killed")
    print(f"  outages: {', '.join(course.outages)}")
    if world.names is None:
        print("  names silent: not tried, since that takes Linux, and root")
    else:
        print(f"  questions for a name without an answer: {world.names.unanswered:,}")
    for outcome, count in sorted(ledger.outcomes().items()):
        print(f"  {outcome}: {count:,}")
    print(f"  answered more than once: {ledger.duplicates():,} further answers")
    print(f"  calls to Graph: {calls:,}, {calls / max(1, course.sent):.2f} a message")
    tries = ", ".join(f"{n}: {attempts[n]:,}" for n in sorted(attempts))
    print(wrapped(f"  answers by tries: {tries}", indent="    "))
    deliveries, missing = ledger.deliveries()
    for what, count in sorted(deliveries.items()):
        print(f"  {what}: {count:,}")
    faults = ledger.wrong() + missing
    if not finished:
        faults.append(f"not finished: {ledger.open:,} open, {_waiting(world):,} on the queue")
    if course.kills < course.kills_planned:
        faults.append(f"only {course.kills} of {course.kills_planned} workers were killed")
    faults += [f"not tried: {name}" for name in world.outages() if name not in course.outages]
    faults += _growth(course.memory)
    for fault in faults[:20]:
        print(wrapped(f"  {fault}", indent="    "))
    print(
        red("Some are not accounted for.") if faults else green("Every request is accounted for.")
    )
    return 1 if faults else 0


def _growth(memory: list[float]) -> list[str]:
    if not Path("/proc/self/statm").exists():
        print("  memory: not measured, there is no /proc here")
        return []
    if len(memory) < LEAST_SAMPLES:
        return [f"memory was measured only {len(memory)} times"]
    third = len(memory) // 3
    before, after = statistics.mean(memory[:third]), statistics.mean(memory[-third:])
    print(f"  memory of the spared worker: {before:.1f} MB, at the end {after:.1f} MB")
    return ["a worker's memory grew"] if after > before * MOST_GROWTH else []
