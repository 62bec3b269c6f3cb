"""The booking systems in WEBHOOK_SOURCES. The app checks them once, when it starts.

A field error disables its own source and no other. Its pointer leads into the source's
configuration. Its text does not quote a value.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, cast

from shared.core.configuration import ConfigurationReader, numbered, shown_name
from shared.core.identifiers import (
    is_guid,
    is_header_name,
    is_source_name,
    is_user_principal_name,
)
from shared.core.strict_json import FieldError
from shared.meetings.models import MEETING_REFERENCES
from shared.webhooks.mapping import FIELDS, Mapper, compile_expression
from shared.webhooks.presets import PRESETS
from shared.webhooks.signatures import (
    TOLERANCE_SECONDS,
    BodyHmac,
    Scheme,
    SharedToken,
    Standard,
    Timestamped,
)

if TYPE_CHECKING:
    from jmespath.parser import ParsedResult

_MEMBERS = frozenset(
    {"preset", "scheme", "secret", "mapping", "reply", "organizers", "defaultUserId"}
)
_OPTIONS = {
    "standard": frozenset({"toleranceSeconds"}),
    "timestamped": frozenset({"header", "signatureKey", "timestampUnit", "toleranceSeconds"}),
    "body-hmac": frozenset({"header", "encoding", "prefix", "url"}),
    "token": frozenset({"header", "prefix"}),
}
_MOST_TOLERANCE_SECONDS = 3600
_SIGNATURE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_CONDITION_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_LINK_MISSING = (
    "Look at the booking. If it has its Teams link by now, send the link and the organizer to "
    "POST /api/join-link or to the queue. If the event held the link, correct the source's mapping."
)
_ORGANIZER_MISSING = "Give the source a mapping for the organizer, or a defaultUserId."
_ABOUT = {"linkMissing": MEETING_REFERENCES, "organizerMissing": ("userId", "organizer")}
"""Which expressions of its preset each of these texts is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One booking system.

    Attributes:
        name: Its name in the webhook's address.
        scheme: Its signature scheme.
        secret: The name of its secret in Key Vault.
        mapper: The expressions that find the meeting in its events.
        replies_inline: Whether the response to the webhook holds the link.
        inline_seconds: How old an event may be, in seconds, to get the link in the response; None
            where the signature covers a time.
        link_missing: The fix where a booking for Teams has no Teams link.
        organizer_missing: The fix where a booking for Teams names no organizer.
    """

    name: str
    scheme: Scheme
    secret: str
    mapper: Mapper
    replies_inline: bool
    inline_seconds: float | None
    link_missing: str
    organizer_missing: str


@dataclass(frozen=True, slots=True)
class Sources:
    """All sources: the valid ones, and the field errors of the invalid ones."""

    valid: Mapping[str, Source] = field(default_factory=dict)
    invalid: Mapping[str, tuple[FieldError, ...]] = field(default_factory=dict)


def read_sources(configured: Mapping[str, object]) -> Sources:
    """Check each source in the value of WEBHOOK_SOURCES."""
    valid: dict[str, Source] = {}
    invalid: dict[str, tuple[FieldError, ...]] = {}
    for place, (name, value) in enumerate(configured.items(), 1):
        reader = _SourceReader()
        source = reader.source(name, value)
        if reader.field_errors:
            invalid[shown_name(name, place)] = tuple(reader.field_errors)
        else:
            valid[name] = source
    return Sources(MappingProxyType(valid), MappingProxyType(invalid))


class _SourceReader(ConfigurationReader):
    """Reads one source, and collects its field errors."""

    def source(self, name: str, value: object) -> Source:
        if not is_source_name(name):
            self._complain("Its name must be 1 to 64 letters, digits, hyphens and underscores.")
        given = self._object(value)
        self._refuse_others(given, _MEMBERS)
        merged = self._with_preset(given)
        if isinstance(own := given.get("mapping"), dict):  # another value is refused below
            self._refuse_others(own, FIELDS, "mapping")
        scheme, mapper = self._scheme(merged.get("scheme")), self._mapper(merged)
        return Source(
            name=name,
            scheme=scheme,
            secret=self._secret_name(merged, "secret"),
            mapper=mapper,
            replies_inline=self._replies_inline(merged, scheme, mapper),
            inline_seconds=None if scheme.covers_time else TOLERANCE_SECONDS,
            link_missing=str(merged.get("linkMissing", _LINK_MISSING)),
            organizer_missing=str(merged.get("organizerMissing", _ORGANIZER_MISSING)),
        )

    def _with_preset(self, given: Mapping[str, object]) -> Mapping[str, object]:
        name = given.get("preset")
        if name is None:
            return given
        if not isinstance(name, str) or name not in PRESETS:
            self._complain(f"Must be one of {', '.join(sorted(PRESETS))}.", "preset")
            name = "standard"  # with an unknown preset, missing members are not reported as well
        own = self._object(given.get("mapping"), "mapping")
        preset = {
            member: value
            for member, value in PRESETS[name].items()
            if own.keys().isdisjoint(_ABOUT.get(member, ()))
        }
        mapping = {**self._object(preset["mapping"]), **own}
        return {**preset, **given, "mapping": mapping}

    def _replies_inline(self, merged: Mapping[str, object], scheme: Scheme, mapper: Mapper) -> bool:
        """Read `reply`. It must not let a recorded request get links at any later time."""
        inline = self._choice(merged, "reply", ("queue", "inline")) == "inline"
        if inline and not scheme.covers_body:
            self._complain(
                "Must be queue with this scheme: with a recorded request, anybody could get any "
                "link.",
                "reply",
            )
        elif inline and not scheme.covers_time and "sentAt" not in mapper.expressions:
            self._complain(
                "Missing: this scheme says nothing about time, so that reply inline needs to know "
                "when the event was sent.",
                *("mapping", "sentAt"),
            )
        return inline

    def _scheme(self, value: object) -> Scheme:
        if value is None:
            self._complain("Missing: say how the system signs, or name a preset.", "scheme")
            return Standard()
        options = {"type": value} if isinstance(value, str) else self._object(value, "scheme")
        kind = self._choice(options, "type", tuple(_OPTIONS), "scheme")
        if kind not in _OPTIONS:
            return Standard()
        self._refuse_others(options, _OPTIONS[kind] | {"type"}, "scheme")
        return self._scheme_of(kind, options)

    def _scheme_of(self, kind: str, options: Mapping[str, object]) -> Scheme:
        match kind:
            case "timestamped":
                unit = self._choice(options, "timestampUnit", ("s", "ms"), "scheme")
                return Timestamped(
                    header=self._header(options, "header"),
                    signature_key=self._signature_key(options),
                    units_per_second=1 if unit == "s" else 1000,
                    tolerance_seconds=self._tolerance(options),
                )
            case "body-hmac":
                encoding = self._choice(options, "encoding", ("hex", "base64"), "scheme")
                return BodyHmac(
                    header=self._header(options, "header"),
                    encoding=cast("Literal['hex', 'base64']", encoding),
                    prefix=self._text(options, "prefix", "", "scheme"),
                    url=self._text(options, "url", "", "scheme"),
                )
            case "token":
                return SharedToken(
                    header=self._header(options, "header"),
                    prefix=self._text(options, "prefix", "", "scheme"),
                )
            case _:
                return Standard(tolerance_seconds=self._tolerance(options))

    def _signature_key(self, options: Mapping[str, object]) -> str:
        key = self._text(options, "signatureKey", "v1", "scheme")
        if not _SIGNATURE_KEY.fullmatch(key):
            self._complain(
                "Must be letters, digits, hyphens and underscores.", "scheme", "signatureKey"
            )
        return key

    def _mapper(self, merged: Mapping[str, object]) -> Mapper:
        mapping = self._object(merged.get("mapping"), "mapping")
        expressions = {name: mapping[name] for name in FIELDS if name in mapping and name != "when"}
        if not any(mapping.get(name) is not None for name in MEETING_REFERENCES):
            self._complain(
                f"Must say where one of {', '.join(MEETING_REFERENCES)} stands.", "mapping"
            )
        return Mapper(
            expressions=self._compiled(expressions, "mapping"),
            conditions=self._conditions(mapping.get("when")),
            organizers=self._organizers(merged.get("organizers")),
            default_user_id=self._user_id(merged.get("defaultUserId")),
        )

    def _conditions(self, when: object) -> "dict[str, ParsedResult]":
        """Read one condition, or an object of conditions by name. Errors show their numbers."""
        if not isinstance(when, dict):
            return self._compiled({"when": when}, "mapping")
        conditions = {}
        for number, (name, text) in enumerate(when.items(), 1):
            place = ("mapping", "when", numbered(number))
            if not _CONDITION_NAME.fullmatch(name):
                self._complain(
                    "A condition's name must be 1 to 40 letters, digits, hyphens and underscores.",
                    *place,
                )
            if (condition := self._expression(text, *place)) is not None:
                conditions[name] = condition
        return conditions

    def _compiled(
        self, expressions: Mapping[str, object], *place: str
    ) -> "dict[str, ParsedResult]":
        """Compile expressions, by the names of known members."""
        compiled = {
            name: self._expression(text, *place, name) for name, text in expressions.items()
        }
        return {name: each for name, each in compiled.items() if each is not None}

    def _expression(self, text: object, *place: str) -> "ParsedResult | None":
        """Compile an expression. Null removes the preset's expression."""
        if text is None:
            return None
        try:
            if not isinstance(text, str):
                raise ValueError("Must be a JMESPath expression.")  # noqa: TRY301 - as below
            return compile_expression(text)
        except ValueError as error:
            self._complain(str(error), *place)
            return None

    def _organizers(self, value: object) -> dict[str, str]:
        organizers = self._object(value, "organizers")
        for user_id in organizers.values():
            if not isinstance(user_id, str) or not is_guid(user_id):
                self._complain("Every address must lead to an object id (a GUID).", "organizers")
                break
        return {address.strip().casefold(): str(user_id) for address, user_id in organizers.items()}

    def _user_id(self, value: object) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str) or not (is_guid(value) or is_user_principal_name(value)):
            self._complain("Must be an object id or a user principal name.", "defaultUserId")
        return str(value)

    def _header(self, options: Mapping[str, object], member: str) -> str:
        name = options.get(member)
        if not isinstance(name, str) or not is_header_name(name):
            self._complain("Must be the name of a header.", "scheme", member)
        return str(name).lower()

    def _tolerance(self, options: Mapping[str, object]) -> float:
        value = options.get("toleranceSeconds", TOLERANCE_SECONDS)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < cast("float", value) <= _MOST_TOLERANCE_SECONDS:
            self._complain(
                f"Must be a number of seconds up to {_MOST_TOLERANCE_SECONDS}.",
                "scheme",
                "toleranceSeconds",
            )
            return TOLERANCE_SECONDS
        return float(cast("float", value))
