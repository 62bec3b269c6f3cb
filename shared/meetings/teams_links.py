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

from shared.core.identifiers import is_guid

MAX_LENGTH = 2048
_HOSTS = frozenset({"teams.microsoft.com", "teams.cloud.microsoft", "teams.live.com"})
_SHORT_PATH = re.compile(r"/meet/([0-9]{6,20})/?")
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
    """Take the organizer's object id from the `context` parameter, if it is there and valid."""
    try:
        context = json.loads(parse_qs(query)["context"][0])
        organizer = context["Oid"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return organizer if isinstance(organizer, str) and is_guid(organizer) else None


def derive_meeting_id(*, organizer_id: str, thread_id: str) -> str:
    """Work out a meeting id. The format is widely used and not documented by Microsoft."""
    return base64.b64encode(f"1*{organizer_id}*0**{thread_id}".encode()).decode()
