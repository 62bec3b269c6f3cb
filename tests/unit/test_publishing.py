"""Where an outcome goes: over filters, queues that fail, and processes that are killed."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.app import Services
from shared.core import errors
from shared.core.deadline import Deadline
from shared.core.errors import QueueUnavailable
from shared.handlers.processing import MessageNotCompleted
from shared.handlers.queue_messages import process, process_poison
from shared.queues import messages
from shared.queues.client import DEAD_LETTERS, DELIVERIES, REQUESTS, RESULTS
from shared.queues.messages import MAX_DEQUEUE_COUNT, QueueMessage
from tests.unit.delivery_world import destination, services_for
from tests.unit.events import emitted
from tests.unit.memory_queues import (
    START,
    MemoryQueues,
    ResolverOfOneMind,
    Written,
    delivery,
    make_request,
)

SOURCES = (None, "calcom", "clinic")


class Killed(BaseException):
    """The process ends here."""


def services(
    queues: MemoryQueues,
    destinations: dict[str, Any],
    error: Exception | None = None,
    results: str = "unclaimed",
) -> Services:
    """Put the app together."""
    return services_for(
        queues, destinations, resolver=ResolverOfOneMind(error), RESULTS_QUEUE=results
    )


def request(source: str | None) -> bytes:
    """Write a request as a source's webhook puts it on the queue, or as a workflow does."""
    return messages.write_request(make_request(), request_id="booking-1", source=source).encode()


def test_an_outcome_goes_to_each_destination_that_takes_it_and_to_the_result_queue() -> None:
    """With the same event. The delivery names the destination, not its URL."""
    queues = MemoryQueues()
    entries = {
        "all": destination("http://127.0.0.1:9/?sig=canary"),
        "failures": destination(outcomes=["failed"]),
        "webhooks": destination(sources=["calcom"]),
        "switched-off": {"url": "no URL", "secret": "s"},
    }

    process(services(queues, entries, results="always"), delivery(request("calcom")))

    assert queues.journal == [RESULTS, *[DELIVERIES] * 3]
    (result,) = queues.on(RESULTS)
    sent = queues.on(DELIVERIES)
    assert [one.json["destination"] for one in sent] == ["all", "webhooks", "switched-off"]
    assert all(one.json["event"] == result.json for one in sent)
    assert "canary" not in "".join(one.text for one in sent)


def test_with_unclaimed_an_outcome_for_a_destination_is_not_on_the_result_queue() -> None:
    """An outcome that no destination takes is."""
    queues = MemoryQueues()
    entries = {"crm": destination(outcomes=["resolved"])}

    process(services(queues, entries), delivery(request(None)))
    process(services(queues, entries, errors.MeetingIdMalformed("No.")), delivery(request(None)))

    assert queues.journal == [DELIVERIES, RESULTS]
    assert queues.on(RESULTS)[0].json["data"]["code"] == "meeting_id_malformed"


def test_with_unclaimed_a_destination_with_an_invalid_filter_claims_no_outcome() -> None:
    """The corrected filter may not take the outcome, and somebody must get it."""
    queues = MemoryQueues()

    process(services(queues, {"crm": destination(sources=["cal com"])}), delivery(request(None)))

    assert queues.journal == [RESULTS, DELIVERIES]


@pytest.mark.parametrize("results", ["always", "unclaimed"])
def test_without_destinations_everything_is_on_the_result_queue(results: str) -> None:
    """As if the setting did not exist."""
    queues = MemoryQueues()

    process(services(queues, {}, results=results), delivery(request(None)))

    assert queues.journal == [RESULTS]


@pytest.mark.parametrize("away", [RESULTS, DELIVERIES])
def test_an_outcome_that_was_partly_published_is_not_followed_by_failed(
    away: str, caplog: pytest.LogCaptureFixture
) -> None:
    """On the last delivery there is only a dead letter, whose replay publishes the outcome."""
    caplog.set_level(logging.INFO)
    queues = MemoryQueues(away)
    made = services(queues, {"crm": destination()}, results="always")

    give_out(made, request(None))

    assert {outcome_of(one) for one in queues.written if one.queue != DEAD_LETTERS} <= {"resolved"}
    (letter,) = queues.on(DEAD_LETTERS)
    assert letter.json["reason"] == "failed_on_last_delivery"
    assert letter.json["error"]["code"] == "queue_unavailable"
    assert [event["event"] for event in emitted(caplog)] == [
        *["join_link.retried"] * (MAX_DEQUEUE_COUNT - 1),
        "join_link.dead_lettered",
    ]
    queues.away, queues.written = set(), []
    give_out(made, letter.json["original"].encode())
    assert [outcome_of(one) for one in queues.written] == ["resolved", "resolved"]


class Troubled:
    """Queues that fail, and a process that is killed, at some of the writes.

    Args:
        queues: Where what is written ends up.
        plan: For each write what happens to it: None is well; else `fail` before it, or `kill`
            after it.
    """

    def __init__(self, queues: MemoryQueues, plan: list[str | None]) -> None:
        self._plan = list(plan)
        self._send = queues.send
        queues.send = self.send  # type: ignore[method-assign] # it is the test's own

    def send(self, queue: str, message: str, *, deadline: Deadline, delay: float = 0) -> None:
        """Write, or not."""
        trouble = self._plan.pop(0) if self._plan else None
        if trouble == "fail":
            raise QueueUnavailable(f"The queue {queue} could not be written.")
        self._send(queue, message, deadline=deadline, delay=delay)
        if trouble == "kill":
            raise Killed


def give_out(made: Services, body: bytes) -> bool:
    """Give out a message as the host does: five times, and then from its poison queue.

    Returns:
        Whether it came from there in the end.
    """
    action: Callable[..., None] = process
    count = 0
    while True:
        count += 1
        message = QueueMessage(body=body, message_id="m", dequeue_count=count, inserted_on=START)
        try:
            action(made, message, now=lambda: START)
        except (Killed, MessageNotCompleted):
            if action is process and count == MAX_DEQUEUE_COUNT:
                action, count = process_poison, 0
        else:
            return action is process_poison


ENTRIES = st.dictionaries(
    st.sampled_from(["crm", "flow", "audit"]),
    st.fixed_dictionaries(
        {},
        optional={
            "sources": st.lists(st.sampled_from(SOURCES), min_size=1, unique=True),
            "outcomes": st.lists(st.sampled_from(["resolved", "failed"]), min_size=1, unique=True),
            "private": st.just("a mistake"),
        },
    ),
)


@settings(deadline=None)  # each puts the app together
@given(
    entries=ENTRIES,
    source=st.sampled_from(SOURCES),
    error=st.none() | st.builds(errors.MeetingIdMalformed, st.just("No.")),
    plan=st.lists(st.sampled_from([None, None, "fail", "kill"]), max_size=30),
    results=st.sampled_from(["always", "unclaimed"]),
)
@example(entries={}, source=None, error=None, plan=["kill"] * MAX_DEQUEUE_COUNT, results="always")
def test_an_outcome_is_where_it_is_awaited_whatever_fails(
    entries: dict[str, dict[str, Any]],
    source: str | None,
    error: Exception | None,
    plan: list[str | None],
    results: str,
) -> None:
    """Unclaimed, what a destination takes is never on the result queue; what none takes always is.

    Each destination that takes an outcome has it, or the request has a dead letter. And nobody is
    told one outcome while somebody else is told the other. Only where the process ended five times,
    and perhaps after it had told somebody, `.failed` follows all the same.
    """
    queues = MemoryQueues()
    made = services(
        queues, {name: destination(**each) for name, each in entries.items()}, error, results
    )
    Troubled(queues, plan)

    was_poisoned = give_out(made, request(source))

    def taking(outcome: str) -> set[str]:
        return {
            name
            for name, each in entries.items()
            if source in each.get("sources", [source])
            and outcome in each.get("outcomes", [outcome])
        }

    written = [*map(outcome_of, queues.on(RESULTS)), *map(outcome_of, queues.on(DELIVERIES))]
    for one in queues.on(RESULTS):
        assert results == "always" or not taking(outcome_of(one))
    for one in queues.on(DELIVERIES):
        assert one.json["destination"] in taking(outcome_of(one))
    if not was_poisoned:
        assert len(set(written)) <= 1
    if queues.on(DEAD_LETTERS):
        return
    assert set(written) == {"resolved" if error is None else "failed"}
    (ended,) = set(written)
    assert {one.json["destination"] for one in queues.on(DELIVERIES)} == taking(ended)
    assert bool(queues.on(RESULTS)) == (results == "always" or not taking(ended))


@settings(deadline=None)  # as above
@given(plan=st.lists(st.sampled_from([None, None, None, "fail", "kill"]), max_size=60))
@example(plan=["kill"] * MAX_DEQUEUE_COUNT)
@example(plan=[None] * 5 + ["fail"] * 5)
def test_each_request_of_a_list_is_queued_answered_or_kept_whatever_fails(
    plan: list[str | None],
) -> None:
    """What comes again has the same id, and only an invalid request is told `.failed`."""
    queues = MemoryQueues()
    made = services(queues, {"crm": destination()}, results="always")
    Troubled(queues, plan)
    valid, invalid = [f"booking-{n}" for n in range(3)], ["wrong-1", "wrong-2"]
    unnamed = {name: value for name, value in make_request().items() if name != "requestId"}
    items = [
        *(make_request(each) for each in valid),
        *(make_request(each, userId=7) for each in invalid),
        unnamed,
    ]

    give_out(made, json.dumps(items).encode())

    queued = {one.json["id"] for one in queues.on(REQUESTS)}
    kept = {one.json["error"]["requestId"] for one in queues.on(DEAD_LETTERS)}
    told = {one.json["id"] for one in queues.on(RESULTS)}
    delivered = {one.json["event"]["id"] for one in queues.on(DELIVERIES)}
    digest = messages.digest(json.dumps(unnamed, sort_keys=True).encode())
    assert queued | kept >= {*valid, digest}
    assert (told & delivered) | kept >= {*invalid}
    assert told | delivered <= {*invalid}
    assert queued | kept | told <= {*valid, *invalid, digest}


def outcome_of(written: Written) -> str:
    """Say how the request of a message ended."""
    members = written.json
    kind: str = members.get("event", members)["type"]
    return kind.rpartition(".")[2]


def test_a_problem_of_greatest_length_still_fits_into_a_delivery_and_its_dead_letter() -> None:
    """With the largest context, in characters that take the most room, and every field wrong."""
    queues = MemoryQueues()
    context = "\u0800" * ((4096 - 2) // 3)
    body = {"context": context, **{f"\u0800{'x' * 90}{n}": n for n in range(30)}}
    made = services(queues, {"crm": destination()})

    process(made, delivery(json.dumps(body).encode()))

    (sent,) = queues.on(DELIVERIES)
    assert len(sent.text) <= 64 * 1024
    from shared.handlers import deliveries  # noqa: PLC0415 - of this alone

    deliveries.process_poison(made, delivery(sent.text.encode()), now=lambda: START)
    (letter,) = queues.on(DEAD_LETTERS)
    assert json.loads(letter.json["original"]) == sent.json
