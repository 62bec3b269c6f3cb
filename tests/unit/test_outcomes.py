"""One try at a request: it always ends in an outcome."""

import json

import pytest

from shared.core import strict_json
from shared.core.deadline import Deadline, RequestStats
from shared.core.errors import GraphThrottled, InternalError, InvalidRequest
from shared.meetings.models import Correlation, Outcome
from tests.unit.fake_graph import LINK, FakeGraph, RaisingResolver, make_resolver

USER = "30000000-0000-4000-8000-000000000003"
REQUEST = {"userId": USER, "onlineMeetingId": "M1", "requestId": "r-1", "context": {"a": 1}}


def outcome_of(request: object, failure: Exception | None = None) -> Outcome:
    """Try a request against a Graph with one meeting, or in vain."""
    with FakeGraph(links={"M1": LINK}) as graph:
        document = strict_json.read(json.dumps(request).encode())
        resolver = make_resolver(graph) if failure is None else RaisingResolver(failure)
        return resolver.attempt(
            document,
            Correlation.of(document, default_request_id="made"),
            deadline=Deadline(seconds=10),
            stats=RequestStats(),
        )


def test_a_success_holds_the_result() -> None:
    """And no error."""
    outcome = outcome_of(REQUEST)
    assert outcome.error is None
    assert outcome.request_id == "r-1"
    assert outcome.members["virtualAppointmentJoinWebUrl"] == LINK
    assert outcome.context == {"a": 1}


def test_a_failure_holds_the_problem_and_what_lets_the_caller_know_it_again() -> None:
    """The request's id and its context."""
    error = GraphThrottled("Busy.")
    outcome = outcome_of(REQUEST, error)
    assert outcome.error is error
    assert outcome.members["code"] == "graph_throttled"
    assert outcome.members["requestId"] == outcome.request_id == "r-1"
    assert outcome.context == {"a": 1}


def test_a_invalid_request_is_a_failure_like_any_other() -> None:
    """With the id that it has, where that is valid."""
    outcome = outcome_of({"requestId": "r-2", "context": [1]})
    assert isinstance(outcome.error, InvalidRequest)
    assert (outcome.request_id, outcome.context) == ("r-2", [1])
    assert outcome_of([]).request_id == "made"


def test_what_nobody_foresaw_is_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    """The log says where it arose; neither log nor answer quotes it."""
    outcome = outcome_of(REQUEST, KeyError("canary"))
    assert isinstance(outcome.error, InternalError)
    assert "KeyError at " in caplog.text
    assert "canary" not in caplog.text
    assert "canary" not in json.dumps(outcome.members)


def test_an_outcome_does_not_show_its_link() -> None:
    """Nor the caller's context."""
    shown = repr(outcome_of(REQUEST))
    assert LINK not in shown
    assert "'a'" not in shown


def test_an_error_that_is_known_before_any_try_is_an_outcome_too() -> None:
    """Of a body that is no JSON, say."""
    outcome = Outcome.of(Correlation(request_id="r-3"), InvalidRequest("No."))
    assert outcome.members["requestId"] == "r-3"
    assert outcome.context is None
