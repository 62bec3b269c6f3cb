"""The public keys that a tenant's tokens are signed with: fetched, cached and refreshed."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.core.deadline import Deadline
from shared.core.errors import IdentityUnavailable
from shared.core.http_client import HttpClient
from shared.core.single_flight import FetchFailed, SingleFlight

if TYPE_CHECKING:
    from jwt import PyJWK

ALGORITHM = "RS256"
FEWEST_BITS = 2048
"""The fewest bits that an RSA key's modulus may have (RFC 7518, section 3.3)."""
FETCH_SECONDS = 5.0
"""The limit for one fetch of the keys, in seconds."""
REFRESH_SECONDS = 60.0
"""The shortest time between two fetches, in seconds: callers can send any key id."""
COOL_DOWN_SECONDS = 5.0
"""The same, while no keys are known."""
KEEP_SECONDS = 24 * 3600.0
"""How long keys are used before they are fetched again, in seconds: a key may be withdrawn."""


class NoSigningKeys(Exception):
    """The authority's response holds no keys."""


@dataclass(frozen=True, slots=True)
class _KeySet:
    keys: "Mapping[str, PyJWK]"
    fetched_on: float


class SigningKeys:
    """The public keys of one tenant.

    Args:
        url: the address of the JSON Web Key Set (RFC 7517).
        http: the process's HTTP client.
        clock: monotonic seconds.
    """

    def __init__(
        self, *, url: str, http: HttpClient, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._http = http
        self._clock = clock
        self._key_sets: SingleFlight[str, _KeySet] = SingleFlight(
            name="fetch of signing keys", clock=clock
        )
        self._renewing = threading.Lock()

    def find(self, key_id: str, *, deadline: Deadline) -> "PyJWK | None":
        """Give the key with this id, or None where the tenant has no such key.

        Raises:
            IdentityUnavailable: if no keys are known and none could be fetched.
        """
        known = self._key_sets.get(self._url)
        if known is None:
            try:
                known = self._newer(None, deadline, cool_down=COOL_DOWN_SECONDS)
            except FetchFailed as failure:
                raise IdentityUnavailable(
                    "Nobody's token can be checked: the tenant's signing keys could not be "
                    "fetched.",
                    fix="Check that the app may connect to ENTRA_AUTHORITY, and that "
                    "ENTRA_TENANT_ID is the tenant's id.",
                    cause=failure.reason,
                ) from None
        elif key_id not in known.keys:
            known = self._newer_or(known, deadline)
        elif self._is_old(known) and self._renewing.acquire(blocking=False):
            # One caller waits for the new keys. The others use the known keys meanwhile.
            try:
                known = self._newer_or(known, deadline)
            finally:
                self._renewing.release()
        return known.keys.get(key_id)

    def _is_old(self, known: _KeySet) -> bool:
        return self._clock() - known.fetched_on >= KEEP_SECONDS

    def _newer_or(self, known: _KeySet, deadline: Deadline) -> _KeySet:
        try:
            return self._newer(known, deadline, cool_down=REFRESH_SECONDS)
        except FetchFailed:
            return known

    def _newer(self, seen: _KeySet | None, deadline: Deadline, *, cool_down: float) -> _KeySet:
        return self._key_sets.fetch(
            self._url, self._fetch, seen=seen, deadline=deadline, cool_down=cool_down
        )

    def _fetch(self) -> _KeySet:
        answer = self._http.get(
            self._url,
            headers={"Accept": "application/json"},
            deadline=time.monotonic() + FETCH_SECONDS,
        )
        keys = _read(answer.body) if answer.status == 200 else {}
        if not keys:
            raise NoSigningKeys
        return _KeySet(keys, self._clock())


def _read(body: bytes) -> "Mapping[str, PyJWK]":
    """Read a key set. Keys that are invalid or not for signing tokens are left out."""
    from jwt import PyJWK, PyJWTError  # noqa: PLC0415 - 50 ms, needed only with HTTP_AUTH=entra

    try:
        listed = json.loads(body)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}
    keys = {}
    for key in listed if isinstance(listed, list) else []:
        if (
            isinstance(key, dict)
            and isinstance(key.get("kid"), str)
            and key.get("kty") == "RSA"
            and key.get("use", "sig") == "sig"
            and "d" not in key  # a private key: PyJWT takes it, and cannot verify with it
        ):
            try:
                made = PyJWK(key, ALGORITHM)
            except (PyJWTError, ValueError):
                continue
            if made.key.key_size >= FEWEST_BITS:
                keys[key["kid"]] = made
    return keys
