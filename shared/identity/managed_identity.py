"""The app's own tokens: one credential for the process, and one token request at a time.

While its cache is empty or a token expires soon, azure-identity sends a request for each thread.
In a token's last five minutes it sends one for each call. Here one thread sends the request. The
others wait, or use the token that is still valid.
"""

import base64
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from azure.core.credentials import AccessToken, AccessTokenInfo, SupportsTokenInfo

# This import takes 0.1 s. It is not postponed: every link needs it, and if several first calls
# imported it at the same time, it would take twice as long.
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

from shared.core.deadline import Deadline
from shared.core.errors import IdentityUnavailable
from shared.core.single_flight import FetchFailed, SingleFlight

USABLE_SECONDS = 30
"""A token that is valid for less is not used: the call itself takes time. In seconds."""
RENEWAL_SECONDS = 300
"""How long before a token's end azure-identity sends a new request, in seconds."""
RETRY_SECONDS = 30
"""The time between two attempts to renew a token that is still valid, in seconds."""
REPLACE_SECONDS = 60
"""The shortest time between two replacements of the credential, in seconds."""
_CONNECT_SECONDS = 2
_READ_SECONDS = 5
"""The limit for each try of azure-identity, in seconds. Its own default is 300."""


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and when to renew it, in seconds since the epoch."""

    value: str = field(repr=False)
    expires_on: float
    refresh_on: float

    def claims(self) -> Mapping[str, Any]:
        """Read the token's claims, without verifying it: it is the app's own token."""
        try:
            payload = self.value.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (IndexError, ValueError):
            return {}
        return claims if isinstance(claims, dict) else {}

    def roles(self) -> frozenset[str]:
        """Give the app roles in the token."""
        roles = self.claims().get("roles")
        return frozenset(map(str, roles)) if isinstance(roles, list) else frozenset()

    def client_id(self) -> str | None:
        """Give the client id of the application that the token belongs to.

        None for a person's token, as from `az login`: there it is the client id of the Azure CLI.
        """
        claims = self.claims()
        named = claims.get("appid")
        return named if isinstance(named, str) and "scp" not in claims else None

    def tenant_id(self) -> str | None:
        """Give the id of the tenant that issued the token."""
        named = self.claims().get("tid")
        return named if isinstance(named, str) else None


class ManagedIdentity:
    """Gets the app's tokens: from its managed identity, or from `az login` in a local run.

    Args:
        client_id: the client id of a user-assigned identity; None for the system-assigned one.
        environment: the environment variables, where the platform names its identity endpoint.
        clock: seconds since the epoch.
        make_credential: makes a credential; azure-identity's by default.
    """

    def __init__(
        self,
        *,
        client_id: str | None,
        environment: Mapping[str, str],
        clock: Callable[[], float] = time.time,
        make_credential: Callable[[], SupportsTokenInfo] | None = None,
    ) -> None:
        self._client_id = client_id
        self._managed = "IDENTITY_ENDPOINT" in environment
        self._clock = clock
        self._make_credential = make_credential or self._azure_identity_credential
        self._lock = threading.Lock()
        self._credential_lock = threading.Lock()
        self._credential: SupportsTokenInfo | None = None
        self._replaced_on = float("-inf")
        self._tokens = self._no_tokens()
        """The tokens by scope. A new credential starts with an empty store."""

    def token(self, scope: str, *, deadline: Deadline) -> Token:
        """Give a token that is valid for at least USABLE_SECONDS.

        Raises:
            IdentityUnavailable: if there is no token before the deadline.
        """
        tokens, now = self._tokens, self._clock()
        token = tokens.get(scope)
        if token is None or now >= token.expires_on - USABLE_SECONDS:
            return self._fetch(tokens, scope, seen=token, deadline=deadline)
        if now >= token.refresh_on:
            tokens.start(scope, self._asking(scope), seen=token, cool_down=RETRY_SECONDS)
        return token

    def known_tenant_id(self, scope: str) -> str | None:
        """Give the app's tenant id from a token in the cache. None: no token is there yet."""
        token = self._tokens.get(scope)
        return None if token is None else token.tenant_id()

    def renew(self, scope: str, *, rejected: Token, deadline: Deadline) -> Token:
        """Give a token other than the one that Graph rejected.

        azure-identity caches tokens in the credential. So the credential is replaced, at most once
        in REPLACE_SECONDS.

        Raises:
            IdentityUnavailable: if there is no other token.
        """
        with self._lock:
            tokens = self._tokens
            current = tokens.get(scope)
            if current is not None and current.value == rejected.value:
                now = self._clock()
                if now - self._replaced_on < REPLACE_SECONDS:
                    raise _rejected()
                self._replaced_on = now
                with self._credential_lock:
                    self._credential = None
                # A fetch by the old credential still ends in the old store.
                self._tokens = tokens = self._no_tokens()
        token = self._fetch(tokens, scope, seen=None, deadline=deadline)
        if token.value == rejected.value:
            raise _rejected()
        return token

    def get_token_info(self, *scopes: str, **_: object) -> AccessTokenInfo:
        """Serve the Azure SDK's clients (azure.core.credentials.SupportsTokenInfo)."""
        token = self.token(scopes[0], deadline=Deadline(seconds=10))
        return AccessTokenInfo(token.value, int(token.expires_on))

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        """Serve the Azure SDK's older clients (azure.core.credentials.TokenCredential)."""
        token = self.token(scopes[0], deadline=Deadline(seconds=10))
        return AccessToken(token.value, int(token.expires_on))

    def _no_tokens(self) -> SingleFlight[str, Token]:
        return SingleFlight(name="token request", clock=self._clock)

    def _fetch(
        self,
        tokens: SingleFlight[str, Token],
        scope: str,
        *,
        seen: Token | None,
        deadline: Deadline,
    ) -> Token:
        try:
            return tokens.fetch(scope, self._asking(scope), seen=seen, deadline=deadline)
        except FetchFailed as failure:
            raise _no_token(managed=self._managed, cause=failure.reason) from None

    def _asking(self, scope: str) -> Callable[[], Token]:
        def ask() -> Token:
            with self._credential_lock:
                credential = self._credential = self._credential or self._make_credential()
            info = credential.get_token_info(scope)
            renew_on = info.refresh_on or info.expires_on - RENEWAL_SECONDS
            return Token(info.token, info.expires_on, renew_on)

        return ask

    def _azure_identity_credential(self) -> SupportsTokenInfo:
        if self._managed:
            return ManagedIdentityCredential(
                client_id=self._client_id,
                connection_timeout=_CONNECT_SECONDS,
                read_timeout=_READ_SECONDS,
            )
        return DefaultAzureCredential(managed_identity_client_id=self._client_id)


def _no_token(*, managed: bool, cause: str) -> IdentityUnavailable:
    if managed:
        return IdentityUnavailable(
            "The managed identity endpoint gave no token.",
            fix="Check that the identity is assigned to the function app and that "
            "MANAGED_IDENTITY_CLIENT_ID is its client id (empty for the system-assigned one).",
            cause=cause,
        )
    return IdentityUnavailable(
        "There is no managed identity, and no developer is signed in.",
        fix="Run az login, or give the app a managed identity.",
        cause=cause,
    )


def _rejected() -> IdentityUnavailable:
    return IdentityUnavailable(
        "Microsoft Graph rejected the app's token, and there is no newer one.",
        fix="Wait a minute; if it stays, run the diagnostics: they show when the token was issued.",
    )
