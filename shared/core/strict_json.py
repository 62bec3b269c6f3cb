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


@dataclass(frozen=True, slots=True)
class Document:
    """What was read: the value, without its invalid parts, and what is wrong with those."""

    value: Json
    field_errors: tuple[FieldError, ...] = ()


type _Place = tuple[_Place, str | int] | None
"""Where a value stands: the place around it, and the name or index in there. None: the whole."""


class _RepeatedMembers(list[tuple[str, object]]):
    """The members of an object that names one of them twice, as they stood."""


def read(data: bytes, *, control_characters: bool = False) -> Document:
    """Parse a JSON text.

    Args:
        data: the text.
        control_characters: whether texts may hold these as they are, such as a line feed. RFC 8259
            asks for escapes, which templates forget.

    Raises:
        NotJson: if it is none; everything milder is in the document's field errors.
    """
    parsed = _parsed(data, control_characters=control_characters)
    return parsed if isinstance(parsed, Document) else check(parsed)


def read_list(data: bytes, *, most: int, control_characters: bool = False) -> list[Document]:
    """Parse a JSON list of documents, each to be judged by itself.

    Args:
        data: the text.
        most: how many documents it may hold. They are counted before any of them is built.
        control_characters: as `read` takes it.

    Raises:
        NotJson: if it is none, or too long.
    """
    parsed = _parsed(data, control_characters=control_characters)
    if type(parsed) is not list:
        raise NotJson("The text is not a JSON list.")
    if len(parsed) > most:
        raise NotJson(f"The list holds {len(parsed):,} items; at most {most:,} fit.")
    return [check(item) for item in parsed]


def read_parts(
    data: bytes, *, member: str, most: int, control_characters: bool = False
) -> tuple[Document, list[Document]]:
    """Parse a JSON object one of whose members lists documents, each to be judged by itself.

    Args:
        data: the text.
        member: whose list it is.
        most: how many documents it may hold. They are counted before any of them is built.
        control_characters: as `read` takes it.

    Returns:
        The object, an empty list in that member's place, and the documents. Where the member is
        no list there are none, and the object is as it came.

    Raises:
        NotJson: if the whole is none.
    """
    parsed = _parsed(data, control_characters=control_characters)
    if isinstance(parsed, Document):
        return parsed, []
    parts: list[object] = []
    if isinstance(parsed, dict) and type(parsed.get(member)) is list:
        parts = parsed[member]
        parsed[member] = []
    elif isinstance(parsed, _RepeatedMembers):
        for index, (name, value) in enumerate(parsed):
            if name == member and type(value) is list:
                parts = value
                parsed[index] = (name, [])
                break
    errors = FieldErrors()
    if len(parts) > most:
        errors.add(f"Holds {len(parts):,} requests; at most {most} fit.", member)
        parts = []
    value = _checked(parsed, None, 0, errors)
    return Document(value, tuple(errors)), [check(part) for part in parts]


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
    """Check a value and everything in it; what is invalid becomes None, or is left out."""
    match value:
        case dict() | list() if depth >= MAX_DEPTH:
            detail = f"Nested more than {MAX_DEPTH} deep."
        case dict():
            return _checked_members(value.items(), place, depth, errors)
        case _RepeatedMembers():
            return _checked_members(value, place, depth, errors)
        case list():
            return [
                _checked(item, (place, index), depth + 1, errors)
                for index, item in enumerate(value)
            ]
        case str() | int() | float() | None:
            if not (error := _scalar_error(value)):
                return value
            detail = error
        case _:  # the parser makes nothing else, but JMESPath has values of its own
            detail = "This is no JSON value."
    _complain(errors, detail, place)
    return None


def _scalar_error(value: float | str | None) -> str | None:
    if isinstance(value, str):
        lone = _has_lone_surrogate(value)
        return "The text holds half of a surrogate pair." if lone else None
    fits = value is None or abs(value) <= _MAX_INTEGER  # not so for NaN either
    return None if fits else _NUMBER


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
    names: list[str | int] = []
    while place is not None:
        place, name = place
        names.append(name)
    errors.add(detail, *reversed(names))
