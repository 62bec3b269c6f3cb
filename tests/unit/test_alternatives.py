"""Requests with several references or organizers: what is tried, and in which order."""

from collections.abc import Iterator
from typing import Any

import pytest

from shared.core.deadline import Deadline, RequestStats
from shared.core.strict_json import Document
from shared.meetings.models import Alternatives, Correlation, Outcome
from shared.meetings.resolver import Cache, Resolver
from tests.unit.fake_graph import LINK, FakeGraph
from tests.unit.scripted_server import answer

FIRST, SECOND, THIRD = (
    f"{number}0000000-0000-4000-8000-00000000000{number}" for number in (1, 2, 3)
)
SHORT = "https://teams.microsoft.com/meet/2345678901234?p=AbC"
OTHER = "https://teams.microsoft.com/meet/9876543210987?p=XyZ"
EVENT_ID = "AAMkADAwATM0MDAAMS0="
GONE = answer(
    404, b'{"error":{"code":"NotFound","message":"3004: Specified meeting is not found"}}'
)
MALFORMED = answer(400, b'{"error":{"code":"BadRequest","message":"Meeting Id is corrupted."}}')
REFUSED = answer(400, b'{"error":{"code":"BadRequest","message":"1026: An error has occurred."}}')
NO_ACCESS = answer(403, b'{"error":{"code":"Forbidden","message":"3003: No access"}}')
NO_POLICY = answer(403, b'{"error":{"code":"Forbidden","message":"No application access policy"}}')
BUSY = answer(429, headers={"Retry-After": "60"})
DOWN = answer(503)


@pytest.fixture
def graph() -> Iterator[FakeGraph]:
    """A Graph with one meeting, found by its short link, and three people."""
    with FakeGraph(
        users={
            f"{name}@c.example": id_
            for name, id_ in zip("abc", (FIRST, SECOND, THIRD), strict=True)
        },
        meetings={SHORT: "M1"},
        links={"M1": LINK},
    ) as graph:
        yield graph


def attempt(
    graph: FakeGraph,
    members: dict[str, Any],
    alternatives: Alternatives,
    stats: RequestStats | None = None,
) -> Outcome:
    """Try a request once."""
    return Resolver(graph=graph.client(), cache=Cache()).attempt(
        Document({"userId": FIRST, **members}),
        Correlation(request_id="r"),
        deadline=Deadline(seconds=10),
        stats=stats or RequestStats(),
        max_tries=1,
        alternatives=alternatives,
    )


def code(outcome: Outcome) -> str | None:
    """Say how an outcome failed."""
    return outcome.error.code if outcome.error else None


def test_after_an_event_id_the_link_is_tried_and_graph_is_not_asked_for_the_id(
    graph: FakeGraph,
) -> None:
    """Cal.com with Outlook sends event ids. The event in the log notes the alternative."""
    stats = RequestStats()
    outcome = attempt(graph, {"onlineMeetingId": EVENT_ID}, [{"joinWebUrl": SHORT}], stats)
    assert outcome.members["virtualAppointmentJoinWebUrl"] == LINK
    assert graph.calls == [("by url", FIRST, SHORT), ("link", FIRST, "M1")]
    assert stats.notes == ["alternative_used"]


@pytest.mark.parametrize("failure", [GONE, MALFORMED, REFUSED, NO_ACCESS, NO_POLICY])
def test_after_an_id_that_graph_refuses_the_link_is_tried(graph: FakeGraph, failure: bytes) -> None:
    """For each error by which Graph may refuse an id."""
    graph.failures = [failure]
    assert code(attempt(graph, {"onlineMeetingId": "MSo1"}, [{"joinWebUrl": SHORT}])) is None
    assert [call[0] for call in graph.calls] == ["link", "by url", "link"]


@pytest.mark.parametrize(
    ("failure", "expected"), [(BUSY, "graph_throttled"), (DOWN, "graph_unavailable")]
)
def test_after_a_temporary_error_no_alternative_is_tried(
    graph: FakeGraph, failure: bytes, expected: str
) -> None:
    """The same request is tried again later."""
    graph.failures = [failure]
    assert code(attempt(graph, {"onlineMeetingId": "MSo1"}, [{"joinWebUrl": SHORT}])) == expected
    assert len(graph.calls) == 1


def test_each_organizer_is_tried_with_each_reference(graph: FakeGraph) -> None:
    """First the first organizer with each reference, then the next one.

    A malformed id is tried once.
    """
    graph.meetings.clear()
    graph.failures = [MALFORMED]
    alternatives = [{"joinWebUrl": SHORT}, {"userId": SECOND}, {"userId": THIRD}]

    outcome = attempt(graph, {"onlineMeetingId": "MSo1"}, alternatives)

    assert code(outcome) == "meeting_not_found"
    assert [call[:2] for call in graph.calls if call[0] != "by number"] == [
        ("link", FIRST),
        ("by url", FIRST),
        ("by url", SECOND),
        ("by url", THIRD),
    ]


def test_the_next_organizer_is_tried_in_the_same_try(graph: FakeGraph) -> None:
    """If the first is not a user, or does not organize the meeting."""
    graph.organizers = {"M1": THIRD}
    alternatives = [{"userId": "b@c.example"}, {"userId": "c@c.example"}]
    outcome = attempt(graph, {"userId": "stranger@else.example", "joinWebUrl": SHORT}, alternatives)
    assert outcome.members["userId"] == THIRD


def test_an_unknown_organizer_is_looked_up_once(graph: FakeGraph) -> None:
    """For any number of references."""
    outcome = attempt(
        graph,
        {"userId": "x@c.example", "joinWebUrl": OTHER},
        [{"joinWebUrl": SHORT}, {"userId": FIRST}],
    )
    assert code(outcome) is None
    assert [call for call in graph.calls if call[0] == "user"] == [("user", "x@c.example")]


def test_after_an_ambiguous_address_the_next_organizer_is_tried(graph: FakeGraph) -> None:
    """The address is looked up once, for any number of references."""
    graph.mailboxes = {"team@c.example": [SECOND, THIRD]}
    alternatives = [{"joinWebUrl": OTHER}, {"userId": FIRST}]

    outcome = attempt(graph, {"userId": "team@c.example", "joinWebUrl": SHORT}, alternatives)

    assert outcome.members["virtualAppointmentJoinWebUrl"] == LINK
    assert [call[0] for call in graph.calls] == ["user", "mail", "by url", "link"]


def test_the_same_meeting_named_twice_is_looked_up_once(graph: FakeGraph) -> None:
    """For the same organizer."""
    graph.meetings.clear()
    attempt(graph, {"joinWebUrl": SHORT}, [{"joinWebUrl": SHORT}, {"userId": FIRST}])
    assert [call[0] for call in graph.calls].count("by url") == 1


def test_a_request_has_six_lookups_at_most(graph: FakeGraph) -> None:
    """The event says that no lookup was left."""
    graph.meetings.clear()
    alternatives: Alternatives = [
        {"joinWebUrl": OTHER},
        *({"userId": f"{name}@c.example"} for name in "abc"),
    ]
    stats = RequestStats()

    outcome = attempt(graph, {"joinWebUrl": SHORT}, alternatives, stats)

    assert code(outcome) == "meeting_not_found"
    assert stats.graph_calls == 6
    assert stats.notes == ["lookups_spent"]


def test_after_six_lookups_the_link_may_still_be_asked_for(graph: FakeGraph) -> None:
    """The last lookup may find the meeting."""
    graph.organizers = {"M1": THIRD}
    alternatives = [{"userId": "b@c.example"}, {"userId": "c@c.example"}]
    stats = RequestStats()
    outcome = attempt(graph, {"userId": "a@c.example", "joinWebUrl": SHORT}, alternatives, stats)
    assert code(outcome) is None
    assert stats.graph_calls == 7


def test_after_six_lookups_an_organizer_with_both_ids_is_still_tried(graph: FakeGraph) -> None:
    """It needs no lookup."""
    strangers = [f"{name}@else.example" for name in "xyz"]
    organizers = [*strangers[1:], "v@else.example", FIRST]
    stats = RequestStats()

    outcome = attempt(
        graph,
        {"userId": strangers[0], "onlineMeetingId": "M1"},
        [{"userId": organizer} for organizer in organizers],
        stats,
    )

    assert outcome.members["virtualAppointmentJoinWebUrl"] == LINK
    assert stats.graph_calls == 7
    assert stats.notes == ["lookups_spent", "alternative_used"]


def test_ids_that_graph_does_not_find_count_as_lookups(graph: FakeGraph) -> None:
    """Otherwise a long list of them would cost one call each."""
    graph.links.clear()
    stats = RequestStats()
    alternatives = [{"onlineMeetingId": f"MSo{number}"} for number in range(2, 12)]
    attempt(graph, {"onlineMeetingId": "MSo1"}, alternatives, stats)
    assert stats.graph_calls == 6


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ([GONE, NO_POLICY], "access_policy_missing"),
        ([NO_ACCESS, NO_POLICY], "meeting_not_accessible"),
        ([MALFORMED, GONE], "meeting_not_found"),
        ([REFUSED, MALFORMED], "graph_refused"),
        ([GONE, BUSY], "graph_throttled"),
    ],
)
def test_of_several_errors_the_most_useful_is_reported(
    graph: FakeGraph, failures: list[bytes], expected: str
) -> None:
    """First what an operator can fix, then what may succeed later, then what is final."""
    graph.failures = list(failures)
    outcome = attempt(graph, {"onlineMeetingId": "MSo1"}, [{"onlineMeetingId": "MSo2"}])
    assert code(outcome) == expected


def test_a_meeting_that_is_not_found_is_reported_before_an_unknown_host(graph: FakeGraph) -> None:
    """Bookings often name hosts from other organizations."""
    outcome = attempt(graph, {"userId": "x@c.example", "joinWebUrl": OTHER}, [{"userId": FIRST}])
    assert code(outcome) == "meeting_not_found"


@pytest.mark.parametrize(
    "alternative", [{"joinWebUrl": "https://zoom.us/j/1"}, {"userId": "nobody"}, {"x": 1}]
)
def test_an_alternative_that_is_not_valid_is_left_out(
    graph: FakeGraph, alternative: dict[str, Any]
) -> None:
    """The others are tried."""
    graph.meetings = {OTHER: "M1"}
    assert code(attempt(graph, {"joinWebUrl": SHORT}, [alternative, {"joinWebUrl": OTHER}])) is None
