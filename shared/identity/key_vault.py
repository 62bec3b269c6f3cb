"""Reads the secrets of webhooks and deliveries from Key Vault, and caches them.

The newest two versions of a secret that are enabled and in force are valid. So to rotate a secret,
an operator adds a version and then changes the booking system. Each read runs in its own thread and
serves all waiting callers, so a vault that hangs delays no caller past its deadline.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from shared.core.deadline import Deadline
from shared.core.errors import SecretsUnavailable
from shared.core.http_client import HttpClient
from shared.core.single_flight import FetchFailed, SingleFlight
from shared.identity.managed_identity import ManagedIdentity

if TYPE_CHECKING:
    from azure.keyvault.secrets import SecretClient

FRESH_SECONDS = 300
"""How long a value is used without another read, in seconds."""
KEEP_SECONDS = 3600
"""How long the last value is used while the vault does not answer, in seconds."""
EARLY_SECONDS = 30
"""The shortest time between two reads that failed signatures cause, in seconds."""
RETRY_SECONDS = 30
"""The time from a failed read to the next one where a value is cached, in seconds."""
VERSIONS = 2
"""How many versions of a secret are valid at a time: the new and the old one of a rotation."""

_CONNECT_SECONDS = 2
_READ_SECONDS = 3


@dataclass(frozen=True, slots=True)
class _Version:
    value: str = field(repr=False)
    expires_on: float | None


@dataclass(frozen=True, slots=True)
class _Reading:
    versions: tuple[_Version, ...]
    began: float


class SecretStore:
    """The values of secrets, by name.

    Args:
        vault_uri: `https://NAME.vault.azure.net`.
        identity: the identity that may read the vault's secrets.
        http: the process's HTTP client.
        clock: monotonic seconds, for the age of cached values.
        now: seconds since the epoch, for the start and end dates of versions.
    """

    def __init__(
        self,
        *,
        vault_uri: str,
        identity: ManagedIdentity,
        http: HttpClient,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._vault_uri = vault_uri
        self._identity = identity
        self._http = http
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()
        self._client_lock = threading.Lock()
        self._secret_client: SecretClient | None = None
        self._readings: SingleFlight[str, _Reading] = SingleFlight(
            name="read of a secret", clock=clock
        )
        self._next_early: dict[str, float] = {}

    def current(self, name: str, *, deadline: Deadline) -> tuple[str, ...]:
        """Give a secret's valid values, the newest first. Empty where there is no such secret.

        Raises:
            SecretsUnavailable: if the vault does not answer before the deadline, and no value from
                the last hour is cached.
        """
        known = self._readings.get(name)
        if known is not None and self._age(known) < FRESH_SECONDS:
            return self._values(known)
        serves = known is not None and self._age(known) < KEEP_SECONDS
        try:
            reading = self._readings.fetch(
                name,
                partial(self._read, name),
                seen=known,
                deadline=deadline,
                cool_down=RETRY_SECONDS if serves else 0,
            )
        except FetchFailed as failure:
            if known is None or not serves:
                raise SecretsUnavailable(
                    "Key Vault did not give the secret.",
                    fix="Check KEY_VAULT_URI, and that the app's identity is Key Vault Secrets "
                    "User on the vault.",
                    cause=failure.reason,
                ) from None
            reading = known
        return self._values(reading)

    def newer(self, name: str, *, seen: tuple[str, ...], deadline: Deadline) -> tuple[str, ...]:
        """Read the values again, for a signature that none of the values in `seen` made.

        The same values are returned if the last such read was less than EARLY_SECONDS ago, or if
        the vault does not answer.
        """
        known = self._readings.get(name)
        if known is None or self._values(known) != seen:
            return seen if known is None else self._values(known)
        read = partial(self._read, name)
        with self._lock:
            if self._clock() >= self._next_early.get(name, -math.inf):
                self._next_early[name] = self._clock() + EARLY_SECONDS
                self._readings.start(name, read, seen=known)
        try:
            # Callers that come meanwhile wait for this read and start none.
            reading = self._readings.fetch(
                name, read, seen=known, deadline=deadline, cool_down=math.inf
            )
        except FetchFailed:
            return seen
        return self._values(reading)

    def _read(self, name: str) -> _Reading:
        began = self._clock()
        return _Reading(self._versions(name), began)

    def _versions(self, name: str) -> tuple[_Version, ...]:
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415 - see _client

        client = self._client()
        try:
            listed = list(client.list_properties_of_secret_versions(name))
        except ResourceNotFoundError:
            return ()
        now = self._now()
        usable = [
            version
            for version in listed
            if version.enabled
            and version.created_on
            and (version.expires_on is None or version.expires_on.timestamp() > now)
            and (version.not_before is None or version.not_before.timestamp() <= now)
        ]
        usable.sort(key=lambda version: version.created_on or 0, reverse=True)
        return tuple(
            _Version(
                client.get_secret(name, version.version).value or "",
                None if version.expires_on is None else version.expires_on.timestamp(),
            )
            for version in usable[:VERSIONS]
        )

    def _client(self) -> "SecretClient":
        with self._client_lock:
            if self._secret_client is None:
                # 60 ms, and only a webhook needs it.
                from azure.keyvault.secrets import SecretClient  # noqa: PLC0415

                self._secret_client = SecretClient(
                    self._vault_uri,
                    self._identity,
                    transport=self._http.azure_transport(
                        connect_seconds=_CONNECT_SECONDS, read_seconds=_READ_SECONDS
                    ),
                    retry_total=1,
                    retry_backoff_factor=0.1,
                )
            return self._secret_client

    def _age(self, reading: _Reading) -> float:
        return self._clock() - reading.began

    def _values(self, reading: _Reading) -> tuple[str, ...]:
        now = self._now()
        return tuple(
            version.value
            for version in reading.versions
            if version.value and (version.expires_on is None or version.expires_on > now)
        )
