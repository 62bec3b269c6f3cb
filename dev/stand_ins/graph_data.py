"""The users and meetings that the Graph stand-in knows."""

import base64
import binascii
import re
import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote

_NAMESPACE = uuid.UUID("6f0d3c1e-5a0b-4d0e-9a53-6b7d9a1c2f48")
_MEETING_ID = re.compile(r"1\*(?P<organizer>[0-9a-f-]{36})\*0\*\*(?P<thread>19:\S+@thread\.\S+)")


@dataclass(frozen=True)
class User:
    """A user of the tenant.

    Attributes:
        object_id: Its object id, a GUID.
        user_principal_name: The name it signs in with.
        mail: Its mail address, which can differ.
        licensed: Whether it has a licence for Teams.
        covered: Whether an application access policy lets the app act for it.
        busy: Whether Graph throttles calls for its meetings half of the time.
    """

    object_id: str
    user_principal_name: str
    mail: str
    licensed: bool = True
    covered: bool = True
    busy: bool = False


@dataclass(frozen=True)
class Meeting:
    """A Teams meeting.

    Attributes:
        organizer: The object id of the user who owns it.
        id: The onlineMeeting id.
        thread_id: The id of its chat.
        join_meeting_id: The number that a person types to join, without spaces.
        join_web_url: The Teams link.
        attendees: The object ids of those who are invited.
    """

    organizer: str
    id: str
    thread_id: str
    join_meeting_id: str
    join_web_url: str = field(repr=False)
    attendees: frozenset[str] = frozenset()


class GraphData:
    """One tenant's users and meetings. The same calls always make the same ids.

    Args:
        tenant_id: The tenant's id, a GUID.
    """

    def __init__(self, tenant_id: str) -> None:
        self.tenant_id = tenant_id
        self._lock = threading.Lock()
        self._users: dict[str, User] = {}
        self._meetings: dict[str, Meeting] = {}
        self._links: dict[str, str] = {}
        self._numbers: dict[str, str] = {}
        self._made = 0

    def add_user(
        self,
        user_principal_name: str,
        *,
        object_id: str | None = None,
        mail: str | None = None,
        licensed: bool = True,
        covered: bool = True,
        busy: bool = False,
    ) -> User:
        """Add a user; the mail address is the user principal name unless told otherwise."""
        user = User(
            object_id=object_id or str(uuid.uuid5(_NAMESPACE, user_principal_name.lower())),
            user_principal_name=user_principal_name,
            mail=mail or user_principal_name,
            licensed=licensed,
            covered=covered,
            busy=busy,
        )
        return self.change_user(user)

    def change_user(
        self, user: User, *, licensed: bool | None = None, covered: bool | None = None
    ) -> User:
        """Change a user's licence or access policy, and return the user."""
        changed = replace(
            user,
            licensed=user.licensed if licensed is None else licensed,
            covered=user.covered if covered is None else covered,
        )
        with self._lock:
            for name in (user.object_id, user.user_principal_name):
                self._users[name.lower()] = changed
        return changed

    def add_meeting(
        self,
        organizer: User,
        *,
        long_link: bool = False,
        thread_id: str | None = None,
        join_meeting_id: str | None = None,
        join_web_url: str | None = None,
        attendees: Iterable[User] = (),
    ) -> Meeting:
        """Add a meeting.

        Args:
            organizer: The user who owns it.
            long_link: Whether its Teams link has the long form, which names the organizer. The
                short form is the default.
            thread_id: Its thread id; a made-up one by default.
            join_meeting_id: Its join meeting id; a made-up one by default.
            join_web_url: Its Teams link; a made-up one by default.
            attendees: The users who are invited.
        """
        with self._lock:
            self._made += 1
            seed = uuid.uuid5(_NAMESPACE, f"{organizer.object_id} {self._made}")
        thread_id = (
            thread_id or f"19:meeting_{base64.b64encode(str(seed).encode()).decode()}@thread.v2"
        )
        join_meeting_id = join_meeting_id or str(10**12 + seed.int % (9 * 10**12))
        link = self._long_link(thread_id, organizer) if long_link else _short_link(join_meeting_id)
        meeting = Meeting(
            organizer=organizer.object_id,
            id=make_meeting_id(organizer.object_id, thread_id),
            thread_id=thread_id,
            join_meeting_id=join_meeting_id,
            join_web_url=join_web_url or link,
            attendees=frozenset(attendee.object_id for attendee in attendees),
        )
        with self._lock:
            self._meetings[meeting.id] = meeting
            self._links[meeting.join_web_url] = meeting.id
            self._numbers[meeting.join_meeting_id] = meeting.id
        return meeting

    def remove_meeting(self, meeting: Meeting) -> None:
        """Delete a meeting."""
        with self._lock:
            del self._meetings[meeting.id]

    def user(self, name: str) -> User | None:
        """The user with this object id or user principal name."""
        with self._lock:
            return self._users.get(name.lower())

    def users_by_mail(self, mail: str) -> list[User]:
        """The users who have this mail address."""
        with self._lock:
            users = dict.fromkeys(self._users.values())
            return [user for user in users if user.mail.lower() == mail.lower()]

    def meeting(self, meeting_id: str) -> Meeting | None:
        """The meeting with this id."""
        with self._lock:
            return self._meetings.get(meeting_id)

    def meeting_by_link(self, join_web_url: str, *, leniently: bool = False) -> Meeting | None:
        """The meeting with exactly this Teams link.

        Args:
            join_web_url: The link.
            leniently: Whether its escapes, its host and the text after the context may differ.
        """
        with self._lock:
            meeting_id = self._links.get(join_web_url)
            if meeting_id is None and leniently:
                wanted = _gist(join_web_url)
                same = (held for link, held in self._links.items() if _gist(link) == wanted)
                meeting_id = next(same, None)
            return self._meetings.get(meeting_id or "")

    def meeting_by_number(self, join_meeting_id: str) -> Meeting | None:
        """The meeting with exactly this joinMeetingId."""
        with self._lock:
            return self._meetings.get(self._numbers.get(join_meeting_id, ""))

    def _long_link(self, thread_id: str, organizer: User) -> str:
        context = f'{{"Tid":"{self.tenant_id}","Oid":"{organizer.object_id}"}}'
        return (
            f"https://teams.microsoft.com/l/meetup-join/{_as_teams_quotes(thread_id)}/0"
            f"?context={_as_teams_quotes(context)}"
        )


def make_meeting_id(organizer: str, thread_id: str) -> str:
    """The onlineMeeting id of an organizer's meeting, in the form that Graph uses."""
    return base64.b64encode(f"1*{organizer}*0**{thread_id}".encode()).decode()


def read_meeting_id(meeting_id: str) -> str | None:
    """The organizer's object id in a meeting id, or None where it holds something else.

    Raises:
        ValueError: It is not base64.
    """
    try:
        decoded = base64.b64decode(meeting_id, validate=True)
    except binascii.Error as error:
        raise ValueError(meeting_id) from error
    match = _MEETING_ID.fullmatch(decoded.decode("utf-8", errors="replace"))
    return match["organizer"] if match else None


def _gist(join_web_url: str) -> str:
    """Give the content of a Teams link, which is the same for each spelling."""
    _, _, path = unquote(join_web_url).lower().partition("://")
    return path.partition("/")[2].partition("&")[0]


def _short_link(join_meeting_id: str) -> str:
    return f"https://teams.microsoft.com/meet/{join_meeting_id}?p={join_meeting_id[::-1][:8]}"


def _as_teams_quotes(text: str) -> str:
    return re.sub("%..", lambda match: match[0].lower(), quote(text, safe=""))
