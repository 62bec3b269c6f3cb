"""The table that turns an error response of Microsoft Graph into an error of this app.

Graph's documentation says never to decide by a message. But for some rows nothing else differs. So
messages are compared loosely and without case. Where a message is unknown, the status decides.
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
    """What a call asks Graph for. The value is the app role that the app needs for it.

    A filter on mail addresses may need less, but it is not proven that User.ReadBasic.All suffices.
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
"""The delegated permissions for each operation, in lower case. Any one of them is enough."""
_POLICY_TEXTS = (
    "application access policy",
    "is not allowed to perform operations on the user",
)
_NO_ACCESS = re.compile(r"(?<![\w-])3003(?![\w-])")  # not inside an id
_TEMPORARY = frozenset({408, 425, 429})
"""The 4xx after which a later try may succeed.

408 Request Timeout (RFC 9110), 425 Too Early (RFC 8470) and 429 Too Many Requests (RFC 6585).
"""
_USER_CODES = frozenset({"unknownerror", "request_resourcenotfound"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorResponse:
    """A response other than 2xx, and the call and the token it belongs to."""

    operation: Operation
    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    user_id: str | None = None
    client_id: str | None = None
    token_roles: frozenset[str] = frozenset()
    token_scopes: frozenset[str] | None = None
    """The token's delegated permissions; None where the app asked as itself."""
    now: float = 0.0
    """Seconds since the epoch, to read a Retry-After that is a date."""


def to_error(response: ErrorResponse) -> errors.ServiceError:  # noqa: PLR0911 - one return for each row
    """Give the error of the first row that fits. The client handles a 401 before this."""
    code, message = _code_and_message(response.body)
    match response.status:
        case 400 | 403 if response.operation is Operation.FIND_USER_BY_MAIL:
            return errors.UserNotFound(
                "Microsoft Graph knows no user by this sign-in name, and did not let the app look "
                f"for the mail address ({response.status}).",
                fix="Send the organizer's object id or sign-in name (user principal name). Or let "
                f"the app look users up by mail: {Operation.FIND_USER_BY_MAIL.value} covers that; "
                f"that {Operation.FIND_USER.value} covers it is not proven.",
            )
        case 403 if response.token_scopes is not None:
            return _forbidden_to_person(response, response.token_scopes, message)
        case 403:
            return _forbidden(response, message)
        case 404 if code in _USER_CODES or response.operation is Operation.FIND_USER:
            return errors.UserNotFound(
                "Microsoft Graph knows no such user, or one without a Teams licence.",
                fix="Check the organizer's object id, sign-in name (user principal name) or mail "
                "address, and that the organizer has a licence with Teams.",
            )
        case 404:
            return meeting_not_found()
        case 400 if "corrupted" in message or "invalid meeting id" in message:
            return errors.MeetingIdMalformed(
                "Microsoft Graph says that this is not a meeting id.", fix=remediation.MEETING_ID
            )
        case status if status >= 500 or status in _TEMPORARY:
            return _unavailable(response)
        case status if status >= 400:
            return errors.GraphRefused(f"Microsoft Graph refused the request with {status}.")
        case status:
            return errors.GraphUnexpected(f"Microsoft Graph answered {status}.")


def user_not_found_by_mail() -> errors.UserNotFound:
    """Make the error for when neither the sign-in name nor the mail address finds a user."""
    return errors.UserNotFound(
        "Microsoft Graph knows no user by this sign-in name, nor by this mail address.",
        fix="Check the address, or send the organizer's object id. An address that is only another "
        "name of a mailbox (an alias) finds nobody.",
    )


def user_ambiguous() -> errors.UserAmbiguous:
    """Make the error for a mail address that several users have."""
    return errors.UserAmbiguous(
        "Several users of this tenant have this mail address.",
        fix="Send the object id of the user who organizes the meeting.",
    )


def meeting_not_found() -> errors.MeetingNotFound:
    """Make the error for a 404 and for a lookup that found nothing."""
    return errors.MeetingNotFound(
        "This organizer has no such meeting, or it has expired, or was deleted.",
        fix="Check that the meeting exists and that this user organizes it. A link lives 60 days "
        "past the meeting's end; a new meeting may need a minute.",
    )


def _unavailable(response: ErrorResponse) -> errors.Unavailable:
    """Give the error of a status after which a later try may succeed."""
    retry_after = parse_retry_after(response.headers.get("Retry-After"), now=response.now)
    if response.status == 429:
        return errors.GraphThrottled("Microsoft Graph asks to slow down.", retry_after=retry_after)
    return errors.GraphUnavailable(
        f"Microsoft Graph answered {response.status}.", retry_after=retry_after
    )


def _forbidden(response: ErrorResponse, message: str) -> errors.ServiceError:
    who = {"client_id": response.client_id, "user_id": response.user_id}
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
    role = response.operation.value
    if response.operation is not Operation.JOIN_LINK:
        return errors.LookupNotPermitted(
            f"The app may not look this up: it needs {role}.",
            fix=remediation.grant_lookup(role, **who),
        )
    if response.token_roles & JOIN_LINK_ROLES:
        return errors.PermissionRefused(
            "Microsoft Graph refuses although the token carries the app role.",
            fix=remediation.PERMISSION_REFUSED,
        )
    return errors.PermissionMissing(
        f"The app's token does not carry the app role {role}.",
        fix=remediation.grant_app_role(role, client_id=response.client_id),
    )


def _forbidden_to_person(
    response: ErrorResponse, scopes: frozenset[str], message: str
) -> errors.ServiceError:
    """Give the error of a 403 on behalf of a person, where app roles and policies do not matter."""
    if _NO_ACCESS.search(message):
        return errors.MeetingNotAccessible(
            "Microsoft Graph says that you have no access to the meeting (3003).",
            fix=remediation.OWN_MEETING,
        )
    if not any(scope.lower() in DELEGATED_SCOPES.get(response.operation, ()) for scope in scopes):
        return errors.ConsentMissing(
            "What was consented to does not let the app ask Microsoft Graph for this on your "
            "behalf.",
            fix=remediation.grant_consent(client_id=response.client_id),
        )
    if response.operation is Operation.JOIN_LINK:
        return errors.PermissionRefused(
            "Microsoft Graph refuses although the token carries the delegated permission.",
            fix=remediation.OWN_MEETING,
        )
    return errors.LookupNotPermitted(
        "Microsoft Graph refuses the lookup although the token carries the delegated permission.",
        fix=remediation.OWN_MEETING,
    )


def _code_and_message(body: bytes) -> tuple[str, str]:
    """Read Graph's error code and message, in lower case. Empty where the body has none."""
    try:
        error: Any = json.loads(body)["error"]
        return str(error.get("code", "")).lower(), str(error.get("message", "")).lower()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return "", ""
