"""A host that gives out messages in memory, with its own clock."""

import heapq
import itertools
import json
import random
from dataclasses import dataclass, field
from typing import Any

from shared.handlers.processing import MessageNotCompleted
from shared.handlers.queue_messages import process
from shared.meetings.resolver import Resolver
from shared.queues.client import DEAD_LETTERS, REQUESTS, RESULTS
from shared.queues.messages import MAX_DEQUEUE_COUNT, QueueMessage
from tests.unit.memory_queues import START, MemoryQueues, Written, make_services

HOST_RETRY_SECONDS = 30.0


@dataclass(order=True)
class _Waiting:
    visible_at: float
    order: int
    body: str = field(compare=False)
    inserted_on: float = field(compare=False)
    dequeue_count: int = field(compare=False, default=0)


class Simulation:
    """Gives out messages as soon as they are visible.

    Attributes:
        now: Seconds since the epoch.
        poison: The messages of the poison queue.
        deliveries: How many messages were given out.
    """

    def __init__(self, resolver: Resolver, *, hours: float = 24, seed: int = 1) -> None:
        self.now = START
        self.queues = MemoryQueues()
        self.poison: list[str] = []
        self.deliveries = 0
        self._services = make_services(resolver, self.queues, hours=hours)
        self._waiting: list[_Waiting] = []
        self._order = itertools.count()
        self._draw = random.Random(seed).uniform
        self.queues.on_send = self._sent

    def put(self, request: object, *, delay: float = 0) -> None:
        """Put a request on the queue, visible now or later."""
        self._push(json.dumps(request), delay, inserted_on=self.now + delay)

    def replay(self, dead_letter: Any) -> None:  # noqa: ANN401 - JSON is anything
        """Put a dead letter's original back, as scripts/dead_letters.py does."""
        self._push(str(dead_letter["original"]), 0, inserted_on=self.now)

    def run(self) -> None:
        """Run until the request queue is empty."""
        while self._waiting:
            message = heapq.heappop(self._waiting)
            self.now = max(self.now, message.visible_at)
            self._give_out(message)

    def final(self) -> dict[str, list[str]]:
        """The outcomes of each request: `resolved` or `failed`."""
        outcomes: dict[str, list[str]] = {}
        for written in self.queues.on(RESULTS):
            event = written.json
            outcomes.setdefault(event["id"], []).append(event["type"].rpartition(".")[2])
        return outcomes

    def dead_letters(self) -> list[Any]:
        """The dead letters."""
        return [written.json for written in self.queues.on(DEAD_LETTERS)]

    def _sent(self, written: Written) -> None:
        if written.queue == REQUESTS:
            self._push(written.text, written.delay, inserted_on=self.now)

    def _push(self, body: str, delay: float, *, inserted_on: float) -> None:
        message = _Waiting(self.now + delay, next(self._order), body, inserted_on)
        heapq.heappush(self._waiting, message)

    def _give_out(self, message: _Waiting) -> None:
        self.deliveries += 1
        message.dequeue_count += 1
        delivery = QueueMessage(
            body=message.body.encode(),
            message_id=str(message.order),
            dequeue_count=message.dequeue_count,
            inserted_on=message.inserted_on,
        )
        try:
            process(self._services, delivery, now=lambda: self.now, draw=self._draw)
        except MessageNotCompleted:
            if message.dequeue_count >= MAX_DEQUEUE_COUNT:
                self.poison.append(message.body)
            else:
                message.visible_at = self.now + HOST_RETRY_SECONDS
                heapq.heappush(self._waiting, message)
