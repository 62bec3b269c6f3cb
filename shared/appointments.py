"""What comes in and what goes out: a request for a join link, and the link. With their JSON."""

import json
import re
from dataclasses import dataclass, field

from shared import teams_links
from shared.errors import Fault, InvalidRequest
from shared.identifiers import is_guid, is_language_tag, is_request_id, is_user_principal_name
from shared.strict_json import MAX_FAULTS, Document, Json, pointer
from shared.teams_links import NotATeamsLink, parse_teams_link

MAX_CONTEXT_BYTES = 4096
_MEETING_REFERENCES = ("onlineMeetingId", "joinWebUrl", "joinMeetingId")
_MAX_LENGTHS = {
    "onlineMeetingId": 1024,
    "joinWebUrl": teams_links.MAX_LENGTH,
    "joinMeetingId": 64,
    "userId": 320,
    "language": 64,
    "requestId": 128,
}
_MEMBERS = frozenset({"userId", "language", "requestId", "context", *_MEETING_REFERENCES})
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """One thing to resolve: a meeting, by one reference, and its organizer."""

    request_id: str
    user_id: str | None = field(default=None, repr=False)
    """An object id, a user principal name, or None where the Teams link names the organizer."""
    online_meeting_id: str | None = field(default=None, repr=False)
    join_web_url: str | None = field(default=None, repr=False)
    join_meeting_id: str | None = field(default=None, repr=False)
    language: str | None = None
    context: Json = field(default=None, repr=False)

    @classmethod
    def from_document(cls, document: Document, *, default_request_id: str) -> "JoinRequest":
        """Check everything about a request.

        Raises:
            InvalidRequest: with one fault for each thing that is wrong.
        """
        faults = list(document.faults)
        value = document.value
        if not isinstance(value, dict):
            faults = faults or [Fault("", "The body must be one JSON object.")]
            raise _invalid(faults)
        faults += [
            Fault(pointer(name), "There is no such member.") for name in value.keys() - _MEMBERS
        ]
        texts = {name: _text(value, name, faults) for name in _MAX_LENGTHS}
        _check_forms(texts, faults)
        _check_reference(value, texts, faults)
        _check_context(value.get("context"), faults)
        if faults:
            raise _invalid(faults)
        join_meeting_id = texts["joinMeetingId"]
        return cls(
            request_id=texts["requestId"] or default_request_id,
            user_id=texts["userId"],
            online_meeting_id=texts["onlineMeetingId"],
            join_web_url=texts["joinWebUrl"],
            join_meeting_id=join_meeting_id.replace(" ", "") if join_meeting_id else None,
            language=texts["language"],
            context=value.get("context"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinLink:
    """The answer to a request."""

    user_id: str
    online_meeting_id: str = field(repr=False)
    virtual_appointment_join_web_url: str = field(repr=False)

    def to_json(self, request: JoinRequest) -> dict[str, Json]:
        """Give the result as callers see it."""
        return {
            "requestId": request.request_id,
            "userId": self.user_id,
            "onlineMeetingId": self.online_meeting_id,
            "virtualAppointmentJoinWebUrl": self.virtual_appointment_join_web_url,
            "context": request.context,
        }


def correlation(document: Document, *, default_request_id: str) -> tuple[str, Json]:
    """Give what lets a caller recognize its request, sound or not: its id and its context."""
    value = document.value
    if not isinstance(value, dict):
        return default_request_id, None
    request_id, context = value.get("requestId"), value.get("context")
    sound = isinstance(request_id, str) and is_request_id(request_id)
    return (
        str(request_id) if sound else default_request_id,
        context if _length(context) <= MAX_CONTEXT_BYTES else None,
    )


def _invalid(faults: list[Fault]) -> InvalidRequest:
    ordered = sorted(faults, key=lambda fault: fault.pointer)[:MAX_FAULTS]
    count = "One thing is" if len(ordered) == 1 else f"{len(ordered)} things are"
    first = ordered[0]
    return InvalidRequest(
        f"{count} wrong with the request. {first.pointer or 'The whole'}: {first.detail}",
        fix="Correct what `errors` lists and send the request again.",
        faults=ordered,
    )


def _text(value: dict[str, Json], name: str, faults: list[Fault]) -> str | None:
    """Read an optional text member; null is as good as absent."""
    text = value.get(name)
    if text is None:
        return None
    most = _MAX_LENGTHS[name]
    if not isinstance(text, str):
        detail = "Must be a string."
    elif not text or text != text.strip():
        detail = "Must not be empty, nor begin or end with blanks."
    elif len(text) > most:
        detail = f"Must not be longer than {most:,} characters."
    elif _CONTROL_CHARACTER.search(text):
        detail = "Must hold no control characters."
    else:
        return text
    faults.append(Fault(pointer(name), detail))
    return None


def _check_forms(texts: dict[str, str | None], faults: list[Fault]) -> None:
    def check(name: str, sound: bool, detail: str) -> None:
        if not sound:
            faults.append(Fault(pointer(name), detail))

    if user_id := texts["userId"]:
        check(
            "userId",
            is_guid(user_id) or is_user_principal_name(user_id),
            "Must be the organizer's object id in Entra (a GUID) or user principal name.",
        )
    if meeting_id := texts["onlineMeetingId"]:
        # As segments of a path these would lead elsewhere.
        check("onlineMeetingId", meeting_id not in (".", ".."), "Is not a meeting id.")
    if join_meeting_id := texts["joinMeetingId"]:
        digits = join_meeting_id.replace(" ", "")
        check(
            "joinMeetingId",
            re.fullmatch(r"[0-9]{6,20}", digits) is not None,
            "Must be 6 to 20 digits, as the invitation prints them; blanks between are fine.",
        )
    if language := texts["language"]:
        check("language", is_language_tag(language), "Must be a BCP 47 tag, such as de or pt-BR.")
    if request_id := texts["requestId"]:
        check("requestId", is_request_id(request_id), "Must be 1 to 128 visible ASCII characters.")


def _check_reference(
    value: dict[str, Json], texts: dict[str, str | None], faults: list[Fault]
) -> None:
    # A member that was read as faulty is there, although it has no value.
    faulty = {fault.pointer for fault in faults}
    there = {name for name in value if value[name] is not None or pointer(name) in faulty}
    given = [name for name in _MEETING_REFERENCES if name in there]
    if len(given) != 1:
        names = ", ".join(_MEETING_REFERENCES)
        found = "none is there" if not given else f"these are there: {', '.join(given)}"
        faults.append(Fault("", f"Give exactly one of {names}; {found}."))
    organizer_known = "userId" in there
    if url := texts["joinWebUrl"]:
        try:
            link = parse_teams_link(url)
        except NotATeamsLink as error:
            faults.append(Fault("/joinWebUrl", str(error)))
            return
        if not organizer_known and link.organizer_id is None:
            short = "A short Teams link does" if link.is_short else "This Teams link does"
            faults.append(
                Fault("/userId", f"{short} not say who organizes the meeting; give the organizer.")
            )
    elif not organizer_known and "joinWebUrl" not in given:
        faults.append(Fault("/userId", "Missing: say who organizes the meeting."))


def _check_context(context: Json, faults: list[Fault]) -> None:
    if (length := _length(context)) > MAX_CONTEXT_BYTES:
        faults.append(
            Fault("/context", f"Is {length:,} bytes long; at most {MAX_CONTEXT_BYTES:,} fit.")
        )


def _length(context: Json) -> int:
    if context is None:
        return 0
    text = json.dumps(context, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode("utf-8", "replace"))
