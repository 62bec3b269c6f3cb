"""A request, its join link and its outcome, each with its JSON."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from shared.core import strict_json
from shared.core.errors import InvalidRequest, ServiceError, to_service_error
from shared.core.identifiers import is_guid, is_language_tag, is_request_id, is_user_principal_name
from shared.core.problem_details import to_problem
from shared.core.strict_json import Document, FieldErrors, Json, pointer
from shared.identity.bearer_tokens import Caller

if TYPE_CHECKING:  # its patterns take 10 ms to compile, and a request by ids needs none of them
    from shared.meetings.teams_links import TeamsLink

ME = "me"
"""The `userId` of a person who asks for a meeting of their own."""
MAX_CONTEXT_BYTES = 4096
MAX_DEPTH = 32
"""How deep a request's JSON may be nested. The request's own object is one level."""
MEETING_REFERENCES = ("onlineMeetingId", "joinWebUrl", "joinMeetingId")
"""The members that name a meeting, the one that takes the fewest calls to Graph first."""
type Alternatives = Sequence[Mapping[str, Json]]
"""Members to try in place of the request's own, such as another Teams link; the best first."""
_MAX_LENGTHS = {
    "onlineMeetingId": 1024,
    "joinWebUrl": 8192,  # as teams_links.MAX_LENGTH
    "joinMeetingId": 64,
    "userId": 320,
    "language": 64,
    "requestId": 128,
}
_MEMBERS = frozenset({"userId", "language", "requestId", "context", *MEETING_REFERENCES})
_LONGEST_NAME = 64
"""How much is read of a member's name that is unknown, in characters."""
_BY_LOWER_CASE = {name.lower(): name for name in _MEMBERS}
_PASTED = frozenset({"joinWebUrl", "joinMeetingId"})
"""Members that people paste with other text around. Only the link or number in them is used."""
_NOT_VISIBLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """A request for one join link: a meeting, by one reference, and its organizer."""

    request_id: str
    user_id: str | None = field(default=None, repr=False)
    """An object id, a user principal name, a mail address, `me`, or None.

    With None the Teams link names the organizer, or a signed-in person asks for their own meeting.
    """
    online_meeting_id: str | None = field(default=None, repr=False)
    link: "TeamsLink | None" = field(default=None, repr=False)
    """What was read from the Teams link or the join meeting id."""
    language: str | None = None
    context: Json = field(default=None, repr=False)
    on_behalf_of: Caller | None = field(default=None, repr=False)
    """The person whose own meeting this is; None where the app asks Graph as itself."""
    alternatives: "tuple[JoinRequest, ...]" = field(default=(), repr=False)
    """Requests to try in order if this one cannot be resolved."""

    @classmethod
    def from_document(
        cls, document: Document, *, request_id: str, from_person: bool = False
    ) -> "JoinRequest":
        """Check a request's members, and make the request. `authorize` checks the caller's rights.

        Args:
            document: the request as it was read.
            request_id: the request's own id, or the one that the app made for it.
            from_person: whether a person is signed in. Only then `userId` may be `me` or absent.

        Raises:
            InvalidRequest: with one field error for each invalid member.
        """
        errors = FieldErrors(document.field_errors)
        value = document.value
        if not isinstance(value, dict):
            if not errors:
                errors.add("The request must be one JSON object.")
            raise _invalid(errors)
        for name in value:
            if name not in _MEMBERS:
                errors.add(_unknown_member(name), name)
        texts = {name: _text(value, name, errors) for name in _MAX_LENGTHS}
        if meeting_id := texts["onlineMeetingId"]:  # people copy it from an address of Graph
            texts["onlineMeetingId"] = unquote(meeting_id)
        _check_forms(texts, errors, from_person=from_person)
        link = _read_link(texts, errors)
        _check_reference(value, link, errors, from_person=from_person)
        _check_context(value.get("context"), errors)
        if errors:
            raise _invalid(errors)
        return cls(
            request_id=request_id,
            user_id=texts["userId"],
            online_meeting_id=texts["onlineMeetingId"],
            link=link,
            language=texts["language"],
            context=value.get("context"),
        )


def combine(document: Document, alternatives: Alternatives) -> Iterator[Document]:
    """Combine a valid request with its alternatives: each organizer with each reference.

    The first combination is the request itself.
    """
    value = document.value if isinstance(document.value, dict) else {}
    own = {name: value[name] for name in MEETING_REFERENCES if name in value}
    rest = {name: value[name] for name in value if name not in own}
    references = [own, *(each for each in alternatives if "userId" not in each)]
    organizers = [{}, *(each for each in alternatives if "userId" in each)]
    for organizer in organizers:
        for reference in references:
            yield Document({**rest, **reference, **organizer})


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinLink:
    """A resolved request: the join link, with the ids that were found."""

    user_id: str
    online_meeting_id: str = field(repr=False)
    virtual_appointment_join_web_url: str = field(repr=False)

    def to_json(self, correlation: "Correlation") -> dict[str, Json]:
        """Give the result's JSON members, as callers see them."""
        return {
            "requestId": correlation.request_id,
            "userId": self.user_id,
            "onlineMeetingId": self.online_meeting_id,
            "virtualAppointmentJoinWebUrl": self.virtual_appointment_join_web_url,
            "context": correlation.context,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """A request's id and context, by which the caller recognizes it, valid or not."""

    request_id: str
    context: Json = field(default=None, repr=False)

    @classmethod
    def of(cls, document: Document, *, default_request_id: str) -> "Correlation":
        """Read a request's id and context, as far as they are valid."""
        value = document.value
        if not isinstance(value, dict):
            return cls(request_id=default_request_id)
        request_id, context = value.get("requestId"), value.get("context")
        valid = isinstance(request_id, str) and is_request_id(request_id)
        return cls(
            request_id=str(request_id) if valid else default_request_id,
            context=context if _context_error(context) is None else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a try ended: with a result's JSON members, or an error and its problem's members."""

    request_id: str
    context: Json = field(default=None, repr=False)
    members: dict[str, Json] = field(repr=False)
    error: ServiceError | None = None

    @classmethod
    def of(cls, correlation: Correlation, ended: JoinLink | Exception) -> "Outcome":
        """Make the outcome of a request that ended with a link or an error."""
        if isinstance(ended, JoinLink):
            members, error = ended.to_json(correlation), None
        else:
            error = to_service_error(ended)
            members = to_problem(error, request_id=correlation.request_id)
        return cls(
            request_id=correlation.request_id,
            context=correlation.context,
            members=members,
            error=error,
        )


def reduce_link(request: Json) -> Json:
    """Replace a request's pasted text by the Teams link in it, so that a queue message stays short.

    The link holds everything that leads to the meeting, in at most 2,048 characters.
    """
    if not isinstance(request, dict) or not isinstance(text := request.get("joinWebUrl"), str):
        return request
    from shared.meetings.teams_links import NotATeamsLink, parse_teams_link  # noqa: PLC0415 - above

    try:
        return {**request, "joinWebUrl": parse_teams_link(text).url}
    except NotATeamsLink:
        return request


def _invalid(errors: FieldErrors) -> InvalidRequest:
    return InvalidRequest(
        errors.summary("the request"),
        fix="Correct what `errors` lists and send the request again.",
        field_errors=errors,
    )


def _unknown_member(name: str) -> str:
    """Say what is wrong with a member's name, such as its capitals or an underscore."""
    letters = name[:_LONGEST_NAME].strip().replace("_", "").replace("-", "").lower()
    detail = "There is no such member."
    meant = _BY_LOWER_CASE.get(letters)
    return f"{detail} Its name is written {meant}." if meant else detail


def _text(value: dict[str, Json], name: str, errors: FieldErrors) -> str | None:
    """Read an optional text member. Null and an empty text count as absent."""
    text = value.get(name)
    if text is None or text == "":
        return None
    most = _MAX_LENGTHS[name]
    if not isinstance(text, str):
        detail = "Must be a string."
    elif len(text) > most:
        detail = f"Must not be longer than {most:,} characters."
    elif name in _PASTED:
        return text
    elif text != text.strip():
        detail = "Must not begin or end with blanks."
    elif _NOT_VISIBLE.search(text):
        detail = "Must hold no control characters and no invisible ones."
    else:
        return text
    errors.add(detail, name)
    return None


def _check_forms(texts: dict[str, str | None], errors: FieldErrors, *, from_person: bool) -> None:
    def check(name: str, valid: bool, detail: str) -> None:
        if not valid:
            errors.add(detail, name)

    user_id = texts["userId"]
    if user_id and user_id.lower() == ME:
        check(
            "userId",
            from_person,
            "`me` works only where the app asks on behalf of a person who signs in. Here, name the "
            "organizer.",
        )
    elif user_id:
        check(
            "userId",
            is_guid(user_id) or is_user_principal_name(user_id),
            "Must be the organizer's object id in Entra (a GUID), sign-in name or mail address.",
        )
    if meeting_id := texts["onlineMeetingId"]:
        # In a path these segments would lead to another resource.
        check("onlineMeetingId", meeting_id not in (".", ".."), "Is not a meeting id.")
    if language := texts["language"]:
        check("language", is_language_tag(language), "Must be a BCP 47 tag, such as de or pt-BR.")
    if request_id := texts["requestId"]:
        check("requestId", is_request_id(request_id), "Must be 1 to 128 visible ASCII characters.")


def _read_link(texts: dict[str, str | None], errors: FieldErrors) -> "TeamsLink | None":
    """Read the Teams link or the join meeting id."""
    if not (texts["joinMeetingId"] or texts["joinWebUrl"]):
        return None
    from shared.meetings import teams_links  # noqa: PLC0415 - as at the top of this module

    if number := texts["joinMeetingId"]:
        join_meeting_id = teams_links.parse_join_meeting_id(number)
        if join_meeting_id is not None:
            return teams_links.TeamsLink(join_meeting_id=join_meeting_id)
        errors.add(
            "Must be 6 to 20 digits, as the invitation prints them; white space between them and "
            "a label before them are fine. A Teams link goes into joinWebUrl.",
            "joinMeetingId",
        )
    elif text := texts["joinWebUrl"]:
        try:
            return teams_links.parse_teams_link(text)
        except teams_links.NotATeamsLink as error:
            errors.add(str(error), "joinWebUrl")
    return None


def _check_reference(
    value: dict[str, Json], link: "TeamsLink | None", errors: FieldErrors, *, from_person: bool
) -> None:
    # A member that was invalid has no value in the document, but counts as present.
    invalid = {error.pointer for error in errors}
    there = {name for name in value if value[name] not in (None, "") or pointer(name) in invalid}
    given = [name for name in MEETING_REFERENCES if name in there]
    if len(given) != 1:
        names = ", ".join(MEETING_REFERENCES)
        found = "none is there" if not given else f"these are there: {', '.join(given)}"
        errors.add(f"Give exactly one of {names}; {found}.")
    if from_person or "userId" in there:
        return
    if "joinWebUrl" not in given:
        errors.add("Missing: name the organizer.", "userId")
    elif link is not None and link.organizer_id is None:
        short = "A short Teams link does" if link.has_only_number else "This Teams link does"
        errors.add(f"{short} not say who organizes the meeting; give the organizer.", "userId")


def _check_context(context: Json, errors: FieldErrors) -> None:
    if (detail := _context_error(context)) is not None:
        errors.add(detail, "context")


def _context_error(context: Json) -> str | None:
    if context is None:
        return None
    # Each value takes a byte, and one that stands between it and the next.
    most = MAX_CONTEXT_BYTES // 2
    values, depth = strict_json.extent(context, most=most)
    if values > most or len(_compact(context)) > MAX_CONTEXT_BYTES:
        return f"Is longer than {MAX_CONTEXT_BYTES:,} bytes."
    if depth >= MAX_DEPTH:
        return f"Is nested more than {MAX_DEPTH - 1} deep."
    return None


def _compact(value: Json) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")
