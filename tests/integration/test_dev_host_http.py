"""The local host hands requests to functions as Microsoft's host does."""

import http.client
from collections.abc import Iterator

import pytest
import requests

from dev.host.host import Host
from tests.integration.sample_host import HOST_KEY, MASTER_KEY, OWN_KEY, exchange, make_host


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """One host for all tests that only send requests."""
    with make_host() as running:
        yield running


@pytest.fixture
def connection(host: Host) -> Iterator[http.client.HTTPConnection]:
    """Open a plain connection, for requests that an HTTP client would not send."""
    opened = http.client.HTTPConnection("127.0.0.1", int(host.url.rsplit(":", 1)[1]), timeout=10)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/api/items/7", {"item": "7"}),
        ("/api/items/-7", {"item": "-7"}),
        ("/api/items/seven", {"word": "seven"}),
        ("/api/items/special", {"special": True}),
        ("/API/Items/Special/", {"special": True}),
        ("/api/files/a/b%20c/d", {"path": "a/b c/d"}),
        ("/api/files/a%2Fb", {"path": "a%2Fb"}),
        ("/api/files", {"path": ""}),
    ],
)
def test_a_route_leads_to_its_function(host: Host, path: str, answer: object) -> None:
    """Literals come before constraints. Case and a last slash do not matter."""
    response = requests.get(host.url + path, timeout=10)

    assert response.json() == answer


def test_an_optional_parameter_may_be_left_out(host: Host) -> None:
    """`echo/{name?}` matches both, and there is no empty parameter."""
    without = requests.get(f"{host.url}/api/echo", timeout=10).json()
    given = requests.get(f"{host.url}/api/echo/some%20one", timeout=10).json()

    assert without["route"] == {}
    assert given["route"] == {"name": "some one"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/items/7.5"),
        ("GET", "/api/unknown"),
        ("GET", "/items/7"),
        ("GET", "/"),
        ("POST", "/api/items/7"),
        ("BREW", "/api/items/7"),
        ("GET", "/api/echo/a/b"),
    ],
)
def test_a_request_without_a_function_is_404(host: Host, method: str, path: str) -> None:
    """An unknown route and an unknown method are the same 404, without a body."""
    response = requests.request(method, host.url + path, timeout=10)

    assert (response.status_code, response.content) == (404, b"")


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("locked", None, 401),
        ("locked", "wrong", 401),
        ("locked", "ключ", 401),
        ("locked", HOST_KEY, 200),
        ("locked", OWN_KEY, 200),
        ("locked", MASTER_KEY, 200),
        ("admin-only", HOST_KEY, 401),
        ("admin-only", OWN_KEY, 401),
        ("admin-only", MASTER_KEY, 200),
    ],
)
def test_a_key_works_at_its_level(host: Host, path: str, key: str | None, status: int) -> None:
    """In the header or the query parameter. A refusal has no body."""
    headers = {"x-functions-key": key.encode()} if key else {}

    by_header = requests.get(f"{host.url}/api/{path}", headers=headers, timeout=10)
    by_query = requests.get(f"{host.url}/api/{path}", params={"Code": key}, timeout=10)

    assert (by_header.status_code, by_query.status_code) == (status, status)
    assert by_header.content == (b"open" if status == 200 else b"")


def test_the_header_has_precedence_over_the_query(host: Host) -> None:
    """A right parameter does not replace a wrong header."""
    response = requests.get(
        f"{host.url}/api/locked?code={HOST_KEY}", headers={"x-functions-key": "wrong"}, timeout=10
    )

    assert response.status_code == 401


def test_any_bytes_reach_the_function_unchanged(host: Host) -> None:
    """A body is bytes, with any content type."""
    body = bytes(range(256)) * 300

    response = requests.post(
        f"{host.url}/api/echo",
        data=body,
        headers={"content-type": "application/json; charset=utf-16"},
        timeout=10,
    )

    assert response.json()["body"] == body.hex()


def test_a_chunked_body_arrives_empty(connection: http.client.HTTPConnection) -> None:
    """Without Content-Length the function gets no body, and the connection can be reused."""
    connection.request("POST", "/api/echo", body=iter([b"one", b"two"]), encode_chunked=True)
    first = connection.getresponse().read()
    connection.request("POST", "/api/echo", body=b"three")
    second = connection.getresponse().read()

    assert b'"body": ""' in first
    assert b'"body": "%s"' % b"three".hex().encode() in second


def test_headers_reach_the_function_as_in_azure(
    connection: http.client.HTTPConnection,
) -> None:
    """Names in lower case, repeated ones joined, values as UTF-8, underscores kept."""
    connection.putrequest("GET", "/api/echo")
    for name, value in [
        ("X-Mixed-Case", b"1"),
        ("x-mixed-case", b"2"),
        ("X_Under", b"3"),
        ("X-Name", "Łódź Å".encode()),
        ("X-Empty", b""),
    ]:
        connection.putheader(name, value)
    connection.endheaders()

    text = connection.getresponse().read().decode()

    assert '"x-mixed-case": "1,2"' in text
    assert '"x_under": "3"' in text
    assert '"x-name": "\\u0141\\u00f3d\\u017a \\u00c5"' in text
    assert '"x-empty": ""' in text


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /api/echo HTTP/1.1\r\nX-Name: \xff\xfe\r\n\r\n",
        b"GET /api/echo HTTP/1.1\r\nno colon here\r\n\r\n",
        b"POST /api/echo HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST /api/echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /api/echo HTTP/9.9.9\r\n\r\n",
    ],
)
def test_a_malformed_request_is_400(host: Host, request_head: bytes) -> None:
    """The answer has no body, and the connection is closed."""
    answer = exchange(host, request_head)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"\r\n\r\n")


def test_a_body_over_100_mib_is_413(host: Host) -> None:
    """It is refused for its length, before it is read."""
    head = f"POST /api/echo HTTP/1.1\r\nContent-Length: {100 * 1024 * 1024 + 1}\r\n\r\n"

    answer = exchange(host, head.encode())

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_query_parameters_reach_the_function(host: Host) -> None:
    """Repeated ones are joined and empty ones left out. The URL is complete."""
    answer = requests.get(f"{host.url}/api/echo?a=1&b=%C3%A9+x&a=2&c=", timeout=10).json()

    assert answer["query"] == {"a": "1,2", "b": "é x"}
    assert answer["url"] == f"{host.url}/api/echo?a=1&b=%C3%A9+x&a=2&c="


def test_the_callers_trace_is_continued(host: Host) -> None:
    """The function's trace context is the host's span in the caller's trace."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    sent = f"00-{trace}-b7ad6b7169203331-01"

    answer = requests.get(f"{host.url}/api/echo", headers={"traceparent": sent}, timeout=10).json()

    version, same_trace, span, flags = answer["traceparent"].split("-")
    assert (version, same_trace, flags) == ("00", trace, "01")
    assert span != "b7ad6b7169203331"
    assert answer["headers"]["traceparent"] == sent


@pytest.mark.parametrize("sent", [None, "", "garbage", "00-xyz-abc-01"])
def test_a_request_without_a_trace_gets_a_new_one(host: Host, sent: str | None) -> None:
    """Also a request with an invalid one."""
    headers = {} if sent is None else {"traceparent": sent}

    one, two = (
        requests.get(f"{host.url}/api/echo", headers=headers, timeout=10).json()["traceparent"]
        for _ in range(2)
    )

    assert len(one) == len(two) == 55
    assert one.split("-")[1] != two.split("-")[1]


def test_settings_override_host_json_and_switch_functions_off() -> None:
    """`AzureFunctionsJobHost__…` and `AzureWebJobs.<name>.Disabled` work as in Azure."""
    settings = {
        "AzureFunctionsJobHost__extensions__http__routePrefix": "v1/x",
        "AzureWebJobs.item.Disabled": "true",
    }
    with make_host(settings) as other:
        statuses = [
            requests.get(other.url + path, timeout=10).status_code
            for path in ("/v1/x/items/special", "/api/items/special", "/v1/x/items/7")
        ]

    assert statuses == [200, 404, 404]
