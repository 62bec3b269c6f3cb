"""Microsoft Graph, as far as virtual appointment join links need it.

Its checks and responses follow Microsoft's documentation, and public reports where that says
nothing. It is stricter than Graph where Graph's tolerance is not documented.
"""

import math
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jwt

from dev.stand_ins import graph_messages
from dev.stand_ins.authority import Authority
from dev.stand_ins.graph_batch import answer_batch
from dev.stand_ins.graph_data import GraphData, Meeting, User, read_meeting_id
from dev.stand_ins.messages import RefusedError, Request, Response
from dev.stand_ins.stand_in import StandIn

_AUDIENCES = (
    "https://graph.microsoft.com",
    "https://graph.microsoft.com/",
    "00000003-0000-0000-c000-000000000000",
)
_LINK_ROLES = ("VirtualAppointment.Read.All", "VirtualAppointment.ReadWrite.All")
_LOOKUP_ROLES = ("OnlineMeetings.Read.All", "OnlineMeetings.ReadWrite.All")
_LINK_SCOPES = (
    "VirtualAppointment.Read",
    "VirtualAppointment.ReadWrite",
    "OnlineMeetings.Read",
    "OnlineMeetings.ReadWrite",
)
_LOOKUP_SCOPES = ("OnlineMeetings.Read", "OnlineMeetings.ReadWrite")
_USER_ROLES = ("User.ReadBasic.All", "User.Read.All", "User.ReadWrite.All", "Directory.Read.All")
BUSY_SECONDS = 20
"""How long calls for a busy user are throttled, and then answered, in turn. From the first call on.

It is longer than the app waits within a request, so that its callers see the 429.
"""
_CHALLENGE = (
    'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize"'
    ', client_id="00000003-0000-0000-c000-000000000000"'
)


@dataclass(frozen=True)
class _Asked:
    """A request whose token has been checked."""

    request: Request
    version: str
    claims: dict[str, Any]

    @property
    def roles(self) -> set[str]:
        return set(self.claims.get("roles", ()))

    @property
    def options(self) -> dict[str, str]:
        return graph_messages.read_query(self.request.query)

    @property
    def delegated(self) -> bool:
        """Whether the token is a person's and not an application's."""
        return "scp" in self.claims

    def require(self, roles: Iterable[str], scopes: Iterable[str]) -> None:
        if self.delegated:
            held = set(self.claims["scp"].split())
            if not held & set(scopes):
                message = (
                    "Missing scope permissions on the request. "
                    f"API requires one of '{', '.join(scopes)}'. "
                    f"Scopes on the request '{', '.join(sorted(held))}'."
                )
                raise RefusedError(403, "Forbidden", message)
        elif not self.roles & set(roles):
            message = (
                "Missing role permissions on the request. "
                f"API requires one of '{', '.join(roles)}'. "
                f"Roles on the request '{', '.join(sorted(self.roles))}'."
            )
            raise RefusedError(403, "Forbidden", message)

    def answer(self, context: str, body: dict[str, Any]) -> Response:
        return graph_messages.answer(self.request, self.version, context, body)


class Graph(StandIn):
    """Answers for one tenant.

    Args:
        authority: Issues the tokens that it accepts.

    Attributes:
        data: The tenant's users and meetings.
        empty_lookups: Whether a lookup that finds nothing gives 200 with an empty list instead of
            404. Both have been reported.
        alternate_key: Whether `onlineMeetings(joinWebUrl='…')` exists.
        lenient_links: Whether each spelling of a Teams link finds its meeting. It is not known
            what Graph does, so the app must not need it.
        clock: Gives the seconds that have passed, for busy users.
        mail_needs_more: Whether a lookup by mail address needs more than User.ReadBasic.All, which
            is not known either.
    """

    def __init__(self, authority: Authority) -> None:
        super().__init__(name="graph")
        self.data = GraphData(authority.tenant_id)
        self.empty_lookups = False
        self.alternate_key = False
        self.lenient_links = False
        self.mail_needs_more = False
        self.clock: Callable[[], float] = time.monotonic
        self._busy_since: dict[str, float] = {}
        self._authority = authority

    def join_link(self, meeting: Meeting, *, language: str | None = None) -> str:
        """Give the link for a meeting and an Accept-Language header."""
        return graph_messages.join_link(meeting, self.data.tenant_id, language)

    def refuse(self, request: Request, error: RefusedError) -> Response:
        """Make an error in Graph's shape."""
        return graph_messages.error_answer(request, error)

    def respond(self, request: Request) -> Response:
        """Answer as Graph would.

        Raises:
            RefusedError: As Graph would.
        """
        claims = self._authenticate(request)
        version, segments = graph_messages.read_path(request.path)
        if segments == ["$batch"] and request.method == "POST":
            return answer_batch(request, version=version, respond=self._respond_to_item)
        if request.method != "GET":
            raise RefusedError(405, "Request_BadRequest", "Specified HTTP method is not allowed.")
        asked = _Asked(request, version, claims)
        segments = _without_me(asked, segments)
        match [segment.lower() for segment in segments]:
            case ["users"]:
                return self._users(asked)
            case [*_] if (name := graph_messages.read_user_path(segments)) is not None:
                return self._user(asked, name)
            case ["users", _, "onlinemeetings"]:
                return self._lookup(asked, segments[1])
            case ["users", _, key, function] if _is_link(function) and "(" in key:
                return self._link_by_key(asked, segments[1], segments[2])
            case ["users", _, "onlinemeetings", _, function] if _is_link(function):
                return self._link(asked, segments[1], segments[3])
            case ["users", _, "onlinemeetings", _, *_]:
                raise graph_messages.segment_not_found(segments[-1])
            case _:
                raise graph_messages.segment_not_found(segments[0] if segments else "")

    def _respond_to_item(self, request: Request) -> Response:
        try:
            return self.respond(request)
        except RefusedError as error:
            return self.refuse(request, error)

    def _authenticate(self, request: Request) -> dict[str, Any]:
        if not request.bearer:
            raise _token_refused("Access token is empty.")
        try:
            return self._authority.verify(request.bearer, *_AUDIENCES)
        except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError) as error:
            raise _token_refused("Access token has expired or is not yet valid.") from error
        except jwt.InvalidAudienceError as error:
            raise _token_refused("Access token validation failure. Invalid audience.") from error
        except jwt.InvalidSignatureError as error:
            raise _token_refused("Access token validation failure.") from error
        except jwt.DecodeError as error:
            raise _token_refused(
                "CompactToken parsing failed with error code: 80049217."
            ) from error
        except jwt.InvalidTokenError as error:
            raise _token_refused("Access token validation failure.") from error

    def _users(self, asked: _Asked) -> Response:
        roles = [role for role in _USER_ROLES if role != "User.ReadBasic.All"]
        _require_one_of(roles if self.mail_needs_more else _USER_ROLES, asked)
        mail = graph_messages.read_user_filter(asked.options.get("$filter"))
        select = asked.options.get("$select")
        users = self.data.users_by_mail(mail)[: int(asked.options.get("$top", "100"))]
        found = [graph_messages.user_json(user, select) for user in users]
        return asked.answer("users" if select is None else f"users({select})", {"value": found})

    def _user(self, asked: _Asked, name: str) -> Response:
        _require_one_of(_USER_ROLES, asked)
        user = self.data.user(name)
        if user is None:
            message = (
                f"Resource '{name}' does not exist or one of its queried "
                "reference-property objects are not present."
            )
            raise RefusedError(404, "Request_ResourceNotFound", message)
        select = asked.options.get("$select")
        context = "users/$entity" if select is None else f"users({select})/$entity"
        return asked.answer(context, graph_messages.user_json(user, select))

    def _lookup(self, asked: _Asked, user_id: str) -> Response:
        asked.require(_LOOKUP_ROLES, _LOOKUP_SCOPES)
        user = self._organizer(asked, user_id)
        wanted = graph_messages.read_meeting_filter(asked.options.get("$filter"))
        if wanted.property == "joinweburl":
            meeting = self._meeting_by_link(user, wanted.value)
        else:
            meeting = self._meeting_by_number(asked, user, wanted.value)
        if meeting is None and not self.empty_lookups:
            raise _meeting_not_found()
        found = [] if meeting is None else [self._meeting_json(meeting)]
        return asked.answer(f"users('{user_id}')/onlineMeetings", {"value": found})

    def _link(self, asked: _Asked, user_id: str, meeting_id: str) -> Response:
        asked.require(_LINK_ROLES, _LINK_SCOPES)
        user = self._organizer(asked, user_id)
        return self._link_of(asked, self._meeting_by_id(asked, user, meeting_id))

    def _link_by_key(self, asked: _Asked, user_id: str, key: str) -> Response:
        link = graph_messages.read_alternate_key(key)
        if link is None or not self.alternate_key:
            raise graph_messages.segment_not_found(key.partition("(")[0])
        asked.require(_LINK_ROLES, _LINK_SCOPES)
        meeting = self._meeting_by_link(self._organizer(asked, user_id), link)
        if meeting is None:
            raise _meeting_not_found()
        return self._link_of(asked, meeting)

    def _link_of(self, asked: _Asked, meeting: Meeting) -> Response:
        link = self.join_link(meeting, language=asked.request.headers.get("accept-language"))
        return asked.answer("Edm.String", {"value": link})

    def _organizer(self, asked: _Asked, user_id: str) -> User:
        try:
            uuid.UUID(user_id)
        except ValueError as error:
            message = f"The userId in request URL is not a valid GUID {user_id}."
            raise RefusedError(400, "BadRequest", message) from error
        user = self.data.user(user_id)
        if user is None or not user.licensed:
            raise RefusedError(404, "UnknownError", "")
        if not user.covered and not asked.delegated:
            message = (
                "No application access policy found for this app "
                f"{asked.claims.get('appid')} on the user {user_id}."
            )
            raise RefusedError(403, "Forbidden", message)
        if user.busy:
            self._throttle(user)
        return user

    def _throttle(self, user: User) -> None:
        now = self.clock()
        passed = (now - self._busy_since.setdefault(user.object_id, now)) % (2 * BUSY_SECONDS)
        if passed < BUSY_SECONDS:
            headers = {"Retry-After": str(math.ceil(BUSY_SECONDS - passed))}
            message = "Please retry again later."
            raise RefusedError(429, "TooManyRequests", message, headers)

    def _meeting_by_id(self, asked: _Asked, user: User, meeting_id: str) -> Meeting:
        try:
            organizer = read_meeting_id(meeting_id)
        except ValueError as error:
            message = f"Invalid meeting id {meeting_id}."
            raise RefusedError(400, "InvalidArgument", message) from error
        if organizer is None:
            raise RefusedError(400, "BadRequest", "Meeting Id is corrupted.")
        meeting = self.data.meeting(meeting_id)
        invited = meeting is not None and user.object_id in meeting.attendees
        if organizer != user.object_id and not invited:
            message = f"Organizer Id mismatch User Id: {user.object_id}."
            raise RefusedError(404, "NotFound", message)
        if meeting is None:
            raise _meeting_not_found()
        self._require_cover(asked, meeting)
        return meeting

    def _meeting_by_link(self, user: User, join_web_url: str) -> Meeting | None:
        meeting = self.data.meeting_by_link(join_web_url, leniently=self.lenient_links)
        if meeting is not None and meeting.organizer != user.object_id:
            raise _no_access()
        return meeting

    def _meeting_by_number(self, asked: _Asked, user: User, join_meeting_id: str) -> Meeting | None:
        meeting = self.data.meeting_by_number(join_meeting_id)
        if meeting is None or user.object_id not in {meeting.organizer, *meeting.attendees}:
            return None
        self._require_cover(asked, meeting)
        return meeting

    def _require_cover(self, asked: _Asked, meeting: Meeting) -> None:
        organizer = self.data.user(meeting.organizer)
        if organizer is None or not (organizer.covered or asked.delegated):
            raise _no_access()

    def _meeting_json(self, meeting: Meeting) -> dict[str, Any]:
        organizer = self.data.user(meeting.organizer)
        if organizer is None:
            raise _meeting_not_found()
        return graph_messages.meeting_json(meeting, organizer, self.data.tenant_id)


def _require_one_of(roles: Iterable[str], asked: _Asked) -> None:
    """Refuse as the directory does, without naming the role that is needed."""
    if asked.roles.isdisjoint(roles):
        message = "Insufficient privileges to complete the operation."
        raise RefusedError(403, "Authorization_RequestDenied", message)


def _without_me(asked: _Asked, segments: list[str]) -> list[str]:
    """Give the user whom `/me` means. A person may ask only for that user's meetings."""
    if segments[:1] == ["me"]:
        if not asked.delegated:
            message = "/me request is only valid with delegated authentication flow."
            raise RefusedError(400, "BadRequest", message)
        return ["users", asked.claims["oid"], *segments[1:]]
    if asked.delegated and len(segments) > 2:
        message = (
            f"Organizer ID in token({asked.claims['oid']}) does not match organizer ID in request "
            f"url({segments[1]}). With delegated permission only /me endpoint is supported."
        )
        if segments[1] != asked.claims["oid"]:
            raise RefusedError(400, "General", message)
    return segments


def _is_link(name: str) -> bool:
    return name.removesuffix("()") == "getvirtualappointmentjoinweburl"


def _token_refused(message: str) -> RefusedError:
    headers = {"WWW-Authenticate": _CHALLENGE}
    return RefusedError(401, "InvalidAuthenticationToken", message, headers)


def _meeting_not_found() -> RefusedError:
    return RefusedError(404, "NotFound", "3004: Specified meeting is not found.")


def _no_access() -> RefusedError:
    return RefusedError(403, "Forbidden", "3003: User does not have access to lookup meeting.")
