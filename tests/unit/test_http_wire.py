"""Requests as they are written, and answers read however they are cut up on the way."""

import gc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.http_wire import (
    MAX_RESPONSE_BYTES,
    MalformedResponse,
    Response,
    ResponseReader,
    write_request,
)

PLAIN = b"HTTP/1.1 200 OK\r\nX-Name: value\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nx-name:\tvalue \r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;why=not\r\nhel\r\n2\r\nlo\r\n0\r\nX-Name: trailer\r\nX-Trailer: one\r\n\r\n"
)
AFTER_ANOTHER = b"HTTP/1.1 103 Early Hints\r\nX-Name: early\r\n\r\n" + PLAIN
CLOSING = PLAIN.replace(b"X-Name", b"Connection: close\r\nX-Name")


def read(*parts: bytes) -> tuple[Response, bool]:
    """Feed the parts; all but the last leave the answer open."""
    reader = ResponseReader()
    for part in parts[:-1]:
        assert reader.feed(part) is None
    answer = reader.feed(parts[-1])
    assert answer is not None
    return answer, reader.keeps_open


@given(
    st.sampled_from([PLAIN, CHUNKED, AFTER_ANOTHER, CLOSING]),
    st.sets(st.integers(1, len(CHUNKED) - 1)),
)
def test_an_answer_is_read_however_it_is_cut_up(wire: bytes, cuts: set[int]) -> None:
    """Headers have the first value, by names in any case, without blanks; trailers are none."""
    places = [0, *sorted(cut for cut in cuts if cut < len(wire)), len(wire)]
    answer, keeps_open = read(*(wire[a:b] for a, b in pairwise(places)))
    assert (answer.status, answer.headers.get("X-NAME"), answer.body) == (200, "value", b"hello")
    assert answer.headers.get("X-Trailer") is None
    assert keeps_open == (wire is not CLOSING)


@given(st.binary(max_size=300), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", PLAIN[:-5]]))
def test_whatever_arrives_is_an_answer_or_none(noise: bytes, begun: bytes) -> None:
    """No other exception comes of it."""
    reader = ResponseReader()
    try:
        answer = reader.feed(begun + noise)
    except MalformedResponse:
        return
    assert answer is None or len(answer.body) <= len(noise)


def test_an_answer_leaves_nothing_for_the_garbage_collector() -> None:
    """Its pauses would be everybody's."""
    gc.collect()
    gc.disable()
    try:
        read(PLAIN)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_request_is_written_as_it_is_given() -> None:
    """Line, headers in order, an empty line, body; nothing added."""
    written = write_request("POST", "/a%2Fb?c=d", {"Host": "x", "X-Y": "z y"}, b"\xff")
    assert written == b"POST /a%2Fb?c=d HTTP/1.1\r\nHost: x\r\nX-Y: z y\r\n\r\n\xff"


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET", "/a b", {}),
        ("GET", "/a\r\nX: y", {}),
        ("GET", "/ü", {}),
        ("GET", "", {}),
        ("GET", "/a\tb", {}),
        ("GET", "/a\x7f", {}),
        ("GET /x HTTP/1.1\r\n", "/", {}),
        ("GET", "/", {"X": "canary\r\nY: z"}),
        ("GET", "/", {"X": "canary\nY: z"}),
        ("GET", "/", {"X": "canary\r"}),
        ("GET", "/", {"X": "a\rb\ncanary"}),
        ("GET", "/", {"X": "canary\0"}),
        ("GET", "/", {"X": "canary☃"}),
        ("GET", "/", {"X: y\r\nZ": "canary"}),
    ],
)
def test_a_request_that_would_be_another_is_not_written(
    method: str, target: str, headers: dict[str, str]
) -> None:
    """What is wrong is not quoted: a header may hold a token."""
    with pytest.raises(ValueError, match="must not stand there") as raised:
        write_request(method, target, headers, b"")
    assert "canary" not in f"{raised.value!r}{raised.value.__cause__}{raised.value.__context__}"


def test_the_limit_is_one_mib() -> None:
    """Graph's answers have a few hundred bytes."""
    assert MAX_RESPONSE_BYTES == 1024 * 1024
