"""Makes a request for a join link from a booking event, by JMESPath expressions.

Anybody may have written the event. Its size and depth are limited before, and an expression for
which jmespath raises any exception finds nothing.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from shared.core import strict_json
from shared.core.errors import InvalidRequest, PayloadTooLarge
from shared.core.identifiers import find_addresses, is_guid, is_user_principal_name
from shared.core.strict_json import Document, Json, NotJson, TooManyValues
from shared.meetings.models import MEETING_REFERENCES, Alternatives, JoinRequest
from shared.meetings.pasted_text import without_invisible
from shared.meetings.teams_links import NotATeamsLink, parse_teams_link

if TYPE_CHECKING:
    from jmespath.parser import ParsedResult

FIELDS = frozenset(
    {
        *("when", "deliveryId", "sentAt", "userId", "organizer", "language", "context"),
        *MEETING_REFERENCES,
    }
)
_FORM = "application/x-www-form-urlencoded"
_MOST_FORM_FIELDS = 1000
_MOST_VALUES = 4_000
"""How many values one body may hold, since each costs an expression time.

An event has hundreds, of some 20 bytes each and more, so a body of 64 KiB has fewer.
"""
_MOST_TEXTS = 6
"""How many values of one member are kept: no more would be tried."""
_QUOTED_MEMBERS = ("data", "payload", "body")
"""Members that hold a whole event, in the envelopes of flows, of CloudEvents and of forms."""
_LONGEST_ADDRESSES = 1000
"""How much of a text is searched for addresses, in characters."""
SEND_LESS = "Let the booking system send less of each booking, or fewer booking events at once."
"""The fix where a body is too large."""
_UNREADABLE = "is no JSON object, no list of them and no form"
_EMPTY_LIST = "is an empty list"
_LEAST_MILLISECONDS = 10**11  # as seconds, the year 5138
_SECONDS = re.compile(r"[0-9]{10,13}(?:\.[0-9]{1,9})?", re.ASCII)
_LOCALE_EXTRAS = re.compile(r"[.@].*", re.DOTALL)
_PROBE: Mapping[str, Json] = {"userId": "a@b", "joinMeetingId": "1234567890"}
"""A valid request, to check one optional member with."""


class BodyUndecodable(ValueError):
    """The body cannot be read. The message continues a sentence after "It", and quotes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """What an event says about the meeting.

    Attributes:
        delivery_id: The event's own id, if it has one.
        members: The request's members, without its id.
        alternatives: Members to try in place of the request's own, the best first.
        missing: `meeting` or `organizer`, if the event does not name one.
        left_out: The optional members whose values were invalid, such as `language`.
        sent_at: When the event was sent, in seconds since the epoch, if it says so.
    """

    delivery_id: str | None
    members: Mapping[str, Json] = field(repr=False)
    alternatives: Alternatives = field(default=(), repr=False)
    missing: str | None
    left_out: tuple[str, ...] = ()
    sent_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapper:
    """The expressions of one source, and its ways to find the organizer.

    Attributes:
        expressions: The expressions, by the name of the field that they find.
        conditions: The conditions of `when`, by name. All of them must be true.
        organizers: Object ids, by mail address in lower case.
        default_user_id: The organizer of events that name none.
    """

    expressions: "Mapping[str, ParsedResult]" = field(repr=False)
    conditions: "Mapping[str, ParsedResult]" = field(default_factory=dict, repr=False)
    organizers: Mapping[str, str] = field(default_factory=dict, repr=False)
    default_user_id: str | None = None

    def failed_condition(self, payload: Json) -> str | None:
        """Name the first condition that is not true for this event. None: all are true.

        A blank text counts as an empty one, as in `read`.
        """
        payload = _without_blanks(payload) if self.conditions else payload
        for name, condition in self.conditions.items():
            if _is_nothing(_search(condition, payload)):
                return name
        return None

    def read(self, payload: Json) -> Booking:
        """Find the meeting, its organizer and the optional members in an event."""
        references = self._references(payload)
        organizers = self._organizers(payload, references)
        optional = {
            "language": _language_tag(self._text("language", payload)),
            "context": self._find("context", payload),
        }
        left_out = tuple(name for name in optional if not _is_valid({name: optional[name]}))
        members = {**optional, **dict.fromkeys(left_out)}
        for found in (references, organizers):
            members |= found[0] if found else {}
        missing = None
        if not references:
            missing = "meeting"
        elif not organizers and _is_valid_reference(references[0]):
            missing = "organizer"
        return Booking(
            delivery_id=_delivery_id(self._find("deliveryId", payload)),
            members={name: value for name, value in members.items() if value is not None},
            alternatives=(*references[1:], *organizers[1:]),
            missing=missing,
            left_out=left_out,
            sent_at=_time(self._find("sentAt", payload)),
        )

    def _references(self, payload: Json) -> list[dict[str, Json]]:
        """Find the meeting references, the best first.

        If none is valid, one invalid reference is kept, so that its error can be reported. The
        order is that of MEETING_REFERENCES, then that of the mapping.
        """
        found = [
            {name: value} for name in MEETING_REFERENCES for value in self._texts(name, payload)
        ]
        valid = [each for each in found if _is_valid_reference(each)]
        return _unique(valid) or found[:1]

    def _organizers(
        self, payload: Json, references: Sequence[Mapping[str, Json]]
    ) -> list[dict[str, Json]]:
        """Find the organizers: the mapped id, else the link's, else by address, else the default.

        An address is looked up in `organizers`, else later by Graph. A malformed address is kept
        only if there is no default.
        """
        if user_id := self._text("userId", payload):
            return [{"userId": user_id}]
        for reference in references:
            if user_id := _link_organizer(reference.get("joinWebUrl")):
                return [{"userId": user_id}]
        addresses = self._texts("organizer", payload)
        texts = [address for address in addresses if isinstance(address, str)]
        keys = [key.casefold() for text in texts for key in _addresses(text)][:_MOST_TEXTS]
        known: list[Json] = [
            self.organizers.get(key) or key
            for key in keys
            if key in self.organizers or is_guid(key) or is_user_principal_name(key)
        ]
        others = [self.default_user_id] if self.default_user_id else addresses[:1]
        return _unique([{"userId": user_id} for user_id in known or others])

    def _text(self, name: str, payload: Json) -> Json:
        """Find a member that should be a text. The request's checks refuse another value."""
        return _as_text(self._find(name, payload))

    def _texts(self, name: str, payload: Json) -> list[Json]:
        """Find a member that may have several texts, the best first."""
        value = self._find(name, payload)
        values: list[Json] = value if isinstance(value, list) else [value]
        texts: list[Json] = [text for text in map(_as_text, values) if text is not None]
        return texts[:_MOST_TEXTS]

    def _find(self, name: str, payload: Json) -> Json:
        expression = self.expressions.get(name)
        return None if expression is None else _search(expression, payload)


def compile_expression(text: str) -> "ParsedResult":
    """Compile an expression, and check the names and arguments of its functions.

    Raises:
        ValueError: if it is not valid. The text says where, and quotes nothing.
    """
    import jmespath  # noqa: PLC0415 - 20 ms, and only where there are sources
    from jmespath.functions import Functions  # noqa: PLC0415 - as above

    try:
        compiled = jmespath.compile(text)
        calls = list(_calls(compiled.parsed))
    except (ValueError, RecursionError) as error:
        place = getattr(error, "lex_position", getattr(error, "lexer_position", None))
        where = "" if place is None else f" (at character {place})"
        raise ValueError(f"Is not a JMESPath expression{where}.") from None
    for name, arguments in calls:
        table = Functions.FUNCTION_TABLE
        if name not in table:
            raise ValueError("Calls a function that JMESPath does not have.")
        signature = table[name]["signature"]
        variadic = bool(signature) and bool(signature[-1].get("variadic"))
        if arguments < len(signature) or (arguments > len(signature) and not variadic):
            raise ValueError(f"Calls {name} with the wrong number of arguments.")
    return compiled


def decode(content_type: str, body: bytes) -> dict[str, Json] | list[Json]:
    """Read a body: a form as a flat object of texts, else a JSON object or list.

    JSON that is quoted as a JSON string is read as well: the whole, an item of the list, or the
    member of an event that holds all of it. So are control characters in strings. Flows write both.
    Invalid parts of a JSON text (see `strict_json`) are left out, because they need not concern the
    meeting.

    Raises:
        BodyUndecodable: if the body is none of these.
        PayloadTooLarge: if it holds too many values.
    """
    form = content_type.partition(";")[0].strip().lower() == _FORM
    is_form = form and body.lstrip()[:1] not in (b"{", b"[", b'"')  # some systems call JSON a form
    value = _decode_form(body) if is_form else _decode_json(body)
    if isinstance(value, list):
        if not value:
            raise BodyUndecodable(_EMPTY_LIST)
        value = [_with_members_unquoted(_unquoted(item)) for item in value]
    value = _with_members_unquoted(value)
    if not isinstance(value, dict | list):
        raise BodyUndecodable(_UNREADABLE)
    if strict_json.extent(value, most=_MOST_VALUES)[0] > _MOST_VALUES:
        raise _too_many_values()
    return value


def _decode_json(text: bytes) -> Json:
    """Read JSON, which may be quoted as a JSON string.

    Raises:
        BodyUndecodable: if it is not JSON.
        PayloadTooLarge: if it holds too many values. They are counted first.
    """
    read = partial(strict_json.read, control_characters=True, most=_MOST_VALUES)
    try:
        return strict_json.read_quoted(strict_json.to_utf_8(text), read, inside=_inside).value
    except TooManyValues:
        raise _too_many_values() from None
    except NotJson:
        raise BodyUndecodable(_UNREADABLE) from None


def _too_many_values() -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The body holds more than {_MOST_VALUES:,} values. A list or object counts as one, and so "
        "does each thing in it.",
        fix=SEND_LESS,
    )


def _inside(document: Document) -> bytes | None:
    return strict_json.quoted(document.value)


def _with_members_unquoted(event: Json) -> Json:
    """Read the members that hold an object as quoted JSON. Other values are kept."""
    if not isinstance(event, dict):
        return event
    read = {name: _unquoted(event[name]) for name in _QUOTED_MEMBERS if name in event}
    return event | {name: value for name, value in read.items() if isinstance(value, dict)}


def _unquoted(item: Json) -> Json:
    """Read an item or a member that may be quoted JSON. Another text is kept.

    Raises:
        PayloadTooLarge: if it holds too many values.
    """
    try:
        return _decode_json(item.encode()) if isinstance(item, str) else item
    except BodyUndecodable:
        return item


def _decode_form(body: bytes) -> dict[str, Json]:
    if body.count(b"&") >= _MOST_FORM_FIELDS:
        raise PayloadTooLarge(
            f"The form holds more than {_MOST_FORM_FIELDS:,} fields.",
            fix=SEND_LESS,
        )
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict")
    except ValueError:
        raise BodyUndecodable(_UNREADABLE) from None
    return dict(reversed(pairs))  # the first of repeated fields counts


def _calls(node: Any) -> Iterator[tuple[str, int]]:  # noqa: ANN401 - jmespath's tree
    """Yield each function that an expression calls, with its number of arguments."""
    if node["type"] == "function_expression":
        yield node["value"], len(node["children"])
    for child in node["children"]:
        if isinstance(child, dict):
            yield from _calls(child)


def _time(value: Json) -> float | None:
    """Read a time as seconds since the epoch: ISO 8601 with an offset, seconds or milliseconds."""
    if isinstance(value, str) and _SECONDS.fullmatch(value):  # a form has only texts
        value = float(value)
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        return None if moment.tzinfo is None else moment.timestamp()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value / 1000 if value >= _LEAST_MILLISECONDS else float(value)
    return None


def _delivery_id(value: Json) -> str | None:
    """Make a delivery's id of one value or several. None if one of them is missing."""
    if isinstance(value, list):
        complete = bool(value) and not any(_is_nothing(part) for part in value)
        return json.dumps(value) if complete else None
    return None if _is_nothing(value) or isinstance(value, dict) else str(value)


def _as_text(value: Json) -> Json:
    if isinstance(value, str):
        value = without_invisible(value).strip()
    elif isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    elif isinstance(value, float) and value.is_integer():  # such as 2.345678901234E+12
        value = str(int(value))
    return None if _is_nothing(value) else value


def _addresses(text: str) -> list[str]:
    """Give the e-mail addresses in a text, or the text itself if there is none."""
    return find_addresses(text[:_LONGEST_ADDRESSES]) or [text]


def _unique(found: Iterable[dict[str, Json]]) -> list[dict[str, Json]]:
    unique: list[dict[str, Json]] = []
    for each in found:
        if each not in unique:
            unique.append(each)
    return unique


def _link_organizer(join_web_url: Json) -> str | None:
    try:
        return (
            parse_teams_link(join_web_url).organizer_id if isinstance(join_web_url, str) else None
        )
    except NotATeamsLink:
        return None


def _search(expression: "ParsedResult", payload: Json) -> Json:
    try:
        found = expression.search(payload)
    except Exception:  # noqa: BLE001 - jmespath raises TypeError and others for some payloads
        return None
    # jmespath can give values that JSON does not have, such as to_number of "nan".
    return strict_json.check(found).value


def _language_tag(locale: Json) -> Json:
    """Write a locale such as de_DE.UTF-8 as a language tag."""
    if not isinstance(locale, str):
        return locale
    return _LOCALE_EXTRAS.sub("", locale).replace("_", "-") or None


def _is_valid_reference(reference: Mapping[str, Json]) -> bool:
    return _is_valid({"joinMeetingId": None, **reference})


def _is_valid(optional: Mapping[str, Json]) -> bool:
    try:
        JoinRequest.from_document(Document({**_PROBE, **optional}), request_id="probe")
    except InvalidRequest:
        return False
    return True


def _without_blanks(value: Json) -> Json:
    """Give the value with each blank text replaced by an empty one."""
    match value:
        case str():
            return value if value.strip() else ""
        case list():
            return [_without_blanks(each) for each in value]
        case dict():
            return {name: _without_blanks(each) for name, each in value.items()}
        case _:
            return value


def _is_nothing(value: Json) -> bool:
    """Say whether this value is false in JMESPath."""
    return value is None or value is False or value in ("", [], {})
