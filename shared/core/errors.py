"""The app's errors, grouped by who can fix them.

ServiceError
├── Refused                  the caller: the request is wrong
│   ├── InvalidRequest, UnsupportedMediaType, PayloadTooLarge, MeetingMissing
│   ├── SignatureInvalid, Unauthorized, Forbidden
│   └── MeetingIdMalformed, UserAmbiguous
├── NotFound                 often nobody: Graph does not find a new meeting at once
│   └── MeetingNotFound, UserNotFound
├── NotPermitted             an operator: a grant or a policy is missing
│   ├── MeetingNotAccessible, AccessPolicyMissing, LookupNotPermitted
│   ├── PermissionMissing, PermissionRefused
│   └── ConsentMissing, SignInSetupIncomplete
├── Unavailable              nobody: a dependency is slow, busy or unreachable for a time
│   ├── GraphThrottled, GraphUnavailable, GraphTimeout, DiagnosticsBusy
│   └── IdentityUnavailable, SecretsUnavailable, QueueUnavailable
├── GraphUnexpected, GraphRefused
├── NotDelivered             the destination's owner or an operator
│   └── DeliveryFailed, DestinationInvalid, DestinationGone
├── SettingsInvalid          an operator: the app does nothing until then
└── InternalError            the app's developers

Each class has its code, its HTTP status and the rule for trying a queue message again (`Retry`).
No `detail` or `fix` may hold a token, a link or a body, because both are logged and sent out.
"""

import enum
import logging
import traceback
from collections.abc import Iterable
from typing import ClassVar

from shared.core.strict_json import FieldError

_logger = logging.getLogger("virtual_appointment")


class Retry(enum.Enum):
    """When a queue message is tried again after this error."""

    NEVER = "final"
    FEW = "a few more tries, then final"
    OPERATOR = "every 15 minutes, since an operator can fix it"
    BACK_OFF = "after Retry-After, else with growing delays"
    HOST = "given again by the host"


class ServiceError(Exception):
    """The base class of all errors that callers see.

    Args:
        detail: what happened.
        fix: what the operator or caller can do about it.
        field_errors: the invalid fields of what the caller sent, or of the settings.
        retry_after: seconds to wait before the next try, where the failed service named them.
        graph_request_id: the `request-id` of Graph's response, for Microsoft's support.
        cause: why a dependency gave no answer, for the log: the type of the innermost exception.
    """

    code: ClassVar[str]
    title: ClassVar[str]
    status: ClassVar[int]
    retry: ClassVar[Retry]
    few_tries: ClassVar[int] = 4
    """How many tries `Retry.FEW` allows in all."""
    default_retry_after: ClassVar[float | None] = None
    """The Retry-After in seconds where `retry_after` is None. None: no Retry-After is sent."""

    def __init__(
        self,
        detail: str,
        *,
        fix: str | None = None,
        field_errors: Iterable[FieldError] = (),
        retry_after: float | None = None,
        graph_request_id: str | None = None,
        cause: str | None = None,
    ) -> None:
        super().__init__(f"{self.code}: {detail}")
        self.detail = detail
        self.fix = fix
        self.field_errors = tuple(field_errors)
        self.retry_after = retry_after
        self.graph_request_id = graph_request_id
        self.cause = cause

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "code" in cls.__dict__:
            CODES[cls.code] = cls


CODES: dict[str, type[ServiceError]] = {}
"""Each code that a problem or an event can hold, with its class."""


class Refused(ServiceError):
    """The app refuses the request. The same request will fail again."""

    status = 400
    retry = Retry.NEVER


class InvalidRequest(Refused):
    """The request is not valid: a member is missing, unknown or malformed."""

    code = "invalid_request"
    title = "The request is not valid"


class UnsupportedMediaType(Refused):
    """The Content-Type header says that the body is not JSON."""

    code = "unsupported_media_type"
    title = "The content type is not supported"
    status = 415


class PayloadTooLarge(Refused):
    """The body is longer than the app accepts."""

    code = "payload_too_large"
    title = "The request is too large"
    status = 413


class SignatureInvalid(Refused):
    """A webhook's signature is missing or wrong, or its source is unknown."""

    code = "signature_invalid"
    title = "The signature is not valid"
    status = 401


class Unauthorized(Refused):
    """The request has no valid Entra token."""

    code = "unauthorized"
    title = "A valid token is needed"
    status = 401


class Forbidden(Refused):
    """The Entra token is valid, but does not allow this request."""

    code = "forbidden"
    title = "The token does not allow this"
    status = 403


class MeetingMissing(Refused):
    """A booking event that the app should handle names no meeting or no organizer."""

    code = "meeting_missing"
    title = "The booking names no Teams meeting or no organizer"


class MeetingIdMalformed(Refused):
    """The `onlineMeetingId` is not the id of an online meeting."""

    code = "meeting_id_malformed"
    title = "This is not a meeting id"


class UserAmbiguous(Refused):
    """Several users have this mail address, so the app cannot tell who is meant."""

    code = "user_ambiguous"
    title = "Several users have this mail address"
    status = 409


class NotFound(ServiceError):
    """Graph does not find the meeting or user: it is too new, or it is gone."""

    status = 404
    retry = Retry.FEW


class MeetingNotFound(NotFound):
    """Graph finds no such meeting of this organizer."""

    code = "meeting_not_found"
    title = "The meeting was not found"


class UserNotFound(NotFound):
    """Graph finds no such user, or the user has no Teams licence."""

    code = "user_not_found"
    title = "The organizer was not found"


class NotPermitted(ServiceError):
    """A permission or a policy is missing. An operator can grant it."""

    status = 403
    retry = Retry.OPERATOR


class MeetingNotAccessible(NotPermitted):
    """Graph's 403 `3003`: the meeting is another user's, or its organizer is outside the policy."""

    code = "meeting_not_accessible"
    title = "The organizer has no access to this meeting"


class PermissionMissing(NotPermitted):
    """The app's token lacks the app role that join links need."""

    code = "permission_missing"
    title = "The app lacks a Graph permission"


class PermissionRefused(NotPermitted):
    """The app's token has the app role, but Graph refuses the call."""

    code = "permission_refused"
    title = "Graph refused the permission"


class AccessPolicyMissing(NotPermitted):
    """No Teams application access policy covers this organizer."""

    code = "access_policy_missing"
    title = "No Teams application access policy covers the organizer"


class LookupNotPermitted(NotPermitted):
    """The app lacks the permission to look up a meeting or a user."""

    code = "lookup_not_permitted"
    title = "The app may not look this up"


class ConsentMissing(NotPermitted):
    """No administrator has consented to the delegated permission for people's own meetings."""

    code = "consent_missing"
    title = "Nobody has consented to the Graph permission"


class SignInSetupIncomplete(NotPermitted):
    """Entra does not accept the managed identity as the app registration's credential."""

    code = "sign_in_setup_incomplete"
    title = "Sign-in is not completely set up"
    status = 503
    default_retry_after = 60.0


class Unavailable(ServiceError):
    """A dependency is slow, busy or unreachable. The same request may succeed later."""

    status = 503
    retry = Retry.BACK_OFF
    default_retry_after = 10.0


class GraphThrottled(Unavailable):
    """Graph answered 429."""

    code = "graph_throttled"
    title = "Microsoft Graph asks to slow down"
    status = 429


class GraphUnavailable(Unavailable):
    """Graph answered 5xx, or the connection to it failed."""

    code = "graph_unavailable"
    title = "Microsoft Graph is not available"


class GraphTimeout(Unavailable):
    """Graph did not answer before the request's deadline."""

    code = "graph_timeout"
    title = "Microsoft Graph did not answer in time"
    status = 504


class IdentityUnavailable(Unavailable):
    """There is no token that Graph accepts, or there are no keys to check a caller's token with."""

    code = "identity_unavailable"
    title = "The identity service is not available"


class SecretsUnavailable(Unavailable):
    """Key Vault does not answer, and no value is cached."""

    code = "secrets_unavailable"
    title = "A secret could not be read"


class QueueUnavailable(Unavailable):
    """A message could not be written to the queue."""

    code = "queue_unavailable"
    title = "The queue could not be written"


class DiagnosticsBusy(Unavailable):
    """The diagnostics are already running."""

    code = "diagnostics_busy"
    title = "The diagnostics are already running"
    status = 429
    default_retry_after = 20.0


class GraphUnexpected(ServiceError):
    """Graph's response does not have the documented shape, or its link is not Microsoft's."""

    code = "graph_unexpected"
    title = "Microsoft Graph gave an unexpected answer"
    status = 502
    retry = Retry.FEW
    few_tries = 3


class GraphRefused(ServiceError):
    """Graph answered with any other 4xx."""

    code = "graph_refused"
    title = "Microsoft Graph refused the request"
    status = 502
    retry = Retry.NEVER


class NotDelivered(ServiceError):
    """An outcome did not reach a destination. Only events and dead letters show this error."""

    status = 502


class DeliveryFailed(NotDelivered):
    """A destination gave no response to an outcome, or one that is not 2xx."""

    code = "delivery_failed"
    title = "The destination did not take the outcome"
    retry = Retry.BACK_OFF


class DestinationInvalid(NotDelivered):
    """A destination is missing from the settings, or is invalid there."""

    code = "destination_invalid"
    title = "The destination is not set up correctly"
    retry = Retry.OPERATOR


class DestinationGone(NotDelivered):
    """A destination no longer takes this outcome: it answered 410, or its filter changed."""

    code = "destination_gone"
    title = "The destination takes this outcome no more"
    retry = Retry.NEVER


class SettingsInvalid(ServiceError):
    """The app's settings are not valid. The app does nothing until they are corrected."""

    code = "settings_invalid"
    title = "The app's settings are not valid"
    status = 503
    retry = Retry.HOST
    default_retry_after = 60.0


class InternalError(ServiceError):
    """An error in the app itself."""

    code = "internal_error"
    title = "Something went wrong in this service"
    status = 500
    retry = Retry.HOST


class NoAnswer(Exception):
    """A dependency gave no answer. `reason` says why: the type of the innermost exception."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def root_cause(error: BaseException) -> str:
    """Name the type of the innermost exception, which says why there is no response.

    The text of an exception may hold a URL, its type does not. HTTP libraries wrap exceptions, some
    as the cause and some as an argument.
    """
    match error:
        case NoAnswer(reason=reason) | ServiceError(cause=str() as reason):
            return reason
    inner = [error.__cause__, getattr(error, "inner_exception", None), *error.args]  # azure-core's
    wrapped = next((one for one in inner if isinstance(one, BaseException)), None)
    return type(error).__name__ if wrapped is None else root_cause(wrapped)


def describe(error: BaseException) -> str:
    """Give an exception's type and its traceback's places, innermost last, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    places = " > ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__qualname__} at {places or 'an unknown place'}"


def to_service_error(error: Exception) -> ServiceError:
    """Give a `ServiceError` as it is; log any other exception, and give an InternalError."""
    if isinstance(error, ServiceError):
        return error
    _logger.error("%s", describe(error))
    return InternalError("Something failed that should not; the log says where.")
