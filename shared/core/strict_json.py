"""JSON from strangers: what the standard parser accepts without a word is an error here.

Duplicate members, numbers that a receiver could not hand back (RFC 8259 §6, RFC 7493), lone
surrogates and deep nesting. All errors are told at once, each with its place. Reading takes time
in proportion to the text, whatever is in it: a place is worked out only for an error that is told.
"""

import codecs
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from shared.core.field_errors import FieldError, FieldErrors

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None

MAX_DEPTH = 64
"""Room for a request, which has a limit of its own, in an envelope or two."""
_MAX_INTEGER = 2**53 - 1
_MAX_DIGITS = 17
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBER = "The number is not finite or needs more than 53 bits; send it as a string."


class NotJson(ValueError):
    """These bytes are no JSON text in UTF-8. The message says where, and quotes nothing."""


class TooManyValues(NotJson):
    """This text holds more values than its reader takes."""


@dataclass(frozen=True, slots=True)
class Document:
    """What was read: the value, without its invalid parts, and what is wrong with those."""

    value: Json
    field_errors: tuple[FieldError, ...] = ()


type _Place = tuple[_Place, str | int] | None
"""Where a value stands: the place around it, and the name or index in there. None: the whole."""


class _RepeatedMembers(list[tuple[str, object]]):
    """The members of an object that names one of them twice, as they stood."""


def read(data: bytes, *, control_characters: bool = False, most: int | None = None) -> Document:
    """Parse a JSON text.

    Args:
        data: the text.
        control_characters: whether texts may hold these as they are, such as a line feed. RFC 8259
            asks for escapes, which templates forget.
        most: how many values it may hold, if there is a limit. They are counted first.

    Raises:
        NotJson: if it is none; everything milder is in the document's field errors.
        TooManyValues: if it holds more than `most`.
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
    """Parse a JSON text that lists documents, each to be judged by itself.

    The list is the whole, or a member of an object.

    Args:
        data: the text.
        member: whose list it is, in an object.
        control_characters: as `read` takes it.

    Returns:
        The whole, with an empty list in that one's place, and what the list holds: nothing of it is
        looked at yet, so that its caller can count first, and then `check` each. Where there is
        no list: the whole as it came, and None.

    Raises:
        NotJson: if it is none.
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


def extent(value: object, *, most: int) -> tuple[int, int]:
    """Count the values that a value is made of, itself included, and the levels it is nested.

    Counting ends with the level by which there are more than `most`, before any of those values is
    looked at.
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


def check(parsed: object) -> Document:
    """Hold a value that something else has made, such as a mapping, to the same rules."""
    errors = FieldErrors()
    value = _checked(parsed, None, 0, errors)
    return Document(value, tuple(errors))


def _parsed(data: bytes, *, control_characters: bool) -> object:
    """Parse, keeping what the checks have to see; a Document where that is not possible."""
    decode = _lenient if control_characters else _strict
    try:
        return decode(data.removeprefix(codecs.BOM_UTF8).decode())
    except UnicodeDecodeError as error:
        raise NotJson(f"The text is not UTF-8 (byte {error.start}).") from None
    except json.JSONDecodeError as error:
        raise NotJson(
            f"The text is not JSON (line {error.lineno}, column {error.colno})."
        ) from None
    except RecursionError:
        return Document(None, (FieldError("", f"Nested more than {MAX_DEPTH} deep."),))
    except ValueError:  # an integer of thousands of digits: Python does not read it
        return json.loads(
            data.removeprefix(codecs.BOM_UTF8).decode(),
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


def _checked(value: object, place: _Place, depth: int, errors: FieldErrors) -> Json:
    """Check a value and everything in it; what is invalid becomes None, or is left out.

    What there can be most of comes first: half a million numbers fit into the longest body.
    """
    if isinstance(value, str):
        if not _has_lone_surrogate(value):
            return value
        detail = "The text holds half of a surrogate pair."
    elif isinstance(value, (int, float)):
        if -_MAX_INTEGER <= value <= _MAX_INTEGER:  # not so for NaN either
            return value
        detail = _NUMBER
    elif value is None:
        return None
    elif not isinstance(value, (dict, list)):
        # The parser makes nothing else, but JMESPath has values of its own.
        detail = "This is no JSON value."
    elif depth >= MAX_DEPTH:
        detail = f"Nested more than {MAX_DEPTH} deep."
    elif isinstance(value, (dict, _RepeatedMembers)):
        members = value.items() if isinstance(value, dict) else value
        return _checked_members(members, place, depth, errors)
    else:
        return [
            _checked(item, (place, index), depth + 1, errors) for index, item in enumerate(value)
        ]
    _complain(errors, detail, place)
    return None


def _checked_members(
    members: Iterable[tuple[str, object]], place: _Place, depth: int, errors: FieldErrors
) -> Json:
    result: dict[str, Json] = {}
    for name, value in members:
        if _has_lone_surrogate(name):
            _complain(errors, "The name holds half of a surrogate pair.", (place, name))
        elif name in result:
            _complain(errors, "The member is there more than once.", (place, name))
        else:
            result[name] = _checked(value, (place, name), depth + 1, errors)
    return result


def _complain(errors: FieldErrors, detail: str, place: _Place) -> None:
    if errors.are_enough():  # the place would not be told
        errors.count += 1
        return
    names: list[str | int] = []
    while place is not None:
        place, name = place
        names.append(name)
    errors.add(detail, *reversed(names))
