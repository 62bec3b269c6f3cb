"""A day without Graph, with a simulated clock: nothing is lost, and the calls are bounded."""

from collections import Counter
from collections.abc import Iterator

import pytest

from shared.core import errors
from shared.core.errors import ServiceError
from shared.queues.client import RESULTS
from tests.unit.fake_graph import FakeGraph, make_resolver
from tests.unit.memory_queues import START, ResolverOfOneMind, make_request
from tests.unit.scripted_server import Reply, answer
from tests.unit.simulated_queue import Simulation

HOUR = 3600.0
MEETING = "MSo1"
MESSAGES = 20
MEAN_CALLS = 205
MOST_CALLS = 230
"""To Graph, for one message, in a day without it: stated in docs/operations.md."""


class GraphWithAnOutage(FakeGraph):
    """Answers 503 until a moment of the simulation's time; counts the calls for each meeting."""

    def __init__(self) -> None:
        super().__init__()
        self.simulation: Simulation
        self.back_at = START
        self.refused: Counter[str] = Counter()

    def reply_to(self, target: str) -> Reply:
        """Answer as the time demands."""
        if self.simulation.now < self.back_at:
            self.refused[target] += 1
            return answer(503)
        return super().reply_to(target)


@pytest.fixture
def graph() -> Iterator[GraphWithAnOutage]:
    """A Graph that knows one link for each message."""
    with GraphWithAnOutage() as graph:
        graph.links = {
            f"{MEETING}-{n}": f"https://visit.teams.microsoft.com/{n}" for n in range(MESSAGES)
        }
        yield graph


def put_messages(simulation: Simulation) -> None:
    """Put one message for each meeting, at the beginning."""
    for n in range(MESSAGES):
        simulation.put(make_request(f"booking-{n}", onlineMeetingId=f"{MEETING}-{n}"))


def test_after_an_outage_of_nearly_a_day_every_request_is_resolved(
    graph: GraphWithAnOutage,
) -> None:
    """Each within 15 minutes of the outage's end, and with a bounded number of calls before."""
    simulation = graph.simulation = Simulation(make_resolver(graph))
    graph.back_at = START + 23.7 * HOUR
    put_messages(simulation)

    simulation.run()

    assert simulation.final() == {f"booking-{n}": ["resolved"] for n in range(MESSAGES)}
    assert simulation.now <= graph.back_at + 15 * 60
    assert simulation.dead_letters() == simulation.poison == []
    assert max(graph.refused.values()) <= MOST_CALLS
    assert sum(graph.refused.values()) / MESSAGES <= MEAN_CALLS


def test_an_outage_longer_than_the_retry_hours_ends_in_outcomes_and_dead_letters(
    graph: GraphWithAnOutage,
) -> None:
    """Nothing is lost: a replay after the outage is resolved."""
    simulation = graph.simulation = Simulation(make_resolver(graph))
    graph.back_at = START + 48 * HOUR
    put_messages(simulation)

    simulation.run()

    assert simulation.final() == {f"booking-{n}": ["failed"] for n in range(MESSAGES)}
    letters = simulation.dead_letters()
    assert {letter["reason"] for letter in letters} == {"retry_time_spent"}
    assert len(letters) == MESSAGES
    assert START + 23.5 * HOUR < simulation.now < START + 24 * HOUR
    assert max(graph.refused.values()) <= MOST_CALLS

    simulation.now = graph.back_at
    for letter in letters:
        simulation.replay(letter)
    simulation.run()
    assert simulation.final() == {f"booking-{n}": ["failed", "resolved"] for n in range(MESSAGES)}


def test_requests_during_an_outage_are_resolved_after_it(graph: GraphWithAnOutage) -> None:
    """One message every 72 minutes of the day."""
    simulation = graph.simulation = Simulation(make_resolver(graph))
    graph.back_at = START + 24 * HOUR
    for n in range(1, MESSAGES):
        simulation.put(
            make_request(f"booking-{n}", onlineMeetingId=f"{MEETING}-{n}"),
            delay=n * 24 * HOUR / MESSAGES,
        )

    simulation.run()

    assert simulation.final() == {f"booking-{n}": ["resolved"] for n in range(1, MESSAGES)}


@pytest.mark.parametrize(
    ("error", "most"),
    [
        (errors.PermissionMissing("No."), 97),
        (errors.GraphThrottled("No.", retry_after=600), 144),
        (errors.GraphThrottled("No.", retry_after=0), MOST_CALLS),
        (errors.IdentityUnavailable("No."), MOST_CALLS),
        (errors.MeetingNotFound("No."), 4),
    ],
)
def test_tries_in_a_day_are_bounded_whatever_goes_wrong(error: ServiceError, most: int) -> None:
    """For a request that never succeeds."""
    resolver = ResolverOfOneMind(error)
    simulation = Simulation(resolver)
    simulation.put(make_request())

    simulation.run()

    assert simulation.final() == {"booking-1": ["failed"]}
    assert len(resolver.requests) <= most


def test_a_waiting_message_delays_no_other(graph: GraphWithAnOutage) -> None:
    """Even if it has to wait until the next day."""
    graph.failures = [answer(429, headers={"Retry-After": "72000"})]
    simulation = graph.simulation = Simulation(make_resolver(graph))
    put_messages(simulation)

    simulation.run()

    ids = [written.json["id"] for written in simulation.queues.on(RESULTS)]
    assert ids == [*(f"booking-{n}" for n in range(1, MESSAGES)), "booking-0"]
    assert START + 20 * HOUR <= simulation.now <= START + 22 * HOUR
