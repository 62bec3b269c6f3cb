"""From what a booking system posted to a request for a join link, by JMESPath.

Payloads are hostile: they come bounded in size and depth, and an expression that does not fit one
finds nothing there, whatever jmespath raises.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from shared.core import strict_json
from shared.core.identifiers import is_user_principal_name
from shared.core.strict_json import Json, NotJson
from shared.meetings.models import MEETING_REFERENCES
from shared.meetings.teams_links import NotATeamsLink, parse_teams_link

if TYPE_CHECKING:
    from jmespath.parser import ParsedResult

FIELDS = frozenset(
    {"when", "deliveryId", "userId", "organizer", "language", "context", *MEETING_REFERENCES}
)
_FORM = "application/x-www-form-urlencoded"
_MOST_FORM_FIELDS = 1000


class BodyUndecodable(ValueError):
    """The body is neither a JSON object nor a form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """What an event says.

    Attributes:
        delivery_id: What names this delivery among others, if anything does.
        members: Of the request, its id excepted.
        missing: `meeting` or `organizer`, where there is none.
    """

    delivery_id: str | None
    members: Mapping[str, Json] = field(repr=False)
    missing: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapper:
    """The expressions of one source, and what helps to find the organizer.

    Attributes:
        expressions: By the field's name.
        organizers: Object ids by e-mail address in lower case.
        default_user_id: The organizer where an event names none.
    """

    expressions: "Mapping[str, ParsedResult]" = field(repr=False)
    organizers: Mapping[str, str] = field(default_factory=dict, repr=False)
    default_user_id: str | None = None

    def is_for_us(self, payload: Json) -> bool:
        """Say whether the source wants this event to be taken up; without `when`, all are."""
        return "when" not in self.expressions or not _is_nothing(self._find("when", payload))

    def read(self, payload: Json) -> Booking:
        """Find the meeting, its organizer, and what goes with them."""
        found = {name: self._text(name, payload) for name in MEETING_REFERENCES}
        reference = next((name for name in MEETING_REFERENCES if found[name] is not None), None)
        organizer = self._organizer(payload, found["joinWebUrl"])
        members = {
            "userId": organizer,
            "language": self._text("language", payload),
            "context": self._find("context", payload),
        }
        if reference is not None:
            members[reference] = found[reference]
        missing = "meeting" if reference is None else "organizer" if organizer is None else None
        return Booking(
            delivery_id=_delivery_id(self._find("deliveryId", payload)),
            members={name: value for name, value in members.items() if value is not None},
            missing=missing,
        )

    def _organizer(self, payload: Json, join_web_url: Json) -> Json:
        """Take the first of: mapped, the link's own, looked up here, by its address, the default.

        An address that Graph could not even look up counts only where there is no default.
        """
        address = self._text("organizer", payload)
        key = address.casefold() if isinstance(address, str) else ""
        return (
            self._text("userId", payload)
            or _link_organizer(join_web_url)
            or self.organizers.get(key)
            or (key if is_user_principal_name(key) else None)
            or self.default_user_id
            or address
        )

    def _text(self, name: str, payload: Json) -> Json:
        """Find a member that should be a text; what is none is left for the request's checks."""
        value = self._find(name, payload)
        if isinstance(value, str):
            value = value.strip()
        elif isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        return None if _is_nothing(value) else value

    def _find(self, name: str, payload: Json) -> Json:
        expression = self.expressions.get(name)
        if expression is None:
            return None
        try:
            found = expression.search(payload)
        except Exception:  # noqa: BLE001 - TypeError and others escape it on odd payloads
            return None
        # It makes values that JSON does not have, such as to_number of "nan".
        return strict_json.check(found).value


def compile_expression(text: str) -> "ParsedResult":
    """Compile an expression, and see that its functions exist and get what they need.

    Raises:
        ValueError: saying where it is wrong, and quoting nothing.
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


def decode(content_type: str, body: bytes) -> Json:
    """Read a body as a flat object of texts, if it is a form, else as JSON.

    Parts of a JSON text that are invalid (see `strict_json`) are left out: what a booking system
    posts beside the meeting is not for us to judge.

    Raises:
        BodyUndecodable: if it is neither.
    """
    if content_type.partition(";")[0].strip().lower() == _FORM:
        try:
            pairs = parse_qsl(
                body.decode(),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_MOST_FORM_FIELDS,
            )
        except ValueError:
            raise BodyUndecodable from None
        return dict(reversed(pairs))  # of a repeated field, the first counts
    try:
        value = strict_json.read(body).value
    except NotJson:
        raise BodyUndecodable from None
    if not isinstance(value, dict):
        raise BodyUndecodable
    return value


def _calls(node: Any) -> Iterator[tuple[str, int]]:  # noqa: ANN401 - jmespath's tree
    """Yield each function that an expression calls, with its number of arguments."""
    if node["type"] == "function_expression":
        yield node["value"], len(node["children"])
    for child in node["children"]:
        if isinstance(child, dict):
            yield from _calls(child)


def _delivery_id(value: Json) -> str | None:
    """Write one value, or several that name a delivery together; one missing makes it none."""
    if isinstance(value, list):
        complete = bool(value) and not any(_is_nothing(part) for part in value)
        return json.dumps(value) if complete else None
    return None if _is_nothing(value) or isinstance(value, dict) else str(value)


def _link_organizer(join_web_url: Json) -> str | None:
    try:
        return (
            parse_teams_link(join_web_url).organizer_id if isinstance(join_web_url, str) else None
        )
    except NotATeamsLink:
        return None


def _is_nothing(value: Json) -> bool:
    """Say whether JMESPath takes this for false."""
    return value is None or value is False or value in ("", [], {})
