"""JSON from strangers: what the standard parser lets pass in silence is told, with its place.

Duplicate members, numbers that a receiver could not hand back (RFC 8259 §6, RFC 7493), lone
surrogates and deep nesting. Everything that is wrong is told at once.
"""

import codecs
import json
import math
from dataclasses import dataclass

from shared.errors import Fault

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None

MAX_DEPTH = 32
_MAX_INTEGER = 2**53 - 1
MAX_FAULTS = 20
_MAX_POINTER = 100


class NotJson(ValueError):
    """These bytes are no JSON text in UTF-8. The message says where, and quotes nothing."""


@dataclass(frozen=True, slots=True)
class Document:
    """What was read: the value, without its faulty parts, and the faults."""

    value: Json
    faults: tuple[Fault, ...]


class _Members(list[tuple[str, object]]):
    """An object's members as they stood, duplicates included."""


class _Number:
    """A number that cannot be handed back as it came."""


def pointer(*names: str | int) -> str:
    """Join names to a JSON pointer (RFC 6901), readable and of bounded length."""
    text = "".join("/" + str(name).replace("~", "~0").replace("/", "~1") for name in names)
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= _MAX_POINTER else text[: _MAX_POINTER - 1] + "…"


def read(data: bytes) -> Document:
    """Parse a JSON text.

    Raises:
        NotJson: if it is none; everything milder is in the document's faults.
    """
    parsed = _parsed(data)
    return parsed if isinstance(parsed, Document) else _document(parsed)


def read_parts(data: bytes, *, member: str) -> tuple[Document, list[Document]]:
    """Parse a JSON object one of whose members lists documents, each to be judged by itself.

    Returns:
        The object, an empty list in that member's place, and the documents. Where the member is
        no list there are none, and the object is as it came.

    Raises:
        NotJson: if the whole is none.
    """
    parsed = _parsed(data)
    if isinstance(parsed, Document):
        return parsed, []
    parts: list[object] = []
    if isinstance(parsed, _Members):
        for index, (name, value) in enumerate(parsed):
            if name == member and type(value) is list:
                parts = value
                parsed[index] = (name, [])
                break
    return _document(parsed), [_document(part) for part in parts]


def _document(parsed: object) -> Document:
    faults: list[Fault] = []
    value = _checked(parsed, (), faults)
    return Document(value, tuple(faults[:MAX_FAULTS]))


def _parsed(data: bytes) -> object:
    """Parse, keeping what the checks have to see; a Document where that is not possible."""
    try:
        return _decode(data.removeprefix(codecs.BOM_UTF8).decode())
    except UnicodeDecodeError as error:
        raise NotJson(f"The text is not UTF-8 (byte {error.start}).") from None
    except json.JSONDecodeError as error:
        raise NotJson(
            f"The text is not JSON (line {error.lineno}, column {error.colno})."
        ) from None
    except RecursionError:
        return Document(None, (Fault("", f"Nested more than {MAX_DEPTH} deep."),))


def _integer(text: str) -> object:
    if len(text) > 17:
        return _Number()
    value = int(text)
    return value if abs(value) <= _MAX_INTEGER else _Number()


def _float(text: str) -> object:
    value = float(text)
    return value if math.isfinite(value) and abs(value) <= _MAX_INTEGER else _Number()


_decode = json.JSONDecoder(
    object_pairs_hook=_Members,
    parse_int=_integer,
    parse_float=_float,
    parse_constant=lambda _: _Number(),
).decode


def _has_lone_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _checked(value: object, path: tuple[str | int, ...], faults: list[Fault]) -> Json:
    match value:
        case str() if not value.isascii() and _has_lone_surrogate(value):
            faults.append(Fault(pointer(*path), "The text holds half of a surrogate pair."))
            return None
        case None | str() | bool() | int() | float():
            return value
        case list() if len(path) >= MAX_DEPTH:  # an object is a list here, too
            faults.append(Fault(pointer(*path), f"Nested more than {MAX_DEPTH} deep."))
            return None
        case _Members():
            return _object(value, path, faults)
        case list():
            return [_checked(item, (*path, index), faults) for index, item in enumerate(value)]
        case _Number():
            detail = "The number is not finite or needs more than 53 bits; send it as a string."
            faults.append(Fault(pointer(*path), detail))
            return None
        case _:  # pragma: no cover - the parser makes nothing else
            raise AssertionError(type(value))


def _object(members: _Members, path: tuple[str | int, ...], faults: list[Fault]) -> Json:
    result: dict[str, Json] = {}
    for name, value in members:
        place = (*path, name)
        if not name.isascii() and _has_lone_surrogate(name):
            faults.append(Fault(pointer(*place), "The name holds half of a surrogate pair."))
        elif name in result:
            faults.append(Fault(pointer(*place), "The member is there more than once."))
        else:
            result[name] = _checked(value, place, faults)
    return result
