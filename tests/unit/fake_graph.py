"""A Graph that a test sets up: a small real server, and a client of it."""

import json
import re
from urllib.parse import unquote

from shared.core.deadline import Deadline, RequestStats
from shared.core.http_client import HttpClient
from shared.graph.client import GraphClient
from shared.meetings.models import JoinLink, JoinRequest
from shared.meetings.resolver import Cache, Resolver
from tests.unit.fake_identity import make_identity
from tests.unit.scripted_server import Reply, ScriptedServer, answer

LINK = "https://visit.teams.microsoft.com/webrtc-svc/api/route?tid=canary"
_TRANSPORT = HttpClient(pool_size=32)  # one for all: it reads a large file
_NOT_FOUND = answer(404)
_NO_ACCESS = answer(
    403,
    b'{"error":{"code":"Forbidden","message":"3003: User does not have access to lookup meeting"}}',
)
_LINK = re.compile(r"/v1.0/users/([^/]+)/onlineMeetings/([^/]+)/getVirtualAppointmentJoinWebUrl")
_BY_URL = re.compile(r"/v1.0/users/([^/]+)/onlineMeetings\?\$filter=JoinWebUrl eq '(.+)'")
_BY_NUMBER = re.compile(
    r"/v1.0/users/([^/]+)/onlineMeetings\?\$filter=joinMeetingIdSettings/joinMeetingId eq '(.+)'"
)
_USER = re.compile(r"/v1.0/users/([^/]+)\?\$select=id")
_USER_BY_MAIL = re.compile(r"/v1.0/users\?\$filter=mail eq '(.+)'&\$select=id&\$top=2")


class FakeGraph(ScriptedServer):
    """Stands in for Graph.

    Attributes:
        users: Object ids, by user principal name.
        mailboxes: The object ids of those who have a mail address.
        meetings: Meeting ids, by Teams link or join meeting id.
        links: Join links, by meeting id.
        organizers: The organizer by meeting id. A meeting without one belongs to each user.
        failures: Given to the next asks for a join link, one each.
        lookup_failures: Given to the next lookups of a meeting, one each.
        may_look_up: Whether the app may find meetings by a link or number.
        calls: What was asked, in order.
    """

    def __init__(
        self,
        *,
        users: dict[str, str] | None = None,
        meetings: dict[str, str] | None = None,
        links: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.users = users or {}
        self.mailboxes: dict[str, list[str]] = {}
        self.meetings = meetings or {}
        self.links = links or {}
        self.organizers: dict[str, str] = {}
        self.failures: list[bytes] = []
        self.lookup_failures: list[bytes] = []
        self.may_look_up = True
        self.calls: list[tuple[str, ...]] = []

    def client(self) -> GraphClient:
        """Make a client that does not wait between its tries."""
        return GraphClient(
            root=self.url,
            version="v1.0",
            client_id=None,
            http=_TRANSPORT,
            identity=make_identity(),
            sleep=lambda _: None,
        )

    def reply_to(self, target: str) -> Reply:
        """Answer as Graph does."""
        if link := _LINK.fullmatch(target):
            user, meeting = map(unquote, link.groups())
            self.calls.append(("link", user, meeting))
            if self.failures:
                return self.failures.pop(0)
            return _found("value", self.links.get(meeting))
        text = unquote(target)
        if (reply := self._reply_about_a_user(text)) is not None:
            return reply
        for how, form in (("by url", _BY_URL), ("by number", _BY_NUMBER)):
            if lookup := form.fullmatch(text):
                self.calls.append((how, *lookup.groups()))
                if self.lookup_failures or not self.may_look_up:
                    return self.lookup_failures.pop(0) if self.lookup_failures else answer(403)
                meeting_id = self.meetings.get(lookup[2])
                found = [] if meeting_id is None else [{"id": meeting_id}]
                mine = self.organizers.get(meeting_id or "", lookup[1]) == lookup[1]
                return answer(200, json.dumps({"value": found}).encode()) if mine else _NO_ACCESS
        return answer(400)

    def _reply_about_a_user(self, target: str) -> Reply | None:
        if user_name := _USER.fullmatch(target):
            self.calls.append(("user", user_name[1]))
            return _found("id", self.users.get(user_name[1]))
        if mail := _USER_BY_MAIL.fullmatch(target):
            self.calls.append(("mail", mail[1]))
            if not self.may_look_up:
                return answer(403)
            users = [{"id": user_id} for user_id in self.mailboxes.get(mail[1], [])]
            return answer(200, json.dumps({"value": users}).encode())
        return None


class RaisingResolver(Resolver):
    """A resolver that raises an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def resolve(
        self,
        request: JoinRequest,  # noqa: ARG002 - the resolver's
        *,
        deadline: Deadline,  # noqa: ARG002 - as above
        stats: RequestStats,  # noqa: ARG002 - as above
        max_tries: int = 4,  # noqa: ARG002 - as above
    ) -> JoinLink:
        """Raise."""
        raise self._error


def make_resolver(graph: FakeGraph) -> Resolver:
    """Make a resolver with an empty cache."""
    return Resolver(graph=graph.client(), cache=Cache())


def _found(name: str, value: str | None) -> bytes:
    return _NOT_FOUND if value is None else answer(200, json.dumps({name: value}).encode())
