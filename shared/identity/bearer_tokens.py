"""Who may call when callers sign in with Entra: the check of their bearer tokens.

The app does it itself: App Service Authentication covers an app as a whole, webhooks and the
health route included.
"""

from collections.abc import Mapping
from typing import Any

from shared.core.deadline import Deadline
from shared.core.errors import Forbidden, ServiceError, Unauthorized
from shared.core.http_client import HttpClient
from shared.core.settings import ENTRA_AUTHORITY
from shared.identity.jwks import ALGORITHM, SigningKeys

SCOPE = "JoinLink.Read"
"""What a token on behalf of a person has to hold."""
APP_ROLE = "JoinLink.Read.All"
"""What a token of an application has to hold."""
LEEWAY_SECONDS = 60
"""By how much clocks may differ."""
_MOST_CHARACTERS = 16 * 1024
_REALM = 'Bearer realm="virtual-appointment"'


class _TokenMissing(Unauthorized):
    """There is no token: by RFC 6750 the challenge then says no more than how to send one."""


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

    def check(self, headers: Mapping[str, str], *, deadline: Deadline) -> None:
        """Let a caller pass, or not.

        Args:
            headers: of the request, by name in lower case.
            deadline: the time there is, should keys have to be fetched.

        Raises:
            Unauthorized: without a valid token.
            Forbidden: if the token holds neither the scope nor the app role.
            IdentityUnavailable: if there are no keys to check it with.
        """
        scheme, _, token = headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise _TokenMissing(
                "The request has no bearer token.",
                fix="Sign in with Entra and send the token in the header Authorization.",
            )
        claims = self._claims(token, deadline)
        scopes, roles = claims.get("scp"), claims.get("roles")
        scoped = isinstance(scopes, str) and SCOPE in scopes.split()
        if not scoped and not (isinstance(roles, list) and APP_ROLE in roles):
            raise Forbidden(
                f"The token holds neither the scope {SCOPE} nor the app role {APP_ROLE}.",
                fix=f"Consent to the scope {SCOPE} of this service's app registration, or assign "
                f"the app role {APP_ROLE} to the application that calls; then get a new token.",
            )

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
        if claims["tid"] != self._tenant_id:
            raise _invalid_token()
        return claims


def challenge(error: ServiceError) -> str | None:
    """Say what the header WWW-Authenticate says beside an error (RFC 6750, section 3)."""
    match error:
        case _TokenMissing():
            return _REALM
        case Unauthorized():
            return f'{_REALM}, error="invalid_token"'
        case Forbidden():
            return f'{_REALM}, error="insufficient_scope", scope="{SCOPE}"'
        case _:
            return None


def _invalid_token() -> Unauthorized:
    return Unauthorized(
        "The bearer token is not valid for this service.",
        fix="Get a token from the tenant of ENTRA_TENANT_ID for the app registration of "
        "ENTRA_CLIENT_ID, and send it before it ends.",
    )
