"""What a soak run sent, what came back, and whether they agree."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.storage.queue import QueueClient, QueueMessage, StorageErrorCode

from dev.soak_world import World

INVALID_EACH, UNDECODABLE_EACH = 100, 200
"""One message in this many is an invalid request, or no JSON."""
DELETING_THREADS = 8
_GONE_OR_GIVEN_AGAIN = (StorageErrorCode.MESSAGE_NOT_FOUND, StorageErrorCode.POP_RECEIPT_MISMATCH)


@dataclass(frozen=True)
class Asked:
    """One message, and its expected result: a link, `.failed`, or only a dead letter."""

    request_id: str
    text: str = field(repr=False)
    link: str | None = field(default=None, repr=False)
    decodable: bool = True


def ask(world: World, messages: int) -> Iterator[Asked]:
    """Make the messages of a run: by ids, Teams links and user names, and some invalid ones."""
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
    """Collects the results, and compares them with the messages."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._asked: dict[str, Asked] = {}
        self._events: dict[str, list[dict[str, Any]]] = {}
        self._dead_letters: dict[str, list[str]] = {}
        self._undecodable: set[str] = set()
        self._undelivered: dict[tuple[str, str], str] = {}
        self._open: set[str] = set()
        self._threads = ThreadPoolExecutor(DELETING_THREADS, thread_name_prefix="ledger")

    def write(self, asked: Asked) -> None:
        """Record a message, and send it."""
        with self._lock:
            self._asked[asked.request_id] = asked
            self._open.add(asked.request_id if asked.decodable else asked.text)
        self._world.queue("join-link-requests").send_message(asked.text)

    def collect(self) -> int:
        """Read some of the waiting results and dead letters. Return their number."""
        return self._drain("join-link-results", self._take_result) + self._drain(
            "join-link-dead-letters", self._take_dead_letter
        )

    @property
    def open(self) -> int:
        """The number of messages without a result."""
        with self._lock:
            return len(self._open)

    def _drain(self, name: str, take: Callable[[dict[str, Any]], None]) -> int:
        queue = self._world.queue(name)
        page = list(queue.receive_messages(max_messages=32))
        for message in page:
            take(json.loads(message.content))
        # Sequentially, 32 deletions take longer than 32 requests to the app.
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
                self._dead_letters.setdefault(str(request_id), []).append(letter["reason"])

    def outcomes(self) -> Counter[str]:
        """Count the requests by outcome. A request with several counts with its best one."""
        return Counter(self._judge(asked) for asked in self._asked.values())

    def wrong(self) -> list[str]:
        """Name the requests without an outcome, and those with a wrong one."""
        return [
            f"{asked.request_id}: {verdict}"
            for asked in self._asked.values()
            if (verdict := self._judge(asked)).startswith("WRONG")
        ]

    def deliveries(self) -> tuple[Counter[str], list[str]]:
        """Count the outcomes' deliveries by their results, and name those without a result."""
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
        """Count the results beyond each request's first."""
        return sum(len(events) - 1 for events in self._events.values())

    def attempts(self) -> Counter[int]:
        """Count the requests by the attempts of their first result."""
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
        reasons = self._dead_letters.get(asked.request_id)
        return min(reasons) if reasons else f"WRONG: {sorted(codes)}, and no dead letter"


def _delete(queue: QueueClient, message: QueueMessage) -> None:
    """Delete a message, unless it has gone or is given again: then it is counted twice.

    After a late answer the client tries again, and then there is none.
    """
    try:
        queue.delete_message(message)
    except HttpResponseError as error:
        if getattr(error, "error_code", None) not in _GONE_OR_GIVEN_AGAIN:
            raise
