"""Who may call when callers sign in with Entra: the check of their bearer tokens.

The app does it itself: App Service Authentication covers an app as a whole, webhooks and the
health route included.
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
"""What a person's token has to hold: it opens the person's own meetings."""
APP_ROLE = "JoinLink.Read.All"
"""What opens any organizer's meetings, to an application or a person whom it is assigned to."""
LEEWAY_SECONDS = 60
"""By how much clocks may differ."""
_MOST_CHARACTERS = 16 * 1024
_REALM = 'Bearer realm="virtual-appointment"'


class _TokenMissing(Unauthorized):
    """There is no token: by RFC 6750 the challenge then says no more than how to send one."""


class ClaimsChallenge(Unauthorized):
    """Entra wants more of the sign-in than this token shows, and says what.

    Source: https://learn.microsoft.com/entra/identity-platform/claims-challenge

    Args:
        detail: what happened.
        fix: what the caller or an administrator can do.
        authorization_uri: where the client signs in again.
        claims: what it asks for then: Entra's own text, unchanged.
    """

    def __init__(self, detail: str, *, fix: str, authorization_uri: str, claims: str) -> None:
        super().__init__(detail, fix=fix)
        encoded = base64.b64encode(claims.encode("utf-8", "replace")).decode()
        self.header = (
            f'Bearer realm="", authorization_uri="{authorization_uri}", '
            f'error="insufficient_claims", claims="{encoded}"'
        )


class _PermissionAbsent(Forbidden):
    """The token holds too little: by RFC 6750 the challenge then names the scope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whose token a request came with, and what it allows.

    Args:
        object_id: of the user, or of the application's service principal.
        client_id: of the application that sent the token, None where the token does not say.
        is_person: whether a person is signed in; else an application calls by itself.
        holds_app_role: whether APP_ROLE is assigned: any organizer's meetings.
        expires_on: when the token ends, in seconds since the epoch.
        takes_claims_challenges: whether the client says that it can (`xms_cc` holds `cp1`).
        token: as it was received.
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
        """Name the caller in events: by an id, never by a name or an address."""
        return f"user:{self.object_id}" if self.is_person else f"app:{self.client_id}"


class SignIn:
    """Checks tokens that one tenant issues for one app registration.

    Source: https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-tokens

    Args:
        tenant_id: whose tokens.
        client_id: of the app registration they are for.
        authority: where the keys are published; a loopback address in a local run.
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
        """Let a caller pass, or not, and say who it is.

        Args:
            headers: of the request, by name in lower case.
            deadline: the time there is, should keys have to be fetched.

        Raises:
            Unauthorized: without a valid token.
            Forbidden: for a guest, and where the token holds neither the scope nor the app role.
            IdentityUnavailable: if there are no keys to check it with.
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
        import jwt  # noqa: PLC0415 - 50 ms, and only for this sign-in

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
            # From None: what PyJWT says may quote the token.
            raise _invalid_token() from None
        if claims["tid"] != self._tenant_id or not _is_object_id(claims.get("oid")):
            raise _invalid_token()
        return claims


def _caller(claims: Mapping[str, Any], token: str) -> Caller:
    """Tell a person from an application, by what Entra says of either in access tokens.

    Source: https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference

    Raises:
        Unauthorized: for what is no access token, such as the ID token of somebody who signed in.
        Forbidden: as `SignIn.check` says.
    """
    scopes, roles, kind = claims.get("scp"), claims.get("roles"), claims.get("idtyp")
    is_person = "scp" in claims
    if kind == "app" if is_person else not _is_an_applications(claims):
        raise _invalid_token()
    holds_scope = isinstance(scopes, str) and SCOPE in scopes.split()
    holds_app_role = isinstance(roles, list) and APP_ROLE in roles
    if not (holds_scope if is_person else holds_app_role):
        raise _PermissionAbsent(
            f"The token holds neither the scope {SCOPE}, as a person's, nor the app role "
            f"{APP_ROLE}, as an application's.",
            fix=f"Consent to the scope {SCOPE} of this service's app registration, or assign "
            f"the app role {APP_ROLE} to the application that calls; then get a new token.",
        )
    if is_person and _is_a_guests(claims):
        raise Forbidden(
            "Guests get no join links here.",
            fix="Sign in with an account of this organization itself.",
        )
    capabilities = claims.get("xms_cc")
    return Caller(
        object_id=claims["oid"],
        client_id=_client_id(claims),
        is_person=is_person,
        holds_app_role=holds_app_role,
        expires_on=int(claims["exp"]),
        takes_claims_challenges=isinstance(capabilities, list) and "cp1" in capabilities,
        token=token,
    )


def _is_an_applications(claims: Mapping[str, Any]) -> bool:
    """Tell an application's access token from an ID token, which may carry app roles as well.

    An ID token names no client, and as `sub` somebody else than an application's object id.
    """
    kind = claims.get("idtyp")
    by_itself = kind == "app" or (kind is None and claims.get("sub") == claims["oid"])
    return by_itself and _client_id(claims) is not None


def _is_a_guests(claims: Mapping[str, Any]) -> bool:
    """Say whether the user is a guest in the tenant.

    `acct` says so, where the registration asks for it. Else there is `idp` in the tokens of those
    whose home is elsewhere.
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
    """Say what the header WWW-Authenticate says beside an error (RFC 6750, section 3)."""
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
        "ENTRA_CLIENT_ID, and send it before it ends.",
    )
