"""The table that turns a refusal of Entra's token endpoint into an error of this app.

Entra's documentation says to decide by `error`, since the error numbers may change. But only the
numbers say what to do. So the known numbers come first. For an unknown number, `error` and the
status decide.

Source: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
"""

import json
from dataclasses import dataclass, field
from typing import Any

from shared.core import remediation
from shared.core.errors import (
    ConsentMissing,
    Forbidden,
    IdentityUnavailable,
    ServiceError,
    SignInSetupIncomplete,
    Unauthorized,
)
from shared.core.http_client import Headers
from shared.core.identifiers import is_guid
from shared.core.retry_after import parse_retry_after
from shared.identity.bearer_tokens import ClaimsChallenge

CREDENTIAL_NOT_FOUND = frozenset({70021, 700211, 700212, 700213, 7002138})
"""No federated credential matches, or a new one has not reached all of Entra's servers."""
_CONSENT = frozenset({65001, 65004, 90094})
_MORE_OF_THE_SIGN_IN = frozenset({50072, 50074, 50076, 50078, 50079, 50158})
_BLOCKED = frozenset({53000, 53001, 53002, 53003, 530032, 530033, 530034, 530035})
_SIGN_IN_TOO_OLD = frozenset({50132, 50133, 50173, 70043, 700082})
_TOKEN_ENDED = frozenset({500133})
_NOT_OUR_TOKEN = frozenset({50013, 500131, 240002})
_NOT_A_PERSONS = frozenset({7000114})
_NOT_ASSIGNED = frozenset({50105, 501051})
_NOT_OF_THIS_TENANT = frozenset({50020, 50034, 51004, 90072})
_ASSERTION_UNUSABLE = frozenset({700024, 700027, 700229, 700231})
_REGISTRATION_UNUSABLE = frozenset({700016, 7000112, 7000218, 700025})
_BUSY = frozenset({50196, 90024, 90033, 90055})
_BUSY_ERRORS = frozenset({"temporarily_unavailable", "server_error"})
_OPERATORS_ERRORS = frozenset(
    {"invalid_client", "unauthorized_client", "invalid_request", "invalid_scope"}
    | {"invalid_resource", "unsupported_grant_type"}
)
_LONGEST_CLAIMS = 4096
_SIGN_IN_AGAIN = "Sign in again, and send the new token."


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeRefusal:
    """A response of the token endpoint that holds no token, and the request it belongs to.

    Args:
        status, headers, body: the response.
        authority: the tenant's URL, such as `https://login.microsoftonline.com/TENANT`.
        tenant_id, client_id: the ids of the app registration.
        subject: the managed identity's principal id, as its own token says it.
        takes_claims_challenges: whether the caller's client says that it can handle them.
        now: seconds since the epoch, to read a Retry-After that is a date.
    """

    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    authority: str
    tenant_id: str
    client_id: str
    subject: str | None
    takes_claims_challenges: bool = False
    now: float = 0.0


def codes_of(refusal: ExchangeRefusal) -> frozenset[int]:
    """Read Entra's error numbers. The set is empty where the body does not have Entra's form."""
    codes = _read(refusal.body).get("error_codes")
    return (
        frozenset(code for code in codes if type(code) is int)
        if type(codes) is list
        else frozenset()
    )


def to_error(refusal: ExchangeRefusal) -> ServiceError:  # noqa: C901, PLR0911, PLR0912 - one return for each row
    """Give the error of the first row that fits."""
    said = _read(refusal.body)
    codes = codes_of(refusal)
    error, suberror = str(said.get("error")), said.get("suberror")
    what = _reference(codes, said)
    if refusal.status == 429 or refusal.status >= 500 or codes & _BUSY or error in _BUSY_ERRORS:
        return _busy(refusal, what)
    if codes & CREDENTIAL_NOT_FOUND:
        return _credential_not_found(refusal, what)
    if codes & _ASSERTION_UNUSABLE:
        return SignInSetupIncomplete(
            f"Entra does not accept the managed identity's token as a credential{what}.",
            fix="Check that MANAGED_IDENTITY_CLIENT_ID is a user-assigned managed identity of the "
            "registration's own tenant. A developer's sign-in by az login cannot stand in for it.",
        )
    if codes & _REGISTRATION_UNUSABLE:
        return SignInSetupIncomplete(
            f"Entra does not accept the app registration{what}.",
            fix=f"Check that ENTRA_CLIENT_ID ({refusal.client_id}) is a registration of the tenant "
            f"ENTRA_TENANT_ID ({refusal.tenant_id}), that it is enabled, and that it is not a "
            "public client. infra/graph/sign-in.bicep makes one.",
        )
    if codes & _CONSENT or suberror == "consent_required":
        return ConsentMissing(
            f"Nobody has consented that this app asks Microsoft Graph on people's behalf{what}.",
            fix=remediation.grant_consent(client_id=refusal.client_id),
        )
    if codes & (_BLOCKED | _MORE_OF_THE_SIGN_IN) or error == "interaction_required":
        return _conditional_access(refusal, said, codes, what)
    if codes & _NOT_A_PERSONS:
        return Forbidden(f"Only a person has meetings of their own{what}.", fix=_SIGN_IN_AGAIN)
    if codes & _NOT_ASSIGNED:
        return Forbidden(
            f"You are not assigned to this service's app registration{what}.",
            fix="An administrator assigns you to it: Enterprise applications, Users and groups.",
        )
    if codes & _NOT_OF_THIS_TENANT:
        return Forbidden(
            f"Your account is not one of this organization{what}.",
            fix="Sign in with an account of this organization itself.",
        )
    if codes & _TOKEN_ENDED:
        return Unauthorized(f"The bearer token has expired{what}.", fix=_SIGN_IN_AGAIN)
    if codes & _NOT_OUR_TOKEN:
        return Unauthorized(
            f"Entra does not accept the bearer token as one for this service{what}.",
            fix=_SIGN_IN_AGAIN,
        )
    if codes & _SIGN_IN_TOO_OLD or error == "invalid_grant":
        return Unauthorized(f"Entra requires a new sign-in{what}.", fix=_SIGN_IN_AGAIN)
    if error in _OPERATORS_ERRORS:
        return SignInSetupIncomplete(
            f"Entra refuses what the app asks for{what}.",
            fix="Run the diagnostics: they ask Entra the same without a person. Then compare the "
            "app registration with infra/graph/sign-in.bicep.",
        )
    return _busy(refusal, what)


def _read(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _reference(codes: frozenset[int], said: dict[str, Any]) -> str:
    """Give the ids that Microsoft's support asks for, without Entra's text: it may hold names."""
    parts = [f"AADSTS{code}" for code in sorted(codes)]
    trace = said.get("trace_id")
    if isinstance(trace, str) and is_guid(trace):
        parts.append(f"trace id {trace}")
    return f" ({', '.join(parts)})" if parts else ""


def _busy(refusal: ExchangeRefusal, what: str) -> IdentityUnavailable:
    return IdentityUnavailable(
        f"Entra gave no token for Microsoft Graph: it answered {refusal.status}{what}.",
        fix="Try again later. If it stays, look at Entra's service health.",
        retry_after=parse_retry_after(refusal.headers.get("Retry-After"), now=refusal.now),
    )


def _credential_not_found(refusal: ExchangeRefusal, what: str) -> SignInSetupIncomplete:
    return SignInSetupIncomplete(
        "The app registration does not have the app's managed identity as a federated "
        f"credential, or not yet everywhere{what}.",
        fix=remediation.create_federated_credential(
            client_id=refusal.client_id, tenant_id=refusal.tenant_id, subject=refusal.subject
        ),
    )


def _conditional_access(
    refusal: ExchangeRefusal, said: dict[str, Any], codes: frozenset[int], what: str
) -> ServiceError:
    claims = said.get("claims")
    asks_for = claims if isinstance(claims, str) and 0 < len(claims) <= _LONGEST_CLAIMS else None
    if codes & _BLOCKED and asks_for is None:
        return Forbidden(
            f"A conditional access policy blocks this{what}.",
            fix="Ask an administrator which policy it is: Entra's sign-in log shows it.",
        )
    detail = (
        "Microsoft Graph is guarded by a conditional access policy that this sign-in does not "
        f"meet, such as multifactor authentication{what}."
    )
    fix = (
        f"An administrator puts this service's app registration ({refusal.client_id}) into the "
        "policy that guards Microsoft Graph, so that the sign-in itself asks for what Graph wants; "
        "then sign in again."
    )
    if asks_for is None or not refusal.takes_claims_challenges:
        return Unauthorized(detail, fix=fix)
    return ClaimsChallenge(
        detail,
        fix=f"Sign in again with the claims in the header WWW-Authenticate. Or: {fix}",
        authorization_uri=f"{refusal.authority}/oauth2/v2.0/authorize",
        claims=asks_for,
    )
