"""One try of a request, which always ends in an outcome."""

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


def test_a_failure_holds_the_problem_the_request_id_and_the_context() -> None:
    """By which the caller recognizes it."""
    error = GraphThrottled("Busy.")
    outcome = outcome_of(REQUEST, error)
    assert outcome.error is error
    assert outcome.members["code"] == "graph_throttled"
    assert outcome.members["requestId"] == outcome.request_id == "r-1"
    assert outcome.context == {"a": 1}


def test_an_invalid_request_is_a_failure_with_its_own_id() -> None:
    """If that id is valid."""
    outcome = outcome_of({"requestId": "r-2", "context": [1]})
    assert isinstance(outcome.error, InvalidRequest)
    assert (outcome.request_id, outcome.context) == ("r-2", [1])
    assert outcome_of([]).request_id == "made"


def test_an_unforeseen_exception_is_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    """The log says where it arose. Neither log nor response quotes it."""
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


def test_an_error_before_the_first_try_is_an_outcome() -> None:
    """For example of a body that is not JSON."""
    outcome = Outcome.of(Correlation(request_id="r-3"), InvalidRequest("No."))
    assert outcome.members["requestId"] == "r-3"
    assert outcome.context is None
