"""The local host answers with what functions return, as Microsoft's host does."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from dev.host.host import Host
from tests.integration.sample_host import HOST_KEY, exchange, make_host


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """One host for all tests that only send requests."""
    with make_host({"PYTHON_THREADPOOL_THREAD_COUNT": "100", "TZ": "UTC"}) as running:
        yield running


def test_a_failed_function_is_an_empty_500_and_a_log_line(host: Host) -> None:
    """The exception is in the log, not in the response."""
    response = requests.get(f"{host.url}/api/fail", timeout=10)

    assert (response.status_code, response.content) == (500, b"")
    failed = [line for line in host.logs if "'Functions.fail' (Failed" in line.message]
    assert failed[-1].level == "ERROR"
    assert "RuntimeError: on purpose" in failed[-1].message


def test_the_response_is_what_the_function_returns(host: Host) -> None:
    """Status, headers, cookies and body, with the length added."""
    order: dict[str, Any] = {
        "status": 418,
        "body": "grün",
        "headers": [
            ("X-One", "1"),
            ("Content-Type", "text/x-test"),
            ("Content-Length", "999"),
            ("Set-Cookie", "a=b/c; Path=/p; HttpOnly; SameSite=Lax; Max-Age=60"),
            ("Set-Cookie", "d=e; Secure; Expires=Wed, 21 Oct 2026 07:28:00 GMT"),
        ],
    }

    response = requests.post(f"{host.url}/api/respond", json=order, timeout=10)

    assert response.status_code == 418
    assert response.content == "grün".encode()
    assert response.headers["X-One"] == "1"
    assert response.headers["Content-Type"] == "text/x-test"
    assert response.headers["Content-Length"] == "5"
    assert response.raw.headers.getlist("Set-Cookie") == [
        "a=b%2Fc; Max-Age=60; HttpOnly; Path=/p; SameSite=Lax",
        "d=e; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Secure; Path=/",
    ]


def test_plain_text_is_200_and_nothing_is_204(host: Host) -> None:
    """A function need not return an HttpResponse."""
    text = requests.get(f"{host.url}/api/locked?code={HOST_KEY}", timeout=10)
    nothing = requests.get(f"{host.url}/api/nothing", timeout=10)

    assert (text.status_code, text.text) == (200, "open")
    assert text.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert (nothing.status_code, nothing.content) == (204, b"")


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_has_none(host: Host, status: int) -> None:
    """Even if the function returns one, because a body would be read as the next response."""
    body = f'{{"status": {status}, "body": "x"}}'
    head = f"POST /api/respond HTTP/1.1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"

    answer = exchange(host, (head + body).encode())

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "order",
    [
        {"status": 99},
        {"status": "soon"},
        {"headers": [["X-Bad", "grün"]]},
        {"headers": [["X Bad", "1"]]},
    ],
)
def test_a_response_that_cannot_be_sent_is_500(host: Host, order: dict[str, Any]) -> None:
    """As in Kestrel. The host goes on."""
    response = requests.post(f"{host.url}/api/respond", json=order, timeout=10)

    assert (response.status_code, response.content) == (500, b"")


def test_head_gets_the_headers_only(host: Host) -> None:
    """With the Content-Length of GET. A body would be read as the next response."""
    answer = exchange(host, b"HEAD /api/echo HTTP/1.1\r\nConnection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert re.search(rb"\r\nContent-Length: [1-9]", answer)
    assert answer.endswith(b"\r\n\r\n")


def test_a_hundred_connections_at_once(host: Host) -> None:
    """PYTHON_THREADPOOL_THREAD_COUNT threads run at once, and all requests are answered."""
    with ThreadPoolExecutor(100) as threads:
        futures = [
            threads.submit(requests.get, f"{host.url}/api/meet", params={"of": 100}, timeout=20)
            for _ in range(100)
        ]
        answers = {future.result().text for future in futures}

    assert answers == {"met"}
