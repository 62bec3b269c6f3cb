"""What a Teams link says by itself, before anybody is asked.

Two forms lead to a meeting. The long one names the organizer and the thread:
`https://teams.microsoft.com/l/meetup-join/{thread}/{message}?context={"Tid":…,"Oid":…}`. The short
one, `https://teams.microsoft.com/meet/{joinMeetingId}?p=…`, names only the join meeting id.
"""

import base64
import json
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from shared.identifiers import is_guid

MAX_LENGTH = 2048
_HOSTS = frozenset({"teams.microsoft.com", "teams.cloud.microsoft", "teams.live.com"})
_SHORT_PATH = re.compile(r"/meet/([0-9]{6,20})/?")
_CHAT_THREAD = re.compile(r"[0-9]+:.*@(thread|unq)\.")
_LINK = re.compile(r"https?://", re.IGNORECASE)
_JOIN_MEETING_ID = re.compile(r"[0-9][0-9 ]{7,}")
_MICROSOFT_LINK = re.compile(
    r"https://(?:[a-z0-9-]+\.)*(?:microsoft\.com|cloud\.microsoft)(?::443)?"
    r"""(?:[/?#][^\x00-\x20\x7f"\\<>]*)?""",
    re.IGNORECASE,  # of ASCII, which is checked
)
_LONGEST_LINK = 8192
_LONG_PATH = re.compile(r"/l/meetup-join/([^/]+)(?:/[^/]*)?/?")


class NotATeamsLink(ValueError):
    """This text leads to no Teams meeting. The message says why, and quotes nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamsLink:
    """A Teams meeting's link, kept exactly as it came, and what stands in it."""

    url: str = field(repr=False)
    organizer_id: str | None = None
    thread_id: str | None = field(default=None, repr=False)
    join_meeting_id: str | None = field(default=None, repr=False)

    @property
    def is_short(self) -> bool:
        """Whether this is the form that names neither organizer nor thread."""
        return self.join_meeting_id is not None


def parse_teams_link(url: str) -> TeamsLink:
    """Read a Teams link of the global cloud.

    Raises:
        NotATeamsLink: for anything else, saying what is the matter.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise NotATeamsLink("It is not a web address.") from None
    if parts.scheme.lower() != "https":
        raise NotATeamsLink("A Teams link starts with https://.")
    if "@" in parts.netloc or port not in (None, 443):
        raise NotATeamsLink("A Teams link holds no user name and no port.")
    host = (parts.hostname or "").rstrip(".")
    if host in ("visit.teams.microsoft.com", "visit.teams.cloud.microsoft"):
        raise NotATeamsLink("This already is a virtual appointment join link.")
    if host not in _HOSTS:
        raise NotATeamsLink(
            "Its host is none that Teams uses in the global cloud (teams.microsoft.com, "
            "teams.cloud.microsoft, teams.live.com). If mail security has rewritten the link, "
            "send the original."
        )
    if short := _SHORT_PATH.fullmatch(parts.path):
        return TeamsLink(url=url, join_meeting_id=short[1])
    if long := _LONG_PATH.fullmatch(parts.path):
        return TeamsLink(url=url, organizer_id=_organizer(parts.query), thread_id=unquote(long[1]))
    raise NotATeamsLink("It is a Teams address, but not a meeting's.")


def _organizer(query: str) -> str | None:
    """Take the organizer's object id from the `context` parameter, if it is there and sound."""
    try:
        context = json.loads(parse_qs(query)["context"][0])
        organizer = context["Oid"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return organizer if isinstance(organizer, str) and is_guid(organizer) else None


def derive_meeting_id(*, organizer_id: str, thread_id: str) -> str:
    """Work out a meeting id. The format is widely used and not documented by Microsoft."""
    return base64.b64encode(f"1*{organizer_id}*0**{thread_id}".encode()).decode()


def what_it_is_instead(meeting_id: str) -> str | None:
    """Name what somebody took for an onlineMeeting id, where it plainly is something else."""
    if meeting_id.startswith(("AAMk", "AQMk")):
        return "the id of a calendar event"
    if _CHAT_THREAD.match(unquote(meeting_id)):
        return "the id of a chat thread"
    if _LINK.match(meeting_id):
        return "a link"
    if _JOIN_MEETING_ID.fullmatch(meeting_id):
        return "a join meeting id (the number that a person types)"
    return None


def is_microsoft_link(url: str) -> bool:
    """Say whether this may be given out as a join link: https, and one of Microsoft's hosts.

    Beyond that the link is opaque: Microsoft documents nothing of its form.
    """
    return (
        len(url) <= _LONGEST_LINK and url.isascii() and _MICROSOFT_LINK.fullmatch(url) is not None
    )
