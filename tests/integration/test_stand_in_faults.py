"""The faults that each stand-in can be ordered to make, and that it always stops."""

import http.client
import json
import re
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal
from urllib.parse import quote

import pytest

from dev.stand_ins.authority import Authority
from dev.stand_ins.faults import (
    EMPTY_BODY,
    NOT_JSON,
    NOT_JSON_AS_JSON,
    Body,
    Close,
    CutBody,
    Delay,
    Drip,
    Hang,
    Huge,
    Random,
    Redirect,
    Reset,
    Status,
)
from dev.stand_ins.graph import Graph
from dev.stand_ins.graph_faults import (
    MISSING_VALUE,
    NULL_LINK,
    Link,
    WrongShape,
    throttle,
    unavailable,
)
from dev.stand_ins.stand_in import Fault


@pytest.fixture
def graph(authority: Authority) -> Iterator[Graph]:
    """A Graph that knows one meeting."""
    with Graph(authority) as graph:
        graph.data.add_meeting(graph.data.add_user("anna@clinic.example"))
        yield graph


@pytest.fixture
def connection(graph: Graph) -> Iterator[http.client.HTTPConnection]:
    """One connection to it, kept alive."""
    connection = http.client.HTTPConnection("127.0.0.1", graph.port, timeout=5)
    yield connection
    connection.close()


@pytest.fixture
def ask(
    graph: Graph, authority: Authority, connection: http.client.HTTPConnection
) -> Callable[[], http.client.HTTPResponse]:
    """Ask for the meeting's join link, and return the answer unread."""
    user = graph.data.user("anna@clinic.example")
    assert user is not None
    meeting = graph.data.add_meeting(user)
    path = (
        f"/v1.0/users/{user.object_id}/onlineMeetings/{quote(meeting.id, safe='')}"
        "/getVirtualAppointmentJoinWebUrl"
    )
    token = authority.issue(
        audience="https://graph.microsoft.com",
        client_id="app",
        object_id="identity",
        roles=["VirtualAppointment.Read.All"],
    )

    def send() -> http.client.HTTPResponse:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse()

    return send


type Ask = Callable[[], http.client.HTTPResponse]


def ask_status(port: int) -> int:
    """Ask without a token, over a new connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v1.0/me")
        return connection.getresponse().status
    finally:
        connection.close()


def wait_until_held(graph: Graph, number: int) -> None:
    """Wait until the stand-in holds this number of calls."""
    deadline = time.monotonic() + 5
    while graph.held < number:
        assert time.monotonic() < deadline
        time.sleep(0.005)


class TestOrders:
    """Which call gets which fault."""

    def test_are_used_in_order(self, graph: Graph, ask: Ask) -> None:
        """Each as often as ordered."""
        graph.order(Status(503), times=2)
        graph.order(Status(502))

        statuses = []
        for _ in range(4):
            answer = ask()
            answer.read()
            statuses.append(answer.status)

        assert statuses == [503, 503, 502, 200]

    def test_can_be_for_some_calls_only(self, graph: Graph, ask: Ask) -> None:
        """Other calls do not use the order up."""
        graph.order(Status(503), when=lambda call: call.path.endswith("JoinWebUrl"))

        assert ask_status(graph.port) == 401
        assert ask().status == 503

    def test_are_valid_until_cleared(self, graph: Graph, ask: Ask) -> None:
        """A single order comes before a standing one."""
        graph.always(Status(503))
        graph.order(Status(502))

        statuses = []
        for _ in range(3):
            answer = ask()
            answer.read()
            statuses.append(answer.status)
        graph.clear_orders()

        assert statuses == [502, 503, 503]
        assert ask().status == 200

    def test_are_used_once_by_parallel_calls(self, graph: Graph) -> None:
        """Ten orders, forty calls in parallel: ten faults."""
        graph.order(Status(503), times=10)

        with ThreadPoolExecutor(40) as threads:
            statuses = list(threads.map(ask_status, [graph.port] * 40))

        assert sorted(statuses) == [401] * 30 + [503] * 10


class TestFaults:
    """What a caller sees of each fault."""

    @pytest.mark.parametrize("retry_after", ["10", "2.128", "Wed, 21 Oct 2026 07:28:00 GMT", None])
    def test_throttle(self, graph: Graph, ask: Ask, retry_after: str | None) -> None:
        """Retry-After in each of its forms, and the documented body."""
        graph.order(throttle(retry_after))

        answer = ask()
        error = json.load(answer)["error"]

        assert (answer.status, answer.headers["Retry-After"]) == (429, retry_after)
        assert error["code"] == "TooManyRequests"
        assert error["message"] == "Please retry again later."
        assert error["innerError"]["code"] == "429"

    @pytest.mark.parametrize("status", [503, 504])
    def test_unavailable(self, graph: Graph, ask: Ask, status: int) -> None:
        """An outage, with Retry-After or without."""
        graph.order(unavailable(status, retry_after="3"))
        graph.order(unavailable(status))

        with_time, without = ask(), None
        with_time.read()
        without = ask()

        assert (with_time.status, with_time.headers["Retry-After"]) == (status, "3")
        assert (without.status, without.headers["Retry-After"]) == (status, None)

    def test_status(self, graph: Graph, ask: Ask) -> None:
        """Any error, in the service's format."""
        graph.order(Status(400, "BadRequest", "1026: An error has occurred."))

        answer = ask()
        body = json.load(answer)

        assert answer.status == 400
        assert body["error"]["message"] == "1026: An error has occurred."
        assert body["error"]["innerError"]["request-id"] == answer.headers["request-id"]

    def test_delay(self, graph: Graph, ask: Ask) -> None:
        """A late answer, which may be a success or a failure."""
        graph.order(Delay(0.05))
        graph.order(Delay(0.05, then=Status(503)))
        started = time.monotonic()

        first = ask()
        first.read()
        second = ask()

        assert (first.status, second.status) == (200, 503)
        assert time.monotonic() - started >= 0.1

    def test_hang(self, graph: Graph, ask: Ask) -> None:
        """No answer until it is released. The call is recorded at once."""
        graph.order(Hang())
        statuses: list[int] = []
        caller = threading.Thread(target=lambda: statuses.append(ask().status))
        caller.start()
        wait_until_held(graph, 1)

        assert [call.status for call in graph.calls] == [None]
        graph.release()
        caller.join(5)

        assert statuses == [200]
        assert [call.status for call in graph.calls] == [200]

    def test_reset(self, graph: Graph, ask: Ask) -> None:
        """The caller sees a reset, and the call has no status."""
        graph.order(Reset())

        with pytest.raises(ConnectionResetError) as caught:
            ask()

        assert not isinstance(caught.value, http.client.RemoteDisconnected)
        assert graph.calls[-1].status is None

    def test_close(self, graph: Graph, ask: Ask) -> None:
        """The connection ends without an answer."""
        graph.order(Close())

        with pytest.raises(http.client.RemoteDisconnected):
            ask()

    @pytest.mark.parametrize(
        ("reset", "error"), [(True, ConnectionResetError), (False, http.client.IncompleteRead)]
    )
    def test_cut_body(self, graph: Graph, ask: Ask, reset: bool, error: type[Exception]) -> None:
        """The body is shorter than its Content-Length."""
        graph.order(CutBody(reset=reset))

        answer = ask()

        assert answer.status == 200
        with pytest.raises(error):
            answer.read()

    @pytest.mark.parametrize(
        ("part", "start"), [("head", rb"H"), ("body", rb"HTTP/1.1 401 .*\r\n\r\n\{")]
    )
    def test_drip(self, graph: Graph, part: Literal["head", "body"], start: bytes) -> None:
        """One part comes byte by byte, the rest at once."""
        graph.order(Drip(60, part=part))

        with socket.create_connection(("127.0.0.1", graph.port), timeout=5) as connection:
            connection.sendall(b"GET /v1.0/me HTTP/1.1\r\n\r\n")
            wait_until_held(graph, 1)

            assert re.fullmatch(start, connection.recv(65536), re.DOTALL)

    @pytest.mark.parametrize("part", ["head", "body"])
    def test_drip_to_the_end(self, graph: Graph, ask: Ask, part: Literal["head", "body"]) -> None:
        """A patient caller gets the right answer."""
        graph.order(Drip(0.0001, part=part))

        assert json.load(ask())["value"].startswith("https://visit.teams.microsoft.com/")

    @pytest.mark.parametrize(
        ("fault", "body"),
        [
            (NOT_JSON, NOT_JSON.body),
            (NOT_JSON_AS_JSON, NOT_JSON_AS_JSON.body),
            (EMPTY_BODY, b""),
            (Body(b"\xff\xfe"), b"\xff\xfe"),
        ],
    )
    def test_other_bodies(self, graph: Graph, ask: Ask, fault: Fault, body: bytes) -> None:
        """200 with bytes that are no valid answer."""
        graph.order(fault)

        answer = ask()

        assert (answer.status, answer.read()) == (200, body)

    @pytest.mark.parametrize(
        ("fault", "body"),
        [
            (WrongShape([1, "two"]), [1, "two"]),
            (WrongShape({"value": {"value": "x"}}), {"value": {"value": "x"}}),
            (WrongShape(None), None),
        ],
    )
    def test_wrong_shape(self, graph: Graph, ask: Ask, fault: Fault, body: object) -> None:
        """JSON of another shape than the documented one."""
        graph.order(fault)

        answer = ask()

        assert (answer.status, json.load(answer)) == (200, body)

    @pytest.mark.parametrize(
        ("fault", "link"),
        [
            (Link("https://phish.example/"), "https://phish.example/"),
            (NULL_LINK, None),
            (MISSING_VALUE, "missing"),
        ],
    )
    def test_other_links(self, graph: Graph, ask: Ask, fault: Fault, link: str | None) -> None:
        """The documented shape with another link."""
        graph.order(fault)

        body = json.load(ask())

        assert body.get("value", "missing") == link
        assert body["@odata.context"].endswith("#Edm.String")

    @pytest.mark.parametrize("announced", [True, False])
    def test_huge(self, graph: Graph, ask: Ask, announced: bool) -> None:
        """More than a client should read, with a Content-Length or without."""
        graph.order(Huge(3_000_000, announced=announced))

        answer = ask()
        length = answer.headers["Content-Length"]
        body = answer.read()

        assert (length is not None) == announced
        assert len(json.loads(body)["value"]) == 3_000_000

    def test_redirect(self, graph: Graph, ask: Ask) -> None:
        """To a host that must not get the token."""
        graph.order(Redirect("https://elsewhere.example/"))

        answer = ask()

        assert (answer.status, answer.headers["Location"]) == (302, "https://elsewhere.example/")

    def test_random(self, graph: Graph, ask: Ask) -> None:
        """In the given share of calls, and the same for the same seed."""

        def run() -> list[int]:
            graph.clear_orders()
            graph.always(Random(rate=0.3, faults=[Status(503), throttle("0")], seed=7))
            statuses = []
            for _ in range(60):
                answer = ask()
                answer.read()
                statuses.append(answer.status)
            return statuses

        first, second = run(), run()

        assert first == second
        assert set(first) == {200, 429, 503}
        assert 8 <= sum(status != 200 for status in first) <= 28


class TestServing:
    """Connections, and how they end."""

    def test_keeps_connections_alive(
        self, graph: Graph, ask: Ask, connection: http.client.HTTPConnection
    ) -> None:
        """HTTP/1.1: many requests, one connection."""
        ask().read()
        before = connection.sock
        ask().read()

        assert connection.sock is before
        assert graph.count() == 2

    def test_closes_on_request(self, graph: Graph) -> None:
        """For `Connection: close`, which urllib sends."""
        graph.order(Body(b"{}"))

        with urllib.request.urlopen(f"{graph.url}/v1.0/me", timeout=5) as answer:  # noqa: S310 - http
            assert answer.read() == b"{}"

    def test_serves_a_hundred_callers_at_once(self, graph: Graph) -> None:
        """None is refused, and none waits for another."""
        graph.order(Hang(), times=100)

        with ThreadPoolExecutor(100) as threads:
            answers = [threads.submit(ask_status, graph.port) for _ in range(100)]
            wait_until_held(graph, 100)
            graph.release()

        assert {answer.result() for answer in answers} == {401}

    @pytest.mark.parametrize(
        "garbage",
        [
            b"\x16\x03\x01\x00\xa5\x01\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            b"PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ],
    )
    def test_answers_400_to_an_invalid_request(
        self, graph: Graph, connection: http.client.HTTPConnection, garbage: bytes
    ) -> None:
        """The stand-in goes on."""
        connection.connect()
        assert connection.sock is not None
        connection.sock.sendall(garbage)

        assert connection.sock.recv(12) == b"HTTP/1.1 400"
        assert ask_status(graph.port) == 401

    def test_stops_at_once_in_each_state(self, authority: Authority) -> None:
        """Idle, held, delayed and dripping connections end, and no thread is left."""
        before = set(threading.enumerate())
        stand_in = Graph(authority)
        with stand_in, ThreadPoolExecutor(4) as threads:
            idle = http.client.HTTPConnection("127.0.0.1", stand_in.port, timeout=5)
            idle.connect()
            for fault in (Hang(), Delay(60), Drip(60)):
                stand_in.order(fault)
            callers = [threads.submit(ask_status, stand_in.port) for _ in range(3)]
            wait_until_held(stand_in, 3)
            started = time.monotonic()
            stand_in.stop()
            took = time.monotonic() - started
            for caller in callers:
                caller.exception(timeout=5)
        idle.close()

        assert took < 1
        assert set(threading.enumerate()) <= before

    def test_has_no_port_before_it_starts(self, authority: Authority) -> None:
        """An error instead of a wrong port."""
        with pytest.raises(RuntimeError, match="not been started"):
            _ = Graph(authority).url
