"""The Graph stand-in's $batch: each known behaviour, over a plain connection."""

import http.client
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from dev.stand_ins.authority import Authority
from dev.stand_ins.graph import Graph
from dev.stand_ins.graph_batch import throttle_items
from dev.stand_ins.graph_data import User
from dev.stand_ins.identity_endpoint import GRAPH_ROLES


@pytest.fixture
def graph(authority: Authority) -> Iterator[Graph]:
    """A separate Graph for each test."""
    with Graph(authority) as graph:
        yield graph


@pytest.fixture
def anna(graph: Graph) -> User:
    """A user to ask for."""
    return graph.data.add_user("anna@clinic.example")


def send(
    graph: Graph, items: object, *, authorized: bool = True, version: str = "v1.0"
) -> tuple[int, Any]:
    """Send a batch and give status and body."""
    token = graph._authority.issue(
        audience="https://graph.microsoft.com",
        client_id="20000000-0000-4000-8000-000000000002",
        object_id=str(uuid.uuid4()),
        roles=GRAPH_ROLES,
    )
    headers = {"Authorization": f"Bearer {token}"} if authorized else {}
    connection = http.client.HTTPConnection("127.0.0.1", graph.port, timeout=10)
    body = json.dumps({"requests": items})
    connection.request("POST", f"/{version}/$batch", body, headers)
    answer = connection.getresponse()
    status, value = answer.status, json.loads(answer.read())
    connection.close()
    return status, value


def ask(name: str, number: str = "1", **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Make an item that asks for a user's id."""
    return {"id": number, "method": "GET", "url": f"/users/{name}?$select=id", **changes}


def by_id(body: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Give the responses by their ids."""
    return {response["id"]: response for response in body["responses"]}


def test_each_item_has_an_answer_in_an_envelope_with_200(graph: Graph, anna: User) -> None:
    """Status, headers and a body that is JSON."""
    status, body = send(graph, [ask(anna.object_id, "1"), ask("nobody@clinic.example", "2")])

    found, missing = by_id(body)["1"], by_id(body)["2"]
    assert status == 200
    assert (found["status"], found["body"]["id"]) == (200, anna.object_id)
    assert (missing["status"], missing["body"]["error"]["code"]) == (
        404,
        "Request_ResourceNotFound",
    )
    assert "request-id" in {name.lower() for name in found["headers"]}


def test_answers_come_in_another_order(graph: Graph, anna: User) -> None:
    """A caller that relies on the order fails."""
    ids = [str(number) for number in range(1, 21)]

    _, body = send(graph, [ask(anna.object_id, number) for number in ids])

    answered = [response["id"] for response in body["responses"]]
    assert sorted(answered) == sorted(ids)
    assert answered != ids


def test_an_items_headers_are_its_own(graph: Graph, anna: User) -> None:
    """The language and the client's id are the item's. The token is the envelope's."""
    meeting = graph.data.add_meeting(anna)
    item = {
        "id": "1",
        "method": "GET",
        "url": f"/users/{anna.object_id}/onlineMeetings/{meeting.id}"
        "/getVirtualAppointmentJoinWebUrl",
        "headers": {"Accept-Language": "de", "client-request-id": "c-1"},
    }

    _, body = send(graph, [item])

    response = by_id(body)["1"]
    assert response["body"]["value"] == graph.join_link(meeting, language="de")
    assert response["headers"]["client-request-id"] == "c-1"


def test_an_item_that_depends_on_a_failed_one_is_424(graph: Graph, anna: User) -> None:
    """An item that depends on a successful one is answered."""
    items = [
        ask("nobody@clinic.example", "a"),
        ask(anna.object_id, "b", dependsOn=["a"]),
        ask(anna.object_id, "c"),
        ask(anna.object_id, "d", dependsOn=["c"]),
    ]

    _, body = send(graph, items)

    statuses = {name: response["status"] for name, response in by_id(body).items()}
    assert statuses == {"a": 404, "b": 424, "c": 200, "d": 200}


def test_single_items_can_be_throttled(graph: Graph, anna: User) -> None:
    """The envelope is still 200, and Retry-After is in the item."""
    graph.order(throttle_items(lambda path: "other" in path, retry_after="7"))

    status, body = send(graph, [ask(anna.object_id, "1"), ask("other@clinic.example", "2")])

    assert status == 200
    assert by_id(body)["1"]["status"] == 200
    assert by_id(body)["2"]["status"] == 429
    assert by_id(body)["2"]["headers"] == {"Retry-After": "7"}


UNSOUND: dict[str, object] = {
    "21 items": [ask("x", str(number)) for number in range(21)],
    "ids that differ in case only": [ask("x", "a"), ask("x", "A")],
    "no id": [{"method": "GET", "url": "/users/x"}],
    "an absolute address": [ask("x", url="https://graph.microsoft.com/v1.0/users/x")],
    "an unknown dependency": [ask("x", dependsOn=["z"])],
    "no list": 7,
}


@pytest.mark.parametrize("name", UNSOUND)
def test_an_invalid_envelope_is_refused_as_a_whole(graph: Graph, name: str) -> None:
    """With 400. No item is answered."""
    status, body = send(graph, UNSOUND[name])

    assert (status, body["error"]["code"]) == (400, "BadRequest")


def test_the_envelope_needs_the_token(graph: Graph, anna: User) -> None:
    """Otherwise 401 for the whole batch."""
    status, _ = send(graph, [ask(anna.object_id)], authorized=False)

    assert status == 401


def test_both_versions_have_batches(graph: Graph, anna: User) -> None:
    """The items' URLs name no version."""
    status, body = send(graph, [ask(anna.object_id)], version="beta")

    assert (status, by_id(body)["1"]["status"]) == (200, 200)
