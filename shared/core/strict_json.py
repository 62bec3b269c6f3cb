"""Reads JSON from outside strictly, and collects its field errors.

The standard parser accepts texts that are errors here: duplicate members, numbers that a receiver
could not return unchanged (RFC 8259 §6, RFC 7493), lone surrogates and deep nesting. All errors are
collected, each with a JSON pointer (RFC 6901). The time for any text is proportional to its length.
So a pointer is computed only for an error that is shown.
"""

import base64
import binascii
import codecs
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None

MAX_DEPTH = 64
"""How deep a text may be nested. A request in an envelope has its own, lower limit."""
MOST_FIELD_ERRORS = 20
"""How many field errors are kept. More are only counted."""
_MOST_QUOTES = 3
_MAX_POINTER = 100
_MAX_INTEGER = 2**53 - 1
_MAX_DIGITS = 17
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBER = "The number is not finite or needs more than 53 bits; send it as a string."


class NotJson(ValueError):
    """The bytes are not a JSON text in UTF-8. The message says where, and quotes nothing."""


class TooManyValues(NotJson):
    """The text holds more values than its reader accepts."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One invalid field of what a caller sent, or of a setting.

    Attributes:
        pointer: The field's JSON pointer (RFC 6901), or the name of a setting. Empty: the whole.
        detail: What is wrong with it. It does not quote the value.
    """

    pointer: str
    detail: str

    def __str__(self) -> str:
        """Give the place and what is wrong. An error of the whole has no place."""
        return f"{self.pointer}: {self.detail}" if self.pointer else self.detail


class FieldErrors:
    """Collects field errors, so that all of them are shown at once.

    After MOST_FIELD_ERRORS they are only counted, so that an attack cannot make the work grow.

    Args:
        found: the field errors to begin with.
    """

    def __init__(self, found: Iterable[FieldError] = ()) -> None:
        self._found: list[FieldError] = []
        self.count = 0
        for error in found:
            self.append(error)

    def are_enough(self) -> bool:
        """Say whether further errors are only counted."""
        return len(self._found) >= MOST_FIELD_ERRORS

    def add(self, detail: str, *place: str | int) -> None:
        """Add an error, by the names and indexes that lead to its field."""
        self.count += 1
        if not self.are_enough():
            self._found.append(FieldError(pointer(*place), detail))

    def append(self, error: FieldError) -> None:
        """Add an error that is already made."""
        self.count += 1
        if not self.are_enough():
            self._found.append(error)

    def __iter__(self) -> Iterator[FieldError]:
        return iter(sorted(self._found, key=lambda error: error.pointer))

    def __bool__(self) -> bool:
        return self.count > 0

    def __len__(self) -> int:
        return self.count

    def summary(self, subject: str) -> str:
        """Say how many errors there are, what the first one is, and where the others are.

        Args:
            subject: what they are about, such as "the request".
        """
        count = "One thing is" if self.count == 1 else f"{self.count} things are"
        first = next(iter(self))
        others = "" if self.count == 1 else " See `errors` for the others."
        return f"{count} wrong with {subject}. {first}{others}"


def pointer(*names: str | int) -> str:
    """Make a JSON pointer (RFC 6901) from names and indexes, of at most 100 characters."""
    text = ""
    for name in names:
        # A name may be as long as the whole body, so only its visible beginning is read.
        shown = str(name)[:_MAX_POINTER]
        text += "/" + shown.replace("~", "~0").replace("/", "~1")
        if len(text) > _MAX_POINTER:
            break
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= _MAX_POINTER else text[: _MAX_POINTER - 1] + "…"


@dataclass(frozen=True, slots=True)
class Document:
    """A text that was read: its value without the invalid parts, and their field errors."""

    value: Json
    field_errors: tuple[FieldError, ...] = ()


type _Place = tuple[_Place, str | int] | None
"""A value's place: its container's place, and its name or index there. None: the whole."""


type _Container = tuple[dict[str, object] | list[object], dict[str, Json] | list[Json], _Place, int]
"""What was parsed, a copy of its valid parts, its place, and its depth."""


class _RepeatedMembers(list[tuple[str, object]]):
    """The members of an object with a duplicate name, in their order."""


def read(data: bytes, *, control_characters: bool = False, most: int | None = None) -> Document:
    """Parse a JSON text.

    Args:
        data: the text.
        control_characters: whether strings may hold control characters, such as a line feed. RFC
            8259 requires escapes, but templates often lack them.
        most: the most values that the text may hold, if there is a limit. They are counted first.

    Raises:
        NotJson: if the text is not JSON. All other errors are the document's field errors.
        TooManyValues: if it holds more than `most` values.
    """
    parsed = _parsed(data, control_characters=control_characters)
    if isinstance(parsed, Document):
        return parsed
    if most is not None and extent(parsed, most=most)[0] > most:
        raise TooManyValues(f"The text holds more than {most:,} values.")
    return check(parsed)


def read_parts(
    data: bytes, *, member: str, control_characters: bool = False
) -> tuple[Document, list[object] | None]:
    """Parse a JSON text with a list of documents: the whole text, or a member of an object.

    Args:
        data: the text.
        member: the name of the member that holds the list.
        control_characters: as in `read`.

    Returns:
        The whole with an empty list in place of that one, and the items of the list. The items are
        not checked yet, so that the caller can count them before it calls `check` for each. Without
        a list: the whole, and None.

    Raises:
        NotJson: if the text is not JSON.
    """
    parsed = _parsed(data, control_characters=control_characters)
    if isinstance(parsed, Document):
        return parsed, None
    parts: list[object] | None = None
    if type(parsed) is list:
        parts, parsed = parsed, []
    elif isinstance(parsed, dict) and type(parsed.get(member)) is list:
        parts, parsed[member] = parsed[member], []
    elif isinstance(parsed, _RepeatedMembers):
        for index, (name, value) in enumerate(parsed):
            if name == member:  # the first of them counts
                if type(value) is list:
                    parts, parsed[index] = value, (name, [])
                break
    return check(parsed), parts


def read_quoted[Parsed](
    text: bytes, read: Callable[[bytes], Parsed], *, inside: Callable[[Parsed], bytes | None]
) -> Parsed:
    """Parse a JSON text that may be quoted as a JSON string, up to three times.

    Args:
        text: the text.
        read: parses a text.
        inside: gives the text in what was parsed, if that is a string; else None.

    Raises:
        NotJson: if `read` or `inside` raises it.
    """
    parsed = read(text)
    for _ in range(_MOST_QUOTES):
        quoted = inside(parsed)
        if quoted is None:
            break
        parsed = read(quoted)
    return parsed


def to_utf_8(data: bytes) -> bytes:
    """Give a JSON text in UTF-8, without a byte order mark, although it may be in UTF-16.

    .NET and PowerShell call UTF-16 Unicode. JSON in UTF-8 has no zero bytes, so that both differ.
    """
    encoding = json.detect_encoding(data)
    if encoding.startswith("utf-16"):
        data = data.decode(encoding, "replace").encode("utf-8", "replace")
    return data.removeprefix(codecs.BOM_UTF8)


def quoted(value: Json) -> bytes | None:
    """Give the text that a value holds: a string, or what a flow makes of other content types.

    Raises:
        NotJson: if a flow's base64 is invalid.
    """
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and isinstance(content := value.get("$content"), str):
        try:
            return base64.b64decode(content.encode(), validate=True)
        except binascii.Error:
            raise NotJson("Its $content is not base64.") from None
    return None


def extent(value: object, *, most: int) -> tuple[int, int]:
    """Count the values in a value, including itself, and its nested levels.

    Counting ends at the level where there are more than `most` values, before those are read.
    """
    count, depth, level = 1, 0, [value]
    while containers := [one for one in level if isinstance(one, (dict, list))]:
        depth += 1
        count += sum(map(len, containers))
        if count > most:
            break
        level = [inner for one in containers for inner in _inside(one)]
    return count, depth


def _inside(container: dict[str, object] | list[object]) -> Iterable[object]:
    if isinstance(container, _RepeatedMembers):
        return [value for _, value in container]
    return container.values() if isinstance(container, dict) else container


def _members(container: dict[str, object] | list[object]) -> Iterable[tuple[str, object]]:
    if isinstance(container, _RepeatedMembers):
        return container
    return container.items() if isinstance(container, dict) else ()


def check(parsed: object) -> Document:
    """Check a value: what was parsed, an item from `read_parts`, or the result of a mapping.

    A recursion would let the sender choose how deep Python's stack is. Before CPython 3.13.13 there
    are depths at which each call costs twenty times as much (gh-142183).
    """
    errors = FieldErrors()
    containers: list[_Container] = []
    value = _checked(parsed, None, 0, errors, containers)
    for container, result, place, depth in containers:  # grows by those inside
        if isinstance(result, list):
            result += [
                _checked(item, (place, index), depth + 1, errors, containers)
                for index, item in enumerate(container)
            ]
            continue
        for name, item in _members(container):
            if _has_lone_surrogate(name):
                _complain(errors, "The name holds half of a surrogate pair.", (place, name))
            elif name in result:
                _complain(errors, "The member is there more than once.", (place, name))
            else:
                result[name] = _checked(item, (place, name), depth + 1, errors, containers)
    return Document(value, tuple(errors))


def _parsed(data: bytes, *, control_characters: bool) -> object:
    """Parse a text so that `check` sees duplicate members. Where that fails, give a Document."""
    try:
        return _decoded(
            data.removeprefix(codecs.BOM_UTF8).decode(), control_characters=control_characters
        )
    except UnicodeDecodeError as error:
        raise NotJson(f"The text is not UTF-8 (byte {error.start}).") from None
    except json.JSONDecodeError as error:
        raise NotJson(
            f"The text is not JSON (line {error.lineno}, column {error.colno})."
        ) from None
    except RecursionError:
        return Document(None, (FieldError("", f"Nested more than {MAX_DEPTH} deep."),))


def _decoded(text: str, *, control_characters: bool) -> object:
    """Decode a text.

    Raises:
        JSONDecodeError: if the text is not JSON.
        RecursionError: if it is nested too deep for Python's parser.
    """
    decode = _lenient if control_characters else _strict
    try:
        return decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # Python does not read an integer of thousands of digits
        return json.loads(
            text,
            object_pairs_hook=_object_of,
            parse_int=_integer,  # three times as slow on integers, so only where it is needed
            strict=not control_characters,
        )


def _object_of(members: list[tuple[str, object]]) -> object:
    by_name = dict(members)
    return by_name if len(by_name) == len(members) else _RepeatedMembers(members)


def _integer(digits: str) -> float:
    return int(digits) if len(digits) <= _MAX_DIGITS else math.inf


_strict = json.JSONDecoder(object_pairs_hook=_object_of).decode
_lenient = json.JSONDecoder(object_pairs_hook=_object_of, strict=False).decode


def _has_lone_surrogate(text: str) -> bool:
    return not text.isascii() and _LONE_SURROGATE.search(text) is not None


def _checked(
    value: object, place: _Place, depth: int, errors: FieldErrors, containers: list[_Container]
) -> Json:
    """Check a value, but not what is in it. An invalid value becomes None.

    The types that a body can hold most of come first: it may have half a million numbers.
    """
    if isinstance(value, str):
        if not _has_lone_surrogate(value):
            return value
        detail = "The text holds half of a surrogate pair."
    elif isinstance(value, (int, float)):
        if -_MAX_INTEGER <= value <= _MAX_INTEGER:  # also false for NaN
            return value
        detail = _NUMBER
    elif value is None:
        return None
    elif not isinstance(value, (dict, list)):
        # The parser makes no other values, but JMESPath does.
        detail = "This is not a JSON value."
    elif depth >= MAX_DEPTH:
        detail = f"Nested more than {MAX_DEPTH} deep."
    else:
        result: list[Json] | dict[str, Json] = (
            {} if isinstance(value, (dict, _RepeatedMembers)) else []
        )
        if value:
            containers.append((value, result, place, depth))
        return result
    _complain(errors, detail, place)
    return None


def _complain(errors: FieldErrors, detail: str, place: _Place) -> None:
    if errors.are_enough():  # the pointer would not be shown
        errors.count += 1
        return
    names: list[str | int] = []
    while place is not None:
        place, name = place
        names.append(name)
    errors.add(detail, *reversed(names))
