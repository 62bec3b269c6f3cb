"""Checks the bearer tokens of callers who sign in with Entra (HTTP_AUTH=entra).

The app checks them itself, because App Service Authentication protects an app as a whole, and the
webhooks and the health route must stay open.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.core.deadline import Deadline
from shared.core.errors import Forbidden, ServiceError, Unauthorized
from shared.core.http_client import HttpClient
from shared.core.identifiers import is_guid
from shared.core.settings import ENTRA_AUTHORITY
from shared.identity.jwks import ALGORITHM, SigningKeys

SCOPE = "JoinLink.Read"
"""The scope that a person's token must have. It allows the person's own meetings."""
APP_ROLE = "JoinLink.Read.All"
"""The app role that allows any organizer's meetings, to an application or a person who has it."""
LEEWAY_SECONDS = 60
"""How far two clocks may differ when a token's times are checked, in seconds."""
_MOST_CHARACTERS = 16 * 1024
_REALM = 'Bearer realm="virtual-appointment"'


class _TokenMissing(Unauthorized):
    """The request has no token. RFC 6750 (section 3.1): the challenge then names no error code."""


class ClaimsChallenge(Unauthorized):
    """Entra requires a sign-in with more claims, such as multifactor authentication.

    Source: https://learn.microsoft.com/entra/identity-platform/claims-challenge

    Args:
        detail: what happened.
        fix: what the caller or an administrator can do.
        authorization_uri: the address where the client signs in again.
        claims: the claims to ask for then: Entra's own text, unchanged.
    """

    def __init__(self, detail: str, *, fix: str, authorization_uri: str, claims: str) -> None:
        super().__init__(detail, fix=fix)
        encoded = base64.b64encode(claims.encode("utf-8", "replace")).decode()
        self.header = (
            f'Bearer realm="", authorization_uri="{authorization_uri}", '
            f'error="insufficient_claims", claims="{encoded}"'
        )


class CallerForbidden(Forbidden):
    """The token is valid, and its owner may not call this service at all.

    Args:
        detail: what is missing.
        fix: what the caller or an administrator can do.
        caller_name: the caller's name in events.
    """

    def __init__(self, detail: str, *, fix: str, caller_name: str) -> None:
        super().__init__(detail, fix=fix)
        self.caller_name = caller_name


class _PermissionAbsent(CallerForbidden):
    """The token lacks scope and app role. RFC 6750 (section 3.1): the challenge names the scope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The caller that a checked token belongs to, and what the token allows.

    Args:
        object_id: the object id of the user, or of the application's service principal.
        client_id: the application that sent the token; None where the token does not say.
        is_person: whether a person is signed in. Otherwise an application calls as itself.
        holds_app_role: whether the caller has APP_ROLE, which allows any organizer's meetings.
        expires_on: when the token expires, in seconds since the epoch.
        takes_claims_challenges: whether the client can handle them (`xms_cc` holds `cp1`).
        token: the token as it was received.
    """

    object_id: str
    client_id: str | None
    is_person: bool
    holds_app_role: bool
    expires_on: float
    takes_claims_challenges: bool
    token: str = field(repr=False)

    @property
    def name(self) -> str:
        """The caller's name in events: an id, never a person's name or mail address."""
        return f"user:{self.object_id}" if self.is_person else f"app:{self.client_id}"


class SignIn:
    """Checks the tokens that one tenant issues for one app registration.

    Source: https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-tokens

    Args:
        tenant_id: the tenant that issues the tokens.
        client_id: the app registration that the tokens are for.
        authority: the URL of Entra, which publishes the keys; a loopback address in a local run.
        http: the process's HTTP client.
    """

    def __init__(self, *, tenant_id: str, client_id: str, authority: str, http: HttpClient) -> None:
        self._tenant_id = tenant_id.lower()
        self._audiences = (client_id.lower(), f"api://{client_id.lower()}")
        self._issuers = (
            f"{ENTRA_AUTHORITY}/{self._tenant_id}/v2.0",
            f"https://sts.windows.net/{self._tenant_id}/",
        )
        url = f"{authority}/{self._tenant_id}/discovery/v2.0/keys"
        self._keys = SigningKeys(url=url, http=http)

    def check(self, headers: Mapping[str, str], *, deadline: Deadline) -> Caller:
        """Check the token of a request, and say who the caller is.

        Args:
            headers: the request's headers, by name in lower case.
            deadline: the limit for fetching the tenant's keys, if they are needed.

        Raises:
            Unauthorized: if there is no valid token.
            Forbidden: if the caller is a guest, or the token has neither the scope nor the app
                role.
            IdentityUnavailable: if there are no keys to check the token with.
        """
        scheme, _, token = headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise _TokenMissing(
                "The request has no bearer token.",
                fix="Sign in with Entra and send the token in the header Authorization.",
            )
        return _caller(self._claims(token, deadline), token)

    def _claims(self, token: str, deadline: Deadline) -> Mapping[str, Any]:
        import jwt  # noqa: PLC0415 - 50 ms, needed only with HTTP_AUTH=entra

        try:
            if len(token) > _MOST_CHARACTERS:
                raise _invalid_token()
            key_id = jwt.get_unverified_header(token).get("kid")
            key = self._keys.find(key_id, deadline=deadline) if isinstance(key_id, str) else None
            if key is None:
                raise _invalid_token()
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self._audiences,
                issuer=self._issuers,
                leeway=LEEWAY_SECONDS,
                options={"require": ["aud", "exp", "iss", "nbf", "tid"]},
            )
        except (jwt.PyJWTError, ValueError):
            # `from None`, because PyJWT's text may quote the token.
            raise _invalid_token() from None
        if claims["tid"] != self._tenant_id or not _is_object_id(claims.get("oid")):
            raise _invalid_token()
        return claims


def _caller(claims: Mapping[str, Any], token: str) -> Caller:
    """Read the caller out of an access token's claims: a person or an application.

    Source: https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference

    Raises:
        Unauthorized: if it is not an access token, for example a person's ID token.
        Forbidden: as in `SignIn.check`.
    """
    scopes, roles, kind = claims.get("scp"), claims.get("roles"), claims.get("idtyp")
    is_person = "scp" in claims
    if kind == "app" if is_person else not _is_an_applications(claims):
        raise _invalid_token()
    holds_scope = isinstance(scopes, str) and SCOPE in scopes.split()
    holds_app_role = isinstance(roles, list) and APP_ROLE in roles
    capabilities = claims.get("xms_cc")
    caller = Caller(
        object_id=claims["oid"],
        client_id=_client_id(claims),
        is_person=is_person,
        holds_app_role=holds_app_role,
        expires_on=int(claims["exp"]),
        takes_claims_challenges=isinstance(capabilities, list) and "cp1" in capabilities,
        token=token,
    )
    if not (holds_scope if is_person else holds_app_role):
        raise _PermissionAbsent(
            f"The token holds neither the scope {SCOPE}, as a person's, nor the app role "
            f"{APP_ROLE}, as an application's.",
            fix=f"Consent to the scope {SCOPE} of this service's app registration, or assign "
            f"the app role {APP_ROLE} to the application that calls; then get a new token.",
            caller_name=caller.name,
        )
    if is_person and _is_a_guests(claims):
        raise CallerForbidden(
            "Guest accounts cannot get join links.",
            fix="Sign in with an account of this organization itself.",
            caller_name=caller.name,
        )
    return caller


def _is_an_applications(claims: Mapping[str, Any]) -> bool:
    """Say whether this is an application's access token.

    An ID token may carry app roles as well. But it names no client, and its `sub` is not the
    object id.
    """
    kind = claims.get("idtyp")
    by_itself = kind == "app" or (kind is None and claims.get("sub") == claims["oid"])
    return by_itself and _client_id(claims) is not None


def _is_a_guests(claims: Mapping[str, Any]) -> bool:
    """Say whether the user is a guest in the tenant.

    The claim `acct` says so, if the registration asks for it. Otherwise the claim `idp` does: only
    tokens of accounts from another tenant have it.
    """
    if "acct" in claims:
        return claims["acct"] not in (0, "0")
    return "idp" in claims and claims["tid"] not in str(claims["idp"])


def _client_id(claims: Mapping[str, Any]) -> str | None:
    named = claims.get("azp", claims.get("appid"))
    return named if isinstance(named, str) else None


def _is_object_id(claim: object) -> bool:
    return isinstance(claim, str) and is_guid(claim)


def challenge(error: ServiceError) -> str | None:
    """Give an error's WWW-Authenticate header, if it has one (RFC 6750, section 3)."""
    match error:
        case _TokenMissing():
            return _REALM
        case ClaimsChallenge():
            return error.header
        case Unauthorized():
            return f'{_REALM}, error="invalid_token"'
        case _PermissionAbsent():
            return f'{_REALM}, error="insufficient_scope", scope="{SCOPE}"'
        case _:
            return None


def _invalid_token() -> Unauthorized:
    return Unauthorized(
        "The bearer token is not valid for this service.",
        fix="Get a token from the tenant of ENTRA_TENANT_ID for the app registration of "
        "ENTRA_CLIENT_ID, and send it before it expires.",
    )
