"""The calls to Microsoft Graph: their paths, and how the answer is read from a response."""

import json
import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from shared.core import errors
from shared.graph import error_mapping
from shared.graph.error_mapping import Operation

_MICROSOFT_LINK = re.compile(
    r"https://(?:[a-z0-9-]+\.)*(?:microsoft\.com|cloud\.microsoft)(?::443)?"
    r"""(?:[/?#][^\x00-\x20\x7f"\\<>]*)?""",
    re.IGNORECASE,  # of ASCII, which is checked
)
_LONGEST_LINK = 8192
_LONGEST_ID = 1024
_NEVER_IN_AN_ID = re.compile("[\x00-\x20\x7f\ud800-\udfff]")
"""Blanks, control characters and lone surrogates."""

type Steps[Result] = Generator[Call, str, Result]
"""The calls of one request. It yields each call, is sent its answer, and returns the result.

Where a call fails, its error is raised at the yield.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One GET. Two equal calls are sent once and share the answer.

    Args:
        operation: what the call asks for.
        path: the path after the version, percent-encoded.
        user_id: the organizer that the fix names, if Graph refuses the call.
        language: the Accept-Language header, if any.
    """

    operation: Operation
    path: str = field(repr=False)
    user_id: str | None = None
    language: str | None = None

    def read(self, status: int, body: bytes) -> str:
        """Read the answer (a link or an id) from a 2xx response.

        Raises:
            GraphUnexpected: if the body does not have the documented shape, or the link is not
                Microsoft's.
            MeetingNotFound, UserNotFound: if a lookup found nothing.
            UserAmbiguous: if a lookup found several users.
        """
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            value = None
        if status != 200 or not isinstance(value, dict):
            raise errors.GraphUnexpected("Microsoft Graph's answer is not the documented one.")
        match self.operation:
            case Operation.JOIN_LINK:
                return _link(value)
            case Operation.FIND_MEETING:
                return _meeting_id(value)
            case Operation.FIND_USER:
                return _id(value, "a user")
            case Operation.FIND_USER_BY_MAIL:
                return _user_id(value)


def join_link(
    *, user_id: str, meeting_id: str, language: str | None, as_person: bool = False
) -> Call:
    """Ask for a meeting's virtual appointment join link.

    Args:
        user_id: the organizer's object id.
        meeting_id: the meeting's id.
        language: the Accept-Language header, if any.
        as_person: whether Graph is asked on the organizer's behalf. Then only `/me` works.

    Source: https://learn.microsoft.com/graph/api/virtualappointment-getvirtualappointmentjoinweburl
    """
    owner = _owner(user_id, as_person=as_person)
    path = f"{owner}/onlineMeetings/{_segment(meeting_id)}/getVirtualAppointmentJoinWebUrl"
    return Call(operation=Operation.JOIN_LINK, path=path, user_id=user_id, language=language)


def join_link_by_join_web_url(*, user_id: str, join_web_url: str) -> Call:
    """Ask for a join link by the meeting's Teams link as an alternate key.

    Only the generated SDKs for beta have this form. The diagnostics check whether it works.
    """
    path = (
        f"/users/{_segment(user_id)}/onlineMeetings(joinWebUrl={_literal(join_web_url)})"
        "/getVirtualAppointmentJoinWebUrl"
    )
    return Call(operation=Operation.JOIN_LINK, path=path, user_id=user_id)


def meeting_by_join_web_url(*, user_id: str, join_web_url: str, as_person: bool = False) -> Call:
    """Ask for an organizer's meeting by its Teams link, unchanged."""
    return _find_meeting(user_id, "JoinWebUrl", join_web_url, as_person=as_person)


def meeting_by_join_meeting_id(
    *, user_id: str, join_meeting_id: str, as_person: bool = False
) -> Call:
    """Ask for an organizer's meeting by its join meeting id."""
    attribute = "joinMeetingIdSettings/joinMeetingId"
    return _find_meeting(user_id, attribute, join_meeting_id, as_person=as_person)


def user(*, user_principal_name: str) -> Call:
    """Ask for a user's object id by the sign-in name (user principal name).

    Graph accepts a name that begins with `$` only in parentheses.
    """
    if user_principal_name.startswith("$"):
        doubled = user_principal_name.replace("'", "''")
        key = f"('{_segment(doubled)}')"
    else:
        key = f"/{_segment(user_principal_name)}"
    path = f"/users{key}?$select=id"
    return Call(operation=Operation.FIND_USER, path=path)


def user_by_mail(*, mail: str) -> Call:
    """Ask for the object id of the one user who has a mail address."""
    condition = quote("mail eq ", safe="") + _literal(mail)
    path = f"/users?$filter={condition}&$select=id&$top=2"  # two results: the address is ambiguous
    return Call(operation=Operation.FIND_USER_BY_MAIL, path=path)


def _find_meeting(user_id: str, attribute: str, value: str, *, as_person: bool) -> Call:
    condition = quote(f"{attribute} eq ", safe="") + _literal(value)
    path = f"{_owner(user_id, as_person=as_person)}/onlineMeetings?$filter={condition}"
    return Call(operation=Operation.FIND_MEETING, path=path, user_id=user_id)


def _owner(user_id: str, *, as_person: bool) -> str:
    return "/me" if as_person else f"/users/{_segment(user_id)}"


def _segment(text: str) -> str:
    """Percent-encode an id as one path segment. Ids are base64 and may hold `/`, `+` and `=`."""
    return quote(text, safe="")


def _literal(text: str) -> str:
    """Write an OData string: quotes are doubled, then the whole is percent-encoded."""
    doubled = text.replace("'", "''")
    return quote(f"'{doubled}'", safe="")


def _link(value: dict[str, Any]) -> str:
    link = _text(value.get("value"), "no link")
    if not is_microsoft_link(link):
        raise errors.GraphUnexpected("Microsoft Graph gave a link that is not Microsoft's.")
    return link


def _meeting_id(value: dict[str, Any]) -> str:
    match value.get("value"):
        case []:
            raise error_mapping.meeting_not_found()
        case [dict(found)]:
            return _id(found, "a meeting")
        case _:  # several would leave open which one is meant
            raise errors.GraphUnexpected("Microsoft Graph gave no single meeting.")


def _id(value: Mapping[str, Any], what: str) -> str:
    """Read an id, and check that it is safe in a path and in messages."""
    text = _text(value.get("id"), f"{what} without an id")
    if len(text) > _LONGEST_ID or text in (".", "..") or _NEVER_IN_AN_ID.search(text):
        raise errors.GraphUnexpected(f"Microsoft Graph gave {what} with a malformed id.")
    return text


def _user_id(value: dict[str, Any]) -> str:
    match value.get("value"):
        case []:
            raise error_mapping.user_not_found_by_mail()
        case [dict(found)]:
            return _id(found, "a user")
        case [_, _, *_]:
            raise error_mapping.user_ambiguous()
        case _:
            raise errors.GraphUnexpected("Microsoft Graph gave no list of users.")


def _text(value: object, otherwise: str) -> str:
    if not isinstance(value, str) or not value:
        raise errors.GraphUnexpected(f"Microsoft Graph gave {otherwise}.")
    return value


def is_microsoft_link(url: str) -> bool:
    """Say whether this may be a join link: https, and one of Microsoft's hosts.

    Nothing else is checked, because Microsoft does not document the link's form.
    """
    return (
        len(url) <= _LONGEST_LINK and url.isascii() and _MICROSOFT_LINK.fullmatch(url) is not None
    )
