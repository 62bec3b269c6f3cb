"""The keys that a tenant's tokens are signed with: fetched once, kept, refreshed when need be."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from shared.core.deadline import Deadline
from shared.core.errors import IdentityUnavailable
from shared.core.http_client import HttpClient, NoResponse

if TYPE_CHECKING:
    from jwt import PyJWK

ALGORITHM = "RS256"
FETCH_SECONDS = 5.0
"""For one try at fetching the keys."""
REFRESH_SECONDS = 60.0
"""Between two fetches, whatever key ids strangers make up."""
KEEP_SECONDS = 24 * 3600.0
"""After that the keys are fetched anew, since one may have been withdrawn."""


class SigningKeys:
    """The public keys of one tenant.

    Args:
        url: of the JSON Web Key Set (RFC 7517).
        http: the process's HTTP client.
        clock: seconds that only grow.
    """

    def __init__(
        self, *, url: str, http: HttpClient, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._http = http
        self._clock = clock
        self._fetching = threading.Lock()
        self._fetches = 0
        self._fetched_on = float("-inf")
        self._keys: Mapping[str, PyJWK] = {}

    def find(self, key_id: str, *, deadline: Deadline) -> "PyJWK | None":
        """Give a key, or None where the tenant has none of that id.

        Raises:
            IdentityUnavailable: if no keys are known and none could be fetched.
        """
        if key_id not in self._keys:
            self._refresh(wait=deadline.remaining(), deadline=deadline)
        elif self._clock() - self._fetched_on >= KEEP_SECONDS:
            self._refresh(wait=0, deadline=deadline)  # one thread does; the others need not wait
        if not self._keys:
            raise IdentityUnavailable(
                "Nobody's token can be checked: the tenant's signing keys could not be fetched.",
                fix="Check that the app may connect to ENTRA_AUTHORITY, and that ENTRA_TENANT_ID "
                "is the tenant's id.",
            )
        return self._keys.get(key_id)

    def _refresh(self, *, wait: float, deadline: Deadline) -> None:
        """Fetch the keys, unless another thread has just done so, or they are too young."""
        seen = self._fetches
        if not self._fetching.acquire(timeout=wait):
            return
        try:
            young = self._clock() - self._fetched_on < REFRESH_SECONDS
            if self._fetches == seen and not (self._keys and young):
                keys = self._fetch(deadline)
                # Also when that failed: keys that are still there shall not be asked for again
                # by every caller.
                self._fetched_on = self._clock()
                self._fetches += 1
                self._keys = keys or self._keys
        finally:
            self._fetching.release()

    def _fetch(self, deadline: Deadline) -> "Mapping[str, PyJWK]":
        until = min(deadline.at, time.monotonic() + FETCH_SECONDS)
        headers = {"Accept": "application/json"}
        try:
            answer = self._http.get(self._url, headers=headers, deadline=until)
        except NoResponse:
            return {}
        return _read(answer.body) if answer.status == 200 else {}


def _read(body: bytes) -> "Mapping[str, PyJWK]":
    """Read a key set; keys that are not for signing tokens, or not valid, are left out."""
    from jwt import PyJWK, PyJWTError  # noqa: PLC0415 - 50 ms, and only for this sign-in

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
        ):
            try:
                keys[key["kid"]] = PyJWK(key, ALGORITHM)
            except PyJWTError:
                continue
    return keys
