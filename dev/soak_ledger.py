"""The books of a soak run: what was asked, what came back, and whether they agree."""

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient, QueueMessage

from dev.soak_world import World

INVALID_EACH, UNDECODABLE_EACH = 100, 200
"""One message in so many is no valid request, or no JSON."""
DELETING_THREADS = 8


@dataclass(frozen=True)
class Asked:
    """One message, and what has to come back: a link, `.failed`, or a dead letter alone."""

    request_id: str
    text: str = field(repr=False)
    link: str | None = field(default=None, repr=False)
    decodable: bool = True


def ask(world: World, messages: int) -> Iterator[Asked]:
    """Make the messages of a run: by ids, Teams links and user names, and some that are wrong."""
    for number in range(messages):
        request_id = f"soak-{number}"
        meeting = world.meetings[number % len(world.meetings)]
        if number % UNDECODABLE_EACH == UNDECODABLE_EACH - 1:
            yield Asked(request_id, f"{request_id} is no JSON", decodable=False)
            continue
        request: dict[str, Any] = {"requestId": request_id, "userId": meeting.organizer}
        if number % INVALID_EACH == INVALID_EACH - 2:
            yield Asked(request_id, json.dumps(request))
            continue
        match number % 10:
            case 0 | 1 | 2:
                request["joinWebUrl"] = meeting.join_web_url
            case 3:
                user = world.graph.data.user(meeting.organizer)
                request["userId"] = user.user_principal_name if user else ""
                request["onlineMeetingId"] = meeting.id
            case _:
                request["onlineMeetingId"] = meeting.id
        yield Asked(request_id, json.dumps(request), link=world.graph.join_link(meeting))


class Ledger:
    """Takes what comes back, and holds it against what was asked."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._asked: dict[str, Asked] = {}
        self._events: dict[str, list[dict[str, Any]]] = {}
        self._buried: dict[str, list[str]] = {}
        self._undecodable: set[str] = set()
        self._undelivered: dict[tuple[str, str], str] = {}
        self._open: set[str] = set()
        self._threads = ThreadPoolExecutor(DELETING_THREADS, thread_name_prefix="ledger")

    def write(self, asked: Asked) -> None:
        """Note a message, and send it."""
        with self._lock:
            self._asked[asked.request_id] = asked
            self._open.add(asked.request_id if asked.decodable else asked.text)
        self._world.queue("join-link-requests").send_message(asked.text)

    def collect(self) -> int:
        """Take some of the results and dead letters that there are; return how many."""
        return self._drain("join-link-results", self._take_result) + self._drain(
            "join-link-dead-letters", self._take_dead_letter
        )

    @property
    def open(self) -> int:
        """How many messages nothing has come back for."""
        with self._lock:
            return len(self._open)

    def _drain(self, name: str, take: Callable[[dict[str, Any]], None]) -> int:
        queue = self._world.queue(name)
        page = list(queue.receive_messages(max_messages=32))
        for message in page:
            take(json.loads(message.content))
        # One after the other, 32 deletions take longer than 32 answers.
        list(self._threads.map(partial(_delete, queue), page))
        return len(page)

    def _take_result(self, event: dict[str, Any]) -> None:
        with self._lock:
            self._events.setdefault(event["id"], []).append(event)
            self._open.discard(event["id"])

    def _take_dead_letter(self, letter: dict[str, Any]) -> None:
        request_id = letter["error"].get("requestId")
        if letter["destination"] is not None:
            with self._lock:
                self._undelivered[letter["destination"], str(request_id)] = letter["reason"]
            return
        with self._lock:
            if letter["reason"] == "undecodable":
                text = str(letter["original"])
                self._undecodable.add(text)
                self._open.discard(text)
            else:
                self._buried.setdefault(str(request_id), []).append(letter["reason"])

    def outcomes(self) -> Counter[str]:
        """Count the final outcomes, each request's best, by what they are."""
        return Counter(self._judge(asked) for asked in self._asked.values())

    def wrong(self) -> list[str]:
        """Name what must not be: a request without an outcome, or with one that is not its own."""
        return [
            f"{asked.request_id}: {verdict}"
            for asked in self._asked.values()
            if (verdict := self._judge(asked)).startswith("WRONG")
        ]

    def deliveries(self) -> tuple[Counter[str], list[str]]:
        """Count what became of each outcome's deliveries, and name those that nobody can find."""
        counts: Counter[str] = Counter()
        missing = []
        for name, there in self._world.receivers.items():
            taken = Counter(one.event["data"]["requestId"] for one in there.taken)
            for request_id in self._events:
                reason = self._undelivered.get((name, request_id))
                if request_id in taken:
                    counts[f"delivered to {name}"] += 1
                elif reason is not None:
                    counts[f"dead letter for {name}: {reason}"] += 1
                else:
                    missing.append(f"{request_id}: not delivered to {name}, and no dead letter")
            again = sum(taken.values()) - len(taken)
            counts[f"delivered to {name} more than once: further deliveries"] += again
        return counts, missing

    def duplicates(self) -> int:
        """Count the answers beyond each request's first."""
        return sum(len(events) - 1 for events in self._events.values())

    def attempts(self) -> Counter[int]:
        """Count the requests by the tries that their first answer took."""
        return Counter(events[0]["data"]["attempts"] for events in self._events.values())

    def _judge(self, asked: Asked) -> str:
        if not asked.decodable:
            return "undecodable" if asked.text in self._undecodable else "WRONG: no dead letter"
        events = self._events.get(asked.request_id)
        if not events:
            return "WRONG: no outcome"
        links = {event["data"].get("virtualAppointmentJoinWebUrl") for event in events} - {None}
        codes = {event["data"].get("code") for event in events} - {None}
        if links - {asked.link}:
            return "WRONG: another's link"
        if links:
            return "resolved"
        if asked.link is None:
            return "refused" if codes == {"invalid_request"} else f"WRONG: {sorted(codes)}"
        reasons = self._buried.get(asked.request_id)
        return min(reasons) if reasons else f"WRONG: {sorted(codes)}, and no dead letter"


def _delete(queue: QueueClient, message: QueueMessage) -> None:
    """Delete a message; its client tries again where the answer was late, and finds it gone."""
    with contextlib.suppress(ResourceNotFoundError):
        queue.delete_message(message)
