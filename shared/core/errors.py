"""Everything that can go wrong, grouped by who can fix it.

ServiceError
├── Refused                  the caller: what was sent is wrong
│   ├── InvalidRequest, UnsupportedMediaType, PayloadTooLarge, MeetingMissing
│   ├── SignatureInvalid, Unauthorized, Forbidden
│   └── MeetingIdMalformed, UserAmbiguous
├── NotFound                 time, perhaps: a new meeting is not everywhere at once
│   └── MeetingNotFound, UserNotFound
├── NotPermitted             an operator: a grant or a policy is missing
│   ├── MeetingNotAccessible, AccessPolicyMissing, LookupNotPermitted
│   ├── PermissionMissing, PermissionRefused
│   └── ConsentMissing, SignInSetupIncomplete
├── Unavailable              time: a dependency is slow, busy or away
│   ├── GraphThrottled, GraphUnavailable, GraphTimeout, DiagnosticsBusy
│   └── IdentityUnavailable, SecretsUnavailable, QueueUnavailable
├── GraphUnexpected, GraphRefused
├── NotDelivered             whoever runs the destination, or an operator; time, perhaps
│   └── DeliveryFailed, DestinationInvalid, DestinationGone
├── SettingsInvalid          an operator, before anything is tried
└── InternalError            us

Each class carries its code, its HTTP status and what a queue message does after it (`Retry`).
No text in here, nor any `detail` or `fix`, may hold a token, a link or a body.
"""

import enum
import logging
import traceback
from collections.abc import Iterable
from typing import ClassVar

from shared.core.field_errors import FieldError

_logger = logging.getLogger("virtual_appointment")


class Retry(enum.Enum):
    """What becomes of a queue message whose try ended in an error."""

    NEVER = "final"
    FEW = "a few more tries, then final"
    OPERATOR = "every 15 minutes, since an operator can fix it"
    BACK_OFF = "after Retry-After, else with growing delays"
    HOST = "given again by the host"


class ServiceError(Exception):
    """The root. `detail` says what happened, `fix` what an operator or caller can do.

    `cause` says for the log why a dependency gave no answer: the type of the innermost exception.
    """

    code: ClassVar[str]
    title: ClassVar[str]
    status: ClassVar[int]
    retry: ClassVar[Retry]
    few_tries: ClassVar[int] = 4
    """How many tries "a few more" make in all."""
    default_retry_after: ClassVar[float | None] = None
    """Seconds a caller is told to wait where nobody said; None where waiting is no answer."""

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
        self.retry_after = retry_after  # seconds, where whoever refused said so
        self.graph_request_id = graph_request_id
        self.cause = cause

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "code" in cls.__dict__:
            CODES[cls.code] = cls


CODES: dict[str, type[ServiceError]] = {}
"""Every code that a problem, a result or an event can hold, with its class."""


class Refused(ServiceError):
    """What the caller sent cannot be answered, now or later."""

    status = 400
    retry = Retry.NEVER


class InvalidRequest(Refused):
    """The request does not say one meeting of one organizer, or says it wrongly."""

    code = "invalid_request"
    title = "The request is not valid"


class UnsupportedMediaType(Refused):
    """The body is announced as something other than JSON."""

    code = "unsupported_media_type"
    title = "The content type is not supported"
    status = 415


class PayloadTooLarge(Refused):
    """The body is longer than the service reads."""

    code = "payload_too_large"
    title = "The request is too large"
    status = 413


class SignatureInvalid(Refused):
    """Every fault of a webhook's signature, and an unknown source."""

    code = "signature_invalid"
    title = "The signature is not valid"
    status = 401


class Unauthorized(Refused):
    """No valid Entra token."""

    code = "unauthorized"
    title = "A valid token is needed"
    status = 401


class Forbidden(Refused):
    """A valid Entra token that does not allow what was asked for."""

    code = "forbidden"
    title = "The token does not allow this"
    status = 403


class MeetingMissing(Refused):
    """A booking event for us that names no meeting or no organizer."""

    code = "meeting_missing"
    title = "The booking names no Teams meeting"


class MeetingIdMalformed(Refused):
    """The reference is not a meeting id."""

    code = "meeting_id_malformed"
    title = "This is not a meeting id"


class UserAmbiguous(Refused):
    """A mail address that several users have: one of them would be a guess."""

    code = "user_ambiguous"
    title = "Several users have this mail address"
    status = 409


class NotFound(ServiceError):
    """Graph does not know it: not yet, or no longer."""

    status = 404
    retry = Retry.FEW


class MeetingNotFound(NotFound):
    """No such meeting of this organizer."""

    code = "meeting_not_found"
    title = "The meeting was not found"


class UserNotFound(NotFound):
    """No such user, or one without a Teams licence."""

    code = "user_not_found"
    title = "The organizer was not found"


class NotPermitted(ServiceError):
    """A permission or a policy is missing: an operator can fix it."""

    status = 403
    retry = Retry.OPERATOR


class MeetingNotAccessible(NotPermitted):
    """Graph's 3003: another user's meeting, or its real organizer is outside the policy."""

    code = "meeting_not_accessible"
    title = "The organizer has no access to this meeting"


class PermissionMissing(NotPermitted):
    """The token lacks the app role that the join link needs."""

    code = "permission_missing"
    title = "The app lacks a Graph permission"


class PermissionRefused(NotPermitted):
    """The token has the app role and Graph refuses all the same."""

    code = "permission_refused"
    title = "Graph refused the permission"


class AccessPolicyMissing(NotPermitted):
    """No Teams application access policy covers this organizer."""

    code = "access_policy_missing"
    title = "No Teams application access policy covers the organizer"


class LookupNotPermitted(NotPermitted):
    """Finding the meeting or the user needs a permission that the app lacks."""

    code = "lookup_not_permitted"
    title = "The app may not look this up"


class ConsentMissing(NotPermitted):
    """Nobody has consented to what the app asks Graph for on behalf of people."""

    code = "consent_missing"
    title = "Nobody has consented to the Graph permission"


class SignInSetupIncomplete(NotPermitted):
    """Entra does not take the managed identity as the app registration's credential."""

    code = "sign_in_setup_incomplete"
    title = "Sign-in is not completely set up"
    status = 503
    default_retry_after = 60.0


class Unavailable(ServiceError):
    """A dependency is slow, busy or away: the same request may succeed later."""

    status = 503
    retry = Retry.BACK_OFF
    default_retry_after = 10.0


class GraphThrottled(Unavailable):
    """Graph answered 429."""

    code = "graph_throttled"
    title = "Microsoft Graph asks to slow down"
    status = 429


class GraphUnavailable(Unavailable):
    """Graph answered 5xx, or the connection was lost."""

    code = "graph_unavailable"
    title = "Microsoft Graph is not available"


class GraphTimeout(Unavailable):
    """The request's time was spent."""

    code = "graph_timeout"
    title = "Microsoft Graph did not answer in time"
    status = 504


class IdentityUnavailable(Unavailable):
    """No token for Graph that Graph accepts, or no keys to check a caller's token with."""

    code = "identity_unavailable"
    title = "The identity service is not available"


class SecretsUnavailable(Unavailable):
    """Key Vault does not answer and no value is remembered."""

    code = "secrets_unavailable"
    title = "The webhook's secret could not be read"


class QueueUnavailable(Unavailable):
    """A message could not be written."""

    code = "queue_unavailable"
    title = "The queue could not be written"


class DiagnosticsBusy(Unavailable):
    """Somebody else is running the checks just now."""

    code = "diagnostics_busy"
    title = "The diagnostics are already running"
    status = 429
    default_retry_after = 20.0


class GraphUnexpected(ServiceError):
    """An answer that makes no sense, or a link that is not Microsoft's."""

    code = "graph_unexpected"
    title = "Microsoft Graph gave an unexpected answer"
    status = 502
    retry = Retry.FEW
    few_tries = 3


class GraphRefused(ServiceError):
    """Any other 4xx of Graph."""

    code = "graph_refused"
    title = "Microsoft Graph refused the request"
    status = 502
    retry = Retry.NEVER


class NotDelivered(ServiceError):
    """An outcome did not reach a destination. Only events and dead letters say so."""

    status = 502


class DeliveryFailed(NotDelivered):
    """A destination did not take an outcome: no answer, or one that is no success."""

    code = "delivery_failed"
    title = "The destination did not take the outcome"
    retry = Retry.BACK_OFF


class DestinationInvalid(NotDelivered):
    """A destination is not, or not correctly, set up."""

    code = "destination_invalid"
    title = "The destination is not set up correctly"
    retry = Retry.OPERATOR


class DestinationGone(NotDelivered):
    """A destination takes this outcome no more: it says so (410), or its filter does."""

    code = "destination_gone"
    title = "The destination takes this outcome no more"
    retry = Retry.NEVER


class SettingsInvalid(ServiceError):
    """The app's settings are not valid: nothing is tried until they are corrected."""

    code = "settings_invalid"
    title = "The app's settings are not valid"
    status = 503
    retry = Retry.HOST
    default_retry_after = 60.0


class InternalError(ServiceError):
    """A fault of this service."""

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
    """Name the type of the innermost exception: why there is no answer, told without a URL.

    The libraries of HTTP wrap what they meet, some as the cause and some as an argument.
    """
    match error:
        case NoAnswer(reason=reason) | ServiceError(cause=str() as reason):
            return reason
    inner = [error.__cause__, getattr(error, "inner_exception", None), *error.args]  # azure-core's
    wrapped = next((one for one in inner if isinstance(one, BaseException)), None)
    return type(error).__name__ if wrapped is None else root_cause(wrapped)


def describe(error: BaseException) -> str:
    """Name an exception's type and the places it came through, innermost last."""
    frames = traceback.extract_tb(error.__traceback__)
    places = " > ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__qualname__} at {places or 'an unknown place'}"


def to_service_error(error: Exception) -> ServiceError:
    """Give the error itself, or what stands for one that nobody foresaw, which is logged."""
    if isinstance(error, ServiceError):
        return error
    _logger.error("%s", describe(error))
    return InternalError("Something failed that should not; the log says where.")
