"""HTTP/1.1 as it goes over a connection (RFC 9112): requests written, answers read. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

MAX_RESPONSE_BYTES = 1024 * 1024
_FIRST_FINAL_STATUS = 200


class MalformedResponse(Exception):
    """What came is no HTTP, or more than was asked for."""


class ResponseTooLarge(Exception):
    """The answer is longer than any that makes sense; the rest was not read."""


class Headers(Protocol):
    """Headers by name, in any case."""

    def get(self, name: str, /) -> str | None:
        """Give a header's value, the first one's where it is there more than once."""


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer, whole."""

    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)


def write_request(method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Write a whole request.

    Args:
        method: GET or POST.
        target: as it goes out: encoded.
        headers: by their names. Those are the code's own, and only looked at for ends of lines.
        body: of the length that the headers say.

    Raises:
        ValueError: if a part of the head would end a line, or the target itself. It is not
            quoted: it may be a token.
    """
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    head = f"{method} {target} HTTP/1.1\r\n{fields}\r\n"
    whole = head.count("\r") == head.count("\n") == len(headers) + 2
    one_word = target and target.isprintable() and " " not in target
    if not whole or not one_word or not head.isascii() or "\0" in head:
        raise ValueError("a request's line or header holds what must not stand there")
    return head.encode("ascii") + body


class ResponseReader:
    """Reads one answer, part by part as it arrives. llhttp does the reading, by way of httptools.

    Attributes:
        keeps_open: whether the connection may serve another request, once the answer is whole.
    """

    def __init__(self) -> None:
        self.keeps_open = False
        self._parser = HttpResponseParser(self)
        self._received = 0
        self._fields: list[tuple[bytes, bytes]] = []
        self._head: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._answer: Response | None = None

    def feed(self, received: bytes) -> Response | None:
        """Take what has arrived, and give the answer when it is whole.

        Raises:
            MalformedResponse: it is none.
            ResponseTooLarge: past MAX_RESPONSE_BYTES, head and all.
        """
        self._received += len(received)
        if self._received > MAX_RESPONSE_BYTES:
            raise ResponseTooLarge
        try:
            self._parser.feed_data(received)
        except (HttpParserError, HttpParserUpgrade) as error:
            raise MalformedResponse(type(error).__name__) from None
        if self._answer is not None:
            del self._parser  # or the two would hold each other until a garbage collection
        return self._answer

    def on_message_begin(self) -> None:
        """See that there is one answer only: a second could pass for the next request's."""
        if self._answer is not None:
            raise ValueError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Close the head: what comes as trailers counts for nothing (RFC 9110, section 6.5.1)."""
        self._head, self._fields = self._fields, []

    def on_body(self, part: bytes) -> None:
        """Keep a part of the body."""
        self._body.append(part)

    def on_message_complete(self) -> None:
        """Make the answer, unless it was one on the way to it (1xx)."""
        status = self._parser.get_status_code()
        if status >= _FIRST_FINAL_STATUS:
            self._answer = Response(status, _Headers(self._head), b"".join(self._body))
            self.keeps_open = self._parser.should_keep_alive()
        self._fields, self._body = [], []


class _Headers:
    """Headers as they came: of a dozen, one or two are ever looked at."""

    def __init__(self, fields: Sequence[tuple[bytes, bytes]]) -> None:
        self._fields = fields

    def get(self, name: str, /) -> str | None:
        wanted = name.lower().encode("ascii")
        for given, value in self._fields:
            if given.lower() == wanted:
                return value.decode("latin-1").rstrip(" \t")
        return None
