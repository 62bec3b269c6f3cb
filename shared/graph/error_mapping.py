"""From an answer of Microsoft Graph to an error of ours. Pure: the table, and nothing else.

Graph says never to branch on a message. For the rows below it is all that tells them apart, so
messages are matched loosely, without case, and each row falls back to the plain status.
"""

import enum
import json
import re
from dataclasses import dataclass, field
from typing import Any

from shared.core import errors, remediation
from shared.core.http_client import Headers
from shared.core.retry_after import parse_retry_after


class Operation(enum.Enum):
    """What Graph was asked, with the app role that this needs of the app itself.

    A filter on mail addresses may need less: nobody has shown that User.ReadBasic.All covers it.
    """

    JOIN_LINK = "VirtualAppointment.Read.All"
    FIND_MEETING = "OnlineMeetings.Read.All"
    FIND_USER = "User.ReadBasic.All"
    FIND_USER_BY_MAIL = "User.Read.All"


JOIN_LINK_ROLES = frozenset({"VirtualAppointment.Read.All", "VirtualAppointment.ReadWrite.All"})
_MEETING_SCOPES = frozenset({"onlinemeetings.read", "onlinemeetings.readwrite"})
DELEGATED_SCOPES = {
    Operation.JOIN_LINK: _MEETING_SCOPES
    | {"virtualappointment.read", "virtualappointment.readwrite"},
    Operation.FIND_MEETING: _MEETING_SCOPES,
}
"""What may be enough on behalf of a person, in lower case: any one. A person is not looked up."""
_POLICY_TEXTS = (
    "application access policy",
    "is not allowed to perform operations on the user",
)
_NO_ACCESS = re.compile(r"(?<![\w-])3003(?![\w-])")  # not where it is part of an id
_TIMING = frozenset({408, 425})
"""Request Timeout and Too Early: the same request may succeed later (RFC 9110, RFC 8470)."""
_USER_CODES = frozenset({"unknownerror", "request_resourcenotfound"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An answer other than 2xx, and what was asked of whom."""

    operation: Operation
    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    user_id: str | None = None
    client_id: str | None = None
    token_roles: frozenset[str] = frozenset()
    token_scopes: frozenset[str] | None = None
    """Delegated permissions, where Graph was asked on behalf of a person; else None."""
    now: float = 0.0
    """Seconds since the epoch, for a Retry-After that is a date."""


def to_error(refusal: Refusal) -> errors.ServiceError:  # noqa: PLR0911 - a row, a return
    """Find the first row that fits. A 401 is not for here: the token decides about it."""
    code, message = _code_and_message(refusal.body)
    match refusal.status:
        case 400 | 403 if refusal.operation is Operation.FIND_USER_BY_MAIL:
            return errors.UserNotFound(
                "Microsoft Graph knows no user by this sign-in name, and did not let the app look "
                f"for the mail address ({refusal.status}).",
                fix="Send the organizer's object id or sign-in name (user principal name). Or let "
                f"the app look users up by mail: {Operation.FIND_USER_BY_MAIL.value} covers that; "
                f"that {Operation.FIND_USER.value} covers it is not proven.",
            )
        case 403 if refusal.token_scopes is not None:
            return _forbidden_to_person(refusal, refusal.token_scopes, message)
        case 403:
            return _forbidden(refusal, message)
        case 404 if code in _USER_CODES or refusal.operation is Operation.FIND_USER:
            return errors.UserNotFound(
                "Microsoft Graph knows no such user, or one without a Teams licence.",
                fix="Check the organizer's object id, sign-in name (user principal name) or mail "
                "address, and that the organizer has a licence with Teams.",
            )
        case 404:
            return meeting_not_found()
        case 400 if "corrupted" in message or "invalid meeting id" in message:
            return errors.MeetingIdMalformed(
                "Microsoft Graph says that this is no meeting id.", fix=remediation.MEETING_ID
            )
        case 429:
            retry_after = parse_retry_after(refusal.headers.get("Retry-After"), now=refusal.now)
            return errors.GraphThrottled(
                "Microsoft Graph asks to slow down.", retry_after=retry_after
            )
        case status if status >= 500 or status in _TIMING:
            retry_after = parse_retry_after(refusal.headers.get("Retry-After"), now=refusal.now)
            return errors.GraphUnavailable(
                f"Microsoft Graph answered {status}.", retry_after=retry_after
            )
        case status if status >= 400:
            return errors.GraphRefused(f"Microsoft Graph refused the request with {status}.")
        case status:
            return errors.GraphUnexpected(f"Microsoft Graph answered {status}.")


def user_not_found_by_mail() -> errors.UserNotFound:
    """Tell that neither of both look-ups has found anybody."""
    return errors.UserNotFound(
        "Microsoft Graph knows no user by this sign-in name, nor by this mail address.",
        fix="Check the address, or send the organizer's object id. An address that is only another "
        "name of a mailbox (an alias) finds nobody.",
    )


def user_ambiguous() -> errors.UserAmbiguous:
    """Tell that a mail address does not say who is meant."""
    return errors.UserAmbiguous(
        "Several users of this tenant have this mail address.",
        fix="Send the object id of the user who organizes the meeting.",
    )


def meeting_not_found() -> errors.MeetingNotFound:
    """Give the one wording, for a 404 as for an empty lookup."""
    return errors.MeetingNotFound(
        "This organizer has no such meeting, or it has expired, or was deleted.",
        fix="Check that the meeting exists and that this user organizes it. A link lives 60 days "
        "past the meeting's end; a new meeting may need a minute.",
    )


def _forbidden(refusal: Refusal, message: str) -> errors.ServiceError:
    who = {"client_id": refusal.client_id, "user_id": refusal.user_id}
    on_behalf = "is not authorized to" in message and "on behalf of user" in message
    if on_behalf or any(text in message for text in _POLICY_TEXTS):
        return errors.AccessPolicyMissing(
            "No Teams application access policy lets this app act for the organizer.",
            fix=remediation.grant_access_policy(**who),
        )
    if _NO_ACCESS.search(message):
        return errors.MeetingNotAccessible(
            "Microsoft Graph says that this user has no access to the meeting (3003).",
            fix=remediation.share_meeting(**who),
        )
    role = refusal.operation.value
    if refusal.operation is not Operation.JOIN_LINK:
        return errors.LookupNotPermitted(
            f"The app may not look this up: it needs {role}.",
            fix=remediation.grant_lookup(role, **who),
        )
    if refusal.token_roles & JOIN_LINK_ROLES:
        return errors.PermissionRefused(
            "Microsoft Graph refuses although the token carries the app role.",
            fix=remediation.PERMISSION_REFUSED,
        )
    return errors.PermissionMissing(
        f"The app's token does not carry the app role {role}.",
        fix=remediation.grant_app_role(role, client_id=refusal.client_id),
    )


def _forbidden_to_person(
    refusal: Refusal, scopes: frozenset[str], message: str
) -> errors.ServiceError:
    """Judge a 403 to a person: no app role and no access policy has a part in it."""
    if _NO_ACCESS.search(message):
        return errors.MeetingNotAccessible(
            "Microsoft Graph says that you have no access to the meeting (3003).",
            fix=remediation.OWN_MEETING,
        )
    if not any(scope.lower() in DELEGATED_SCOPES.get(refusal.operation, ()) for scope in scopes):
        return errors.ConsentMissing(
            "What was consented to does not let the app ask Microsoft Graph for this on your "
            "behalf.",
            fix=remediation.grant_consent(client_id=refusal.client_id),
        )
    if refusal.operation is Operation.JOIN_LINK:
        return errors.PermissionRefused(
            "Microsoft Graph refuses although the token carries the delegated permission.",
            fix=remediation.OWN_MEETING,
        )
    return errors.LookupNotPermitted(
        "Microsoft Graph refuses the lookup although the token carries the delegated permission.",
        fix=remediation.OWN_MEETING,
    )


def _code_and_message(body: bytes) -> tuple[str, str]:
    """Read Graph's error object, in lower case; empty where it is none."""
    try:
        error: Any = json.loads(body)["error"]
        return str(error.get("code", "")).lower(), str(error.get("message", "")).lower()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return "", ""
