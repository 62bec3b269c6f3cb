"""$batch: writing the envelope for Graph, and reading Graph's response."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.http_client import Response
from shared.graph import batch
from shared.graph.batch import BatchRefused, NotABatch

LINK = {"value": "https://visit.teams.microsoft.com/webrtc-svc/api/route?tid=canary"}


def envelope(*responses: object, status: int = 200, **headers: str) -> Response:
    """Make Graph's answer to a batch."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Response(status, named, json.dumps({"responses": responses}).encode())


def response(number: object = "1", **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Make one response within it."""
    return {"id": number, "status": 200, "headers": {}, "body": LINK, **changes}


def test_each_call_is_written_with_an_id_of_its_own() -> None:
    """The path is relative to the version, and each item has its own headers."""
    items = [
        ("/users/a%2Fb", {"Accept-Language": "de", "client-request-id": "c-1"}),
        ("/users/c", {}),
    ]

    assert json.loads(batch.write(items)) == {
        "requests": [
            {
                "id": "1",
                "method": "GET",
                "url": "/users/a%2Fb",
                "headers": {"Accept-Language": "de", "client-request-id": "c-1"},
            },
            {"id": "2", "method": "GET", "url": "/users/c", "headers": {}},
        ]
    }


def test_responses_in_any_order_find_their_calls() -> None:
    """Graph may give them in another order."""
    answers = batch.read(
        envelope(response("3", status=404), response("1"), response("2", status=429)), count=3
    )

    assert [answer.status for answer in answers if isinstance(answer, Response)] == [200, 429, 404]


def test_an_item_becomes_the_response_that_a_single_call_would_get() -> None:
    """With status, body, and headers by name in any case."""
    (answer,) = batch.read(
        envelope(response(status=429, headers={"rEtRy-aFtEr": "2.5"}, body={"error": {}})), count=1
    )

    assert isinstance(answer, Response)
    assert answer.status == 429
    assert answer.headers.get("Retry-After") == "2.5"
    assert json.loads(answer.body) == {"error": {}}


@pytest.mark.parametrize(("number", "text"), [(35, "35"), (2.5, "2.5")])
def test_a_retry_after_that_is_a_number_counts(number: float, text: str) -> None:
    """Graph writes it as a JSON number."""
    (answer,) = batch.read(
        envelope(response(status=429, headers={"Retry-After": number}, body=None)), count=1
    )

    assert isinstance(answer, Response)
    assert answer.headers.get("Retry-After") == text


def test_an_item_without_a_request_id_has_the_envelopes() -> None:
    """Microsoft's support needs an id to find the call."""
    own, whole = batch.read(
        envelope(response("1", headers={"request-id": "own"}), response("2"), request_id="whole"),
        count=2,
    )

    assert isinstance(own, Response)
    assert isinstance(whole, Response)
    assert (own.headers.get("request-id"), whole.headers.get("request-id")) == ("own", "whole")


@pytest.mark.parametrize("status", [401, 408, 425, 429, 500, 503, 504])
def test_a_refusal_of_the_whole_envelope_becomes_the_response_of_each_call(status: int) -> None:
    """A 401, 429 or 5xx for the envelope is handled as for a single call."""
    answer = Response(status, {"Retry-After": "7"}, b"")

    assert batch.read(answer, count=3) == [answer] * 3


@pytest.mark.parametrize("status", [400, 403, 404, 413])
def test_a_refused_envelope_says_nothing_about_a_meeting(status: int) -> None:
    """A 404 for the batch does not mean that a meeting was not found."""
    (outcome,) = batch.read(Response(status, {}, b""), count=1)

    assert isinstance(outcome, BatchRefused)


UNSOUND: dict[str, Response] = {
    "an empty body": Response(200, {}, b""),
    "not JSON": Response(200, {}, b"<p>"),
    "deep nesting": Response(200, {}, b"[" * 100_000),
    "another success": envelope(response(), status=202),
    "a redirect": envelope(response(), status=302),
    "a list": Response(200, {}, b"[]"),
    "no responses": Response(200, {}, b"{}"),
    "responses of another kind": Response(200, {}, b'{"responses": 7}'),
    "no response to it": envelope(),
    "a response to another": envelope(response("2")),
    "an id that is a number": envelope(response(1)),
    "two responses to it": envelope(response(), response(status=404)),
    "a response that is none": envelope(7),
    "no status": envelope({"id": "1", "body": LINK}),
    "a status that is a text": envelope(response(status="200")),
    "a status that is a truth": envelope(response(status=True)),
    "a status that is none": envelope(response(status=100)),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_a_malformed_envelope_gives_no_call_a_response(name: str) -> None:
    """A wrong response could be another meeting's."""
    (outcome,) = batch.read(UNSOUND[name], count=1)

    assert isinstance(outcome, NotABatch)


def test_one_invalid_response_leaves_the_others() -> None:
    """Only its own call is without a response."""
    first, second = batch.read(envelope(response("1", status=None), response("2")), count=2)

    assert isinstance(first, NotABatch)
    assert isinstance(second, Response)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "id": st.sampled_from(["1", "2"]) | JSON_VALUES,
                "status": st.integers(0, 700) | JSON_VALUES,
                "headers": JSON_VALUES,
                "body": JSON_VALUES,
            },
        )
        | JSON_VALUES,
        max_size=4,
    )
)
def test_each_call_has_one_outcome_whatever_graph_sends(responses: list[object]) -> None:
    """Nothing is raised."""
    outcomes = batch.read(envelope(*responses), count=2)

    assert len(outcomes) == 2
