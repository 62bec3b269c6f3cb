"""Tokens for Microsoft Graph on behalf of a person: the person's token exchanged with Entra.

The app proves itself by its managed identity's token, so there is no secret. azure-identity has a
credential for this flow, which takes two requests for each token, cannot keep a deadline, and
refuses a local authority.

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
from shared.core.settings import GRAPH_ROOT
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
GRAPH_SCOPE = f"{GRAPH_ROOT}/.default"
EARLY_SECONDS = 300
"""So long before its end a token of Graph is no longer used."""
REMEMBER_FAILURE_SECONDS = 60.0
"""For one caller's token: a loop of one client must not have Entra throttle the registration."""
LONGEST_FAILURE_SECONDS = 300.0
"""However long Entra asks to wait."""
RENEW_SECONDS = 60.0
"""Between two exchanges of one caller's token that Graph's rejections cause."""
REMEMBER_AT_MOST = 1000
"""About 4 MB of tokens."""
SPREAD_SECONDS = 1.0
"""Before the one more try where Entra does not know the federated credential."""

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_HEADERS = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}")


@dataclass(frozen=True, slots=True)
class UserToken:
    """A token for Graph on behalf of a person: opaque, but for what Entra said with it.

    Args:
        value: the token.
        expires_on: when it is used no longer, in seconds since the epoch.
        scopes: the delegated permissions that it carries.
    """

    value: str = field(repr=False)
    expires_on: float
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Failure:
    """A failed exchange, which is answered alike until it is forgotten."""

    refusal: ExchangeRefusal
    expires_on: float

    def error(self, now: float) -> ServiceError:
        """Make the error anew: one exception must not be raised by many threads."""
        error = to_error(self.refusal)
        if error.default_retry_after is not None:
            error.retry_after = self.expires_on - now
        return error


class OnBehalfOf:
    """Exchanges callers' tokens, each once for as long as what comes of it is good.

    A token is exchanged only after `SignIn.check` has let it pass. What comes of it is kept in this
    process's memory, by the SHA-256 of the caller's token: two tokens of one person differ in what
    their sign-ins have proved.

    Args:
        tenant_id: of the registration and its callers.
        client_id: of the app registration that callers' tokens are for.
        authority: Entra; a loopback address in a local run.
        http: the process's HTTP client.
        identity: whose token is the registration's credential.
        clock: seconds since the epoch.
        sleep: waits before the one more try.
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
            ServiceError: by the table of `exchange_errors`.
            IdentityUnavailable: also where there was no answer in the deadline's time.
        """
        return self._token(_key(caller), caller, deadline, seen=None)

    def renew(self, caller: Caller, *, rejected: UserToken, deadline: Deadline) -> UserToken:
        """Give another token than the one that Graph rejected, at most once in RENEW_SECONDS.

        Raises:
            IdentityUnavailable: if there is no other token to be had.
            ServiceError: as `token` does.
        """
        key = _key(caller)
        with self._lock:
            if self._renewed.setdefault(key, rejected) is not rejected:
                raise _rejected()
        return self._token(key, caller, deadline, seen=rejected)

    def check_credential(self, *, deadline: Deadline) -> None:
        """Ask Entra, without a person, whether it takes the identity as the registration's.

        Raises:
            SignInSetupIncomplete: if it does not, with what to create.
            IdentityUnavailable: if there was no answer.
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
                # Others have that one too, and one exception must not be raised by many threads.
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
            # A new credential fails now and then, even after it has worked.
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
class _Answer:
    token: str = field(repr=False)
    expires_in: float
    scopes: frozenset[str]


def _key(caller: Caller) -> bytes:
    return hashlib.sha256(caller.token.encode()).digest()


def _read_token(response: Response) -> _Answer | None:
    """Read the answer that holds a token; None where it is none.

    A scope comes with or without the resource before it: `https://graph.microsoft.com/User.Read`.
    """
    try:
        said = json.loads(response.body)
        token, seconds = said["access_token"], float(said["expires_in"])
        scopes = frozenset(scope.rpartition("/")[2] for scope in said.get("scope", "").split())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    valid = isinstance(token, str) and _TOKEN.fullmatch(token) and 0 < seconds < float("inf")
    return _Answer(token, seconds, scopes) if response.status == 200 and valid else None


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
