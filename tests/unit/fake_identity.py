"""A credential and a clock that a test controls."""

import base64
import json
import threading
from collections.abc import Iterable
from typing import Self

from azure.core.credentials import AccessTokenInfo

from shared.identity.managed_identity import ManagedIdentity


class Clock:
    """Seconds that a test moves."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Give the time."""
        return self.now


TENANT = "10000000-0000-4000-8000-000000000001"


def make_token(number: int = 1, *, roles: Iterable[str] | None = ()) -> str:
    """Write a text like an access token. The number distinguishes two of them."""
    claims: dict[str, object] = {
        "n": number,
        "appid": "20000000-0000-4000-8000-000000000002",
        "tid": TENANT,
    }
    if roles is not None:
        claims["roles"] = list(roles)
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"header.{payload}.signature"


class Credentials:
    """Makes credentials, counts their requests, and holds or refuses them on order.

    Attributes:
        made: How many credentials were made.
        requests: How many tokens were asked for.
        gate: Closed (cleared), it holds each request back that was made meanwhile.
        failure: What a request raises, if anything.
        unchanged: Whether the same token is given for ever.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        lifetime: int = 3600,
        refresh_in: int | None = None,
        roles: Iterable[str] = (),
    ) -> None:
        self.made = 0
        self.requests = 0
        self.gate = threading.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self.unchanged = False
        self._clock = clock
        self._lifetime = lifetime
        self._refresh_in = refresh_in
        self._roles = tuple(roles)
        self._lock = threading.Lock()

    def make(self) -> "Credential":
        """Make one more."""
        with self._lock:
            self.made += 1
        return Credential(self)

    def next_token(self) -> AccessTokenInfo:
        """Give the next token. Each has another number."""
        with self._lock:
            self.requests += 1
            number = 1 if self.unchanged else self.requests
            gate = self.gate
        issued = int(self._clock())
        gate.wait(10)
        if self.failure is not None:
            raise self.failure
        refresh_on = None if self._refresh_in is None else issued + self._refresh_in
        return AccessTokenInfo(
            make_token(number, roles=self._roles), issued + self._lifetime, refresh_on=refresh_on
        )


class Credential:
    """Stands in for azure-identity's credential."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def get_token_info(self, *_: str, **__: object) -> AccessTokenInfo:
        """Ask for a token."""
        return self._credentials.next_token()

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def make_identity(*, roles: Iterable[str] = ()) -> ManagedIdentity:
    """Make an identity that always has a token."""
    return ManagedIdentity(
        client_id=None, environment={}, make_credential=Credentials(Clock(4e9), roles=roles).make
    )
