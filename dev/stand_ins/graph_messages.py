"""Reads Graph's paths and queries, and makes its responses and errors."""

import datetime as dt
import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, unquote_plus

from dev.stand_ins.graph_data import Meeting, User
from dev.stand_ins.messages import RefusedError, Request, Response

_VERSIONS = frozenset({"v1.0", "beta"})
_SEGMENT = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})+")
_ALTERNATE_KEY = re.compile(r"onlineMeetings\(joinWebUrl=(?P<literal>'.*')\)", re.IGNORECASE)
_USER_KEY = re.compile(r"users\((?P<literal>'.*')\)", re.IGNORECASE)
_FILTER = re.compile(
    r"\s*(?P<property>[A-Za-z/]+)\s+eq\s+(?P<literal>'.*')\s*", re.IGNORECASE | re.DOTALL
)
_MEETING_PROPERTIES = ("joinweburl", "joinmeetingidsettings/joinmeetingid")
_LITERAL = re.compile(r"'(?:[^']|'')*'", re.DOTALL)
_JSON = (
    "application/json;odata.metadata=minimal;odata.streaming=true;"
    "IEEE754Compatible=false;charset=utf-8"
)
_DIAGNOSTIC = json.dumps(
    {
        "ServerInfo": {
            "DataCenter": "West Europe",
            "Slice": "E",
            "Ring": "5",
            "ScaleUnit": "000",
            "RoleInstance": "STANDIN",
        }
    },
    separators=(",", ":"),
)


@dataclass(frozen=True)
class Filter:
    """`property eq 'value'`, the property in lower case."""

    property: str
    value: str


def read_path(path: str) -> tuple[str, list[str]]:
    """Split a raw path into the version and the segments after it, each decoded once.

    Raises:
        RefusedError: It is not correctly percent-encoded, or has no version of Graph.
    """
    raw = path.removeprefix("/").split("/")
    for segment in raw:
        if not _SEGMENT.fullmatch(segment):
            raise segment_not_found(segment)
    version, *segments = (unquote(segment) for segment in raw)
    if version not in _VERSIONS:
        raise RefusedError(400, "BadRequest", f"Invalid version: {version}.")
    return version, segments


def read_query(query: str) -> dict[str, str]:
    """Read a raw query. Each value is decoded once, and a plain `+` is a space."""
    pairs = (option.partition("=") for option in query.split("&") if option)
    return {unquote(name): unquote_plus(value) for name, _, value in pairs}


def read_meeting_filter(text: str | None) -> Filter:
    """Read the `$filter` of a lookup of meetings.

    Raises:
        RefusedError: There is no filter, or one that Graph does not have.
    """
    if text is None:
        message = "Filter expression expected - /onlineMeetings?$filter=JoinWebUrl eq '{url}'."
        raise RefusedError(400, "InvalidArgument", message)
    wanted = _read_filter(text)
    if wanted.property not in _MEETING_PROPERTIES:
        raise RefusedError(400, "BadRequest", "Invalid filter clause.")
    return wanted


def read_user_filter(text: str | None) -> str:
    """Read the mail address in the `$filter` of a lookup of users.

    Raises:
        RefusedError: There is no such filter. This stand-in lists no users.
    """
    wanted = _read_filter(text or "")
    if wanted.property != "mail":
        message = "Unsupported or invalid query filter clause specified."
        raise RefusedError(400, "Request_UnsupportedQuery", message)
    return wanted.value


def _read_filter(text: str) -> Filter:
    match = _FILTER.fullmatch(text)
    if not match or not _LITERAL.fullmatch(match["literal"]):
        raise RefusedError(400, "BadRequest", "Invalid filter clause.")
    return Filter(match["property"].lower(), _unquoted(match["literal"]))


def read_user_path(segments: Sequence[str]) -> str | None:
    """Read the name in `users/NAME` or `users('NAME')`. None for another path.

    In the first form, a name that begins with `$` is read as an option.
    """
    match segments:
        case [users, name] if users.lower() == "users" and not name.startswith("$"):
            return name
        case [key] if (match := _USER_KEY.fullmatch(key)) and _LITERAL.fullmatch(match["literal"]):
            return _unquoted(match["literal"])
        case _:
            return None


def read_alternate_key(segment: str) -> str | None:
    """Read the Teams link of `onlineMeetings(joinWebUrl='…')`. None for another segment."""
    match = _ALTERNATE_KEY.fullmatch(segment)
    if not match or not _LITERAL.fullmatch(match["literal"]):
        return None
    return _unquoted(match["literal"])


def answer(request: Request, version: str, context: str, body: dict[str, Any]) -> Response:
    """Make a successful response in Graph's shape.

    Args:
        request: The request.
        version: v1.0 or beta.
        context: The text after `$metadata#` in the response's context.
        body: The response's members.
    """
    url = f"https://graph.microsoft.com/{version}/$metadata#{context}"
    headers = {**_headers(request), "Content-Type": _JSON}
    return Response.json(200, {"@odata.context": url, **body}, headers)


def error_answer(request: Request, error: RefusedError) -> Response:
    """Make an error in Graph's shape."""
    headers = _headers(request)
    inner = {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "request-id": headers["request-id"],
        "client-request-id": headers["client-request-id"],
    }
    if error.status == 429:
        inner = {"code": "429", **inner}
    body = {"error": {"code": error.code, "message": error.message, "innerError": inner}}
    return Response.json(error.status, body, {**headers, **error.headers})


def segment_not_found(segment: str) -> RefusedError:
    """Make the error for a path that does not exist."""
    return RefusedError(400, "BadRequest", f"Resource not found for the segment '{segment}'.")


def meeting_json(meeting: Meeting, organizer: User, tenant_id: str) -> dict[str, Any]:
    """Give a meeting's JSON as a lookup does, with the members that matter here."""
    identity = {"user": {"id": organizer.object_id, "tenantId": tenant_id, "displayName": None}}
    return {
        "id": meeting.id,
        "joinWebUrl": meeting.join_web_url,
        "subject": None,
        "joinMeetingIdSettings": {
            "isPasscodeRequired": False,
            "joinMeetingId": meeting.join_meeting_id,
            "passcode": None,
        },
        "participants": {
            "organizer": {"upn": organizer.user_principal_name, "identity": identity},
            "attendees": [],
        },
        "chatInfo": {"threadId": meeting.thread_id, "messageId": "0"},
    }


def user_json(user: User, select: str | None) -> dict[str, Any]:
    """Give a user's selected properties, or all that User.ReadBasic.All shows."""
    properties = {
        "id": user.object_id,
        "userPrincipalName": user.user_principal_name,
        "mail": user.mail,
        "displayName": user.user_principal_name.partition("@")[0],
    }
    names = list(properties) if select is None else [name.strip() for name in select.split(",")]
    return {name: properties[name] for name in names if name in properties}


def join_link(meeting: Meeting, tenant_id: str, language: str | None) -> str:
    """Give the virtual appointment join link, which is the same for a meeting and a language."""
    link = (
        "https://visit.teams.microsoft.com/webrtc-svc/api/route"
        f"?tid={tenant_id}&convId={quote(meeting.thread_id, safe=':@')}&anonymous=True"
    )
    return link if language is None else f"{link}&language={quote(language, safe='')}"


def _headers(request: Request) -> dict[str, str]:
    request_id = str(uuid.uuid4())
    return {
        "request-id": request_id,
        "client-request-id": request.headers.get("client-request-id", request_id),
        "x-ms-ags-diagnostic": _DIAGNOSTIC,
        "Cache-Control": "no-cache",
    }


def _unquoted(literal: str) -> str:
    return literal[1:-1].replace("''", "'")
