"""Exchanges a person's token for a token that calls Microsoft Graph on the person's behalf.

The app authenticates with its managed identity's token, so it needs no secret. azure-identity has a
credential for this flow as well, but that sends two requests for each token, cannot keep a
deadline, and refuses a local authority.

Source: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-on-behalf-of-flow
"""

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from copy import replace
from dataclasses import dataclass, field
from urllib.parse import urlencode

from cachetools import TLRUCache, TTLCache

from shared.core.deadline import Deadline
from shared.core.errors import IdentityUnavailable, ServiceError
from shared.core.http_client import HttpClient, NoResponse, Response
from shared.core.identifiers import is_guid
from shared.core.remediation import ASSERTION_AUDIENCE
from shared.core.settings import GRAPH_SCOPE
from shared.core.single_flight import FetchFailed, SingleFlight
from shared.identity.bearer_tokens import Caller
from shared.identity.exchange_errors import (
    CREDENTIAL_NOT_FOUND,
    ExchangeRefusal,
    codes_of,
    to_error,
)
from shared.identity.managed_identity import ManagedIdentity, Token

ASSERTION_SCOPE = f"{ASSERTION_AUDIENCE}/.default"
EARLY_SECONDS = 300
"""How long before its end a token for Graph is no longer used, in seconds."""
REMEMBER_FAILURE_SECONDS = 60.0
"""How long a failed exchange is cached for one caller's token, in seconds.

Without it, one client's loop could make Entra throttle the app registration.
"""
LONGEST_FAILURE_SECONDS = 300.0
"""The longest time that a failure is cached, whatever Retry-After Entra sends, in seconds."""
RENEW_SECONDS = 60.0
"""The time between two exchanges of one caller's token after Graph rejected one, in seconds."""
REMEMBER_AT_MOST = 1000
"""How many tokens are cached: about 4 MB."""
SPREAD_SECONDS = 1.0
"""The wait before the second try where Entra does not know the federated credential."""

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_HEADERS = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}")


@dataclass(frozen=True, slots=True)
class UserToken:
    """A token for Graph on behalf of a person. The app does not look into it.

    Args:
        value: the token.
        expires_on: when the app stops using it, in seconds since the epoch.
        scopes: the delegated permissions in it, as Entra's response says.
    """

    value: str = field(repr=False)
    expires_on: float
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Failure:
    """A failed exchange. Its error is given to each caller until `expires_on`."""

    refusal: ExchangeRefusal
    expires_on: float

    def error(self, now: float) -> ServiceError:
        """Make a new error, because several threads must not raise the same exception."""
        error = to_error(self.refusal)
        if error.default_retry_after is not None:
            error.retry_after = self.expires_on - now
        return error


class OnBehalfOf:
    """Exchanges callers' tokens for tokens of Graph, and caches these while they are valid.

    A caller's token is exchanged only after `SignIn.check` has accepted it. The cache is in this
    process's memory. Its key is the SHA-256 of the caller's token and not the person, because one
    sign-in may have fulfilled more conditions than another.

    Args:
        tenant_id: the tenant of the app registration and the callers.
        client_id: the app registration that callers' tokens are for.
        authority: the URL of Entra; a loopback address in a local run.
        http: the process's HTTP client.
        identity: the managed identity whose token is the registration's credential.
        clock: seconds since the epoch.
        sleep: waits before the second try.
    """

    def __init__(
        self,
        *,
        tenant_id: str,
        client_id: str,
        authority: str,
        http: HttpClient,
        identity: ManagedIdentity,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.client_id = client_id
        self._tenant_id = tenant_id
        self._authority = f"{authority}/{tenant_id}"
        self._http = http
        self._identity = identity
        self._clock = clock
        self._sleep = sleep
        self._ended: SingleFlight[bytes, UserToken | _Failure] = SingleFlight(
            name="token-exchange",
            values=TLRUCache(
                REMEMBER_AT_MOST, ttu=lambda _key, ended, _now: ended.expires_on, timer=clock
            ),
            clock=clock,
        )
        self._lock = threading.Lock()
        self._renewed: TTLCache[bytes, UserToken] = TTLCache(
            REMEMBER_AT_MOST, RENEW_SECONDS, timer=clock
        )

    def token(self, caller: Caller, *, deadline: Deadline) -> UserToken:
        """Give a token for Graph on behalf of a person whose own token has been checked.

        Raises:
            ServiceError: by the table in `exchange_errors`.
            IdentityUnavailable: also if Entra does not answer before the deadline.
        """
        return self._token(_key(caller), caller, deadline, seen=None)

    def renew(self, caller: Caller, *, rejected: UserToken, deadline: Deadline) -> UserToken:
        """Give a token other than the one that Graph rejected, at most once in RENEW_SECONDS.

        Raises:
            IdentityUnavailable: if there is no other token.
            ServiceError: as in `token`.
        """
        key = _key(caller)
        with self._lock:
            if self._renewed.setdefault(key, rejected) is not rejected:
                raise _rejected()
        return self._token(key, caller, deadline, seen=rejected)

    def check_credential(self, *, deadline: Deadline) -> None:
        """Ask Entra whether it accepts the managed identity as the registration's credential.

        This needs no person.

        Raises:
            SignInSetupIncomplete: if Entra does not accept it. The fix says what to create.
            IdentityUnavailable: if Entra does not answer.
        """
        assertion = self._identity.token(ASSERTION_SCOPE, deadline=deadline)
        try:
            response = self._post(assertion, {"grant_type": "client_credentials"}, deadline)
        except NoResponse as error:
            raise _no_answer(error.reason) from None
        if _read_token(response) is None:
            raise to_error(self._refusal(response, assertion))

    def _token(
        self, key: bytes, caller: Caller, deadline: Deadline, *, seen: UserToken | None
    ) -> UserToken:
        try:
            ended = self._ended.fetch(
                key, lambda: self._exchange(caller, deadline), seen=seen, deadline=deadline
            )
        except FetchFailed as failed:
            if isinstance(error := failed.error, IdentityUnavailable):
                # Other threads hold the same exception, and several threads must not raise it.
                raise IdentityUnavailable(error.detail, fix=error.fix, cause=error.cause) from None
            raise _no_answer(failed.reason) from None
        if isinstance(ended, _Failure):
            raise ended.error(self._clock())
        return ended

    def _exchange(self, caller: Caller, deadline: Deadline) -> UserToken | _Failure:
        assertion = self._identity.token(ASSERTION_SCOPE, deadline=deadline)
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": caller.token,
            "requested_token_use": "on_behalf_of",
        }
        response = self._post(assertion, form, deadline)
        if (
            codes_of(self._refusal(response, assertion)) & CREDENTIAL_NOT_FOUND
            and deadline.remaining() > 2 * SPREAD_SECONDS
        ):
            # A new federated credential sometimes fails, even after it has worked.
            self._sleep(SPREAD_SECONDS)
            response = self._post(assertion, form, deadline)
        now = self._clock()
        if (answer := _read_token(response)) is None:
            refusal = replace(
                self._refusal(response, assertion),
                takes_claims_challenges=caller.takes_claims_challenges,
            )
            wait = to_error(refusal).retry_after or 0
            seconds = min(max(wait, REMEMBER_FAILURE_SECONDS), LONGEST_FAILURE_SECONDS)
            return _Failure(refusal, now + seconds)
        ends = now + answer.expires_in - EARLY_SECONDS
        return UserToken(answer.token, min(ends, caller.expires_on), answer.scopes)

    def _post(self, assertion: Token, form: Mapping[str, str], deadline: Deadline) -> Response:
        body = {
            "client_id": self.client_id,
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": assertion.value,
            "scope": GRAPH_SCOPE,
            **form,
        }
        return self._http.post(
            f"{self._authority}/oauth2/v2.0/token",
            headers=_HEADERS,
            body=urlencode(body).encode(),
            deadline=deadline.at,
        )

    def _refusal(self, response: Response, assertion: Token) -> ExchangeRefusal:
        subject = assertion.claims().get("oid")
        return ExchangeRefusal(
            status=response.status,
            headers=response.headers,
            body=response.body,
            authority=self._authority,
            tenant_id=self._tenant_id,
            client_id=self.client_id,
            subject=subject if isinstance(subject, str) and is_guid(subject) else None,
            now=self._clock(),
        )


@dataclass(frozen=True, slots=True)
class _TokenResponse:
    token: str = field(repr=False)
    expires_in: float
    scopes: frozenset[str]


def _key(caller: Caller) -> bytes:
    return hashlib.sha256(caller.token.encode()).digest()


def _read_token(response: Response) -> _TokenResponse | None:
    """Read the token out of Entra's response. None where the response holds no token.

    A scope may have the resource before it: `https://graph.microsoft.com/User.Read`.
    """
    try:
        said = json.loads(response.body)
        token, seconds = said["access_token"], float(said["expires_in"])
        scopes = frozenset(scope.rpartition("/")[2] for scope in said.get("scope", "").split())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    valid = isinstance(token, str) and _TOKEN.fullmatch(token) and 0 < seconds < float("inf")
    return _TokenResponse(token, seconds, scopes) if response.status == 200 and valid else None


def _no_answer(cause: str) -> IdentityUnavailable:
    return IdentityUnavailable(
        "Entra did not answer in time, or the connection to it was lost.",
        fix="Check that the app may connect to ENTRA_AUTHORITY.",
        cause=cause,
    )


def _rejected() -> IdentityUnavailable:
    return IdentityUnavailable(
        "Microsoft Graph rejected the token that Entra gave on this person's behalf.",
        fix="Wait a minute, sign in again, and send the new token.",
    )
