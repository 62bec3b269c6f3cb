"""The calls to Microsoft Graph, as values: what is asked, and what in the answer counts."""

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
"""Blanks, control characters and halves of surrogate pairs."""

type Steps[Result] = Generator[Call, str, Result]
"""Calls that lead to a result: each is yielded, and its answer sent back in (or its error)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One GET. Two equal ones have one answer.

    Args:
        path: below the version, percent-encoded.
        user_id: whom the fixes name, where the answer is a refusal.
        language: for Accept-Language.
    """

    operation: Operation
    path: str = field(repr=False)
    user_id: str | None = None
    language: str | None = None

    def read(self, status: int, body: bytes) -> str:
        """Take what was asked for out of an answer 2xx.

        Raises:
            GraphUnexpected: for anything but the documented shape, or for a link that is not
                Microsoft's.
            MeetingNotFound: for a lookup that came back empty.
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


def join_link(*, user_id: str, meeting_id: str, language: str | None) -> Call:
    """Ask for a meeting's virtual appointment join link.

    Source: https://learn.microsoft.com/graph/api/virtualappointment-getvirtualappointmentjoinweburl
    """
    path = (
        f"/users/{_segment(user_id)}/onlineMeetings/{_segment(meeting_id)}"
        "/getVirtualAppointmentJoinWebUrl"
    )
    return Call(operation=Operation.JOIN_LINK, path=path, user_id=user_id, language=language)


def join_link_by_join_web_url(*, user_id: str, join_web_url: str) -> Call:
    """Ask for a join link by the meeting's Teams link as an alternate key.

    Only the generated SDKs for beta know it; the diagnostics find out whether a tenant does.
    """
    path = (
        f"/users/{_segment(user_id)}/onlineMeetings(joinWebUrl={_literal(join_web_url)})"
        "/getVirtualAppointmentJoinWebUrl"
    )
    return Call(operation=Operation.JOIN_LINK, path=path, user_id=user_id)


def meeting_by_join_web_url(*, user_id: str, join_web_url: str) -> Call:
    """Ask for an organizer's meeting by its Teams link, as it stands."""
    return _find_meeting(user_id, "JoinWebUrl", join_web_url)


def meeting_by_join_meeting_id(*, user_id: str, join_meeting_id: str) -> Call:
    """Ask for an organizer's meeting by the number that people type."""
    return _find_meeting(user_id, "joinMeetingIdSettings/joinMeetingId", join_meeting_id)


def user(*, user_principal_name: str) -> Call:
    """Ask for a user's object id."""
    path = f"/users/{_segment(user_principal_name)}?$select=id"
    return Call(operation=Operation.FIND_USER, path=path)


def _find_meeting(user_id: str, attribute: str, value: str) -> Call:
    condition = quote(f"{attribute} eq ", safe="") + _literal(value)
    path = f"/users/{_segment(user_id)}/onlineMeetings?$filter={condition}"
    return Call(operation=Operation.FIND_MEETING, path=path, user_id=user_id)


def _segment(text: str) -> str:
    """Encode an id as one segment of a path: ids are base64 and may hold `/`, `+` and `=`."""
    return quote(text, safe="")


def _literal(text: str) -> str:
    """Write an OData string, each quote in it doubled, percent-encoded once."""
    doubled = text.replace("'", "''")
    return quote(f"'{doubled}'", safe="")


def _link(value: dict[str, Any]) -> str:
    link = _text(value.get("value"), "no link")
    if not is_microsoft_link(link):
        raise errors.GraphUnexpected("Microsoft Graph gave a link that is not Microsoft's.")
    return link


def _meeting_id(value: dict[str, Any]) -> str:
    meetings = value.get("value")
    if meetings == []:
        raise error_mapping.meeting_not_found()
    first = meetings[0] if isinstance(meetings, list) else None
    return _id(first if isinstance(first, dict) else {}, "a meeting")


def _id(value: Mapping[str, Any], what: str) -> str:
    """Read an id. It becomes a segment of a path, and a part of messages."""
    text = _text(value.get("id"), f"{what} without an id")
    if len(text) > _LONGEST_ID or text in (".", "..") or _NEVER_IN_AN_ID.search(text):
        raise errors.GraphUnexpected(f"Microsoft Graph gave {what} with an id that is none.")
    return text


def _text(value: object, otherwise: str) -> str:
    if not isinstance(value, str) or not value:
        raise errors.GraphUnexpected(f"Microsoft Graph gave {otherwise}.")
    return value


def is_microsoft_link(url: str) -> bool:
    """Say whether this may be given out as a join link: https, and one of Microsoft's hosts.

    Beyond that the link is opaque: Microsoft documents nothing of its form.
    """
    return (
        len(url) <= _LONGEST_LINK and url.isascii() and _MICROSOFT_LINK.fullmatch(url) is not None
    )
