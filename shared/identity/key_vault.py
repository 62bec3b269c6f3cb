"""The webhooks' secrets, from Key Vault, read seldom and remembered for a while.

Of each secret the newest two versions that are enabled and in force count. So rotating one is:
add a version, tell the booking system. A read happens in a thread of its own, so that a vault that
hangs holds up nobody past their time, and once for all who wait.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.core.deadline import Deadline
from shared.core.errors import SecretsUnavailable
from shared.core.http_client import HttpClient
from shared.identity.managed_identity import ManagedIdentity

if TYPE_CHECKING:
    from azure.keyvault.secrets import SecretClient

FRESH_SECONDS = 300
"""So long a value is used without asking again."""
KEEP_SECONDS = 3600
"""So long the last known value serves when the vault does not answer."""
EARLY_SECONDS = 30
"""Between two reads that a failed signature causes."""
RETRY_SECONDS = 30
"""From a failed read to the next one, where a value is known."""
VERSIONS = 2

_CONNECT_SECONDS = 2
_READ_SECONDS = 3
_logger = logging.getLogger("virtual_appointment")


@dataclass(frozen=True, slots=True)
class _Version:
    value: str = field(repr=False)
    expires_on: float | None


@dataclass(frozen=True, slots=True)
class _Reading:
    versions: tuple[_Version, ...]
    began: float


class SecretStore:
    """Values of secrets by name.

    Args:
        vault_uri: `https://NAME.vault.azure.net`.
        identity: who may read there.
        http: the process's HTTP client.
        clock: seconds, for the ages of what was read.
        now: seconds since the epoch, for the times that versions carry.
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
        self._secret_client: SecretClient | None = None
        self._readings: dict[str, _Reading] = {}
        self._flights: dict[str, Future[_Reading | None]] = {}
        self._next_early: dict[str, float] = {}
        self._next_retry: dict[str, float] = {}

    def current(self, name: str, *, deadline: Deadline) -> tuple[str, ...]:
        """Give a secret's values, the newest first; none where there is no such secret.

        Raises:
            SecretsUnavailable: if the vault does not answer in the deadline's time, and did not in
                the last hour.
        """
        known = self._readings.get(name)
        if known is not None and self._age(known) < FRESH_SECONDS:
            return self._values(known)
        if known is not None and self._age(known) >= KEEP_SECONDS:
            self._next_retry.pop(name, None)
        reading = self._join(name, known, deadline, early=False) or known
        if reading is None or self._age(reading) >= KEEP_SECONDS:
            raise SecretsUnavailable(
                "Key Vault did not give the webhook's secret.",
                fix="Check KEY_VAULT_URI, and that the app's identity is Key Vault Secrets User "
                "on the vault.",
            )
        return self._values(reading)

    def newer(self, name: str, *, seen: tuple[str, ...], deadline: Deadline) -> tuple[str, ...]:
        """Give the values after another look, seldom: for a signature that `seen` did not make.

        The same values come back where there has just been a look, or the vault does not answer.
        """
        known = self._readings.get(name)
        if known is None or self._values(known) != seen:
            return seen if known is None else self._values(known)
        reading = self._join(name, known, deadline, early=True)
        return seen if reading is None else self._values(reading)

    def _join(
        self, name: str, known: _Reading | None, deadline: Deadline, *, early: bool
    ) -> _Reading | None:
        """Wait for a read: one under way, the one that has just ended, or a new one.

        None where it fails, or where it is too early for one.
        """
        with self._lock:
            current = self._readings.get(name)
            if current is not known:
                return current
            flight = self._flights.get(name)
            if flight is None:
                not_before = self._next_early if early else self._next_retry
                if self._clock() < not_before.get(name, float("-inf")):
                    return None
                if early:
                    self._next_early[name] = self._clock() + EARLY_SECONDS
                flight = self._start(name)
        try:
            return flight.result(timeout=deadline.remaining())
        except FutureTimeoutError:
            with self._lock:
                self._give_up(name, flight)
            return None

    def _start(self, name: str) -> "Future[_Reading | None]":
        flight: Future[_Reading | None] = Future()
        self._flights[name] = flight
        threading.Thread(
            target=self._fetch, args=(name, flight), name="secret-read", daemon=True
        ).start()
        return flight

    def _give_up(self, name: str, flight: "Future[_Reading | None]") -> None:
        """Stop others from joining a read that has failed, or hangs."""
        if self._flights.get(name) is flight:
            del self._flights[name]
            if name in self._readings:
                self._next_retry[name] = self._clock() + RETRY_SECONDS

    def _fetch(self, name: str, flight: "Future[_Reading | None]") -> None:
        reading: _Reading | None = None
        try:
            began = self._clock()
            reading = _Reading(self._read(name), began)
        except Exception as error:  # noqa: BLE001 - whatever it was, who waits must hear of it
            # Without the error's text, which may quote the vault's answer.
            _logger.warning("Key Vault could not be read: %s", type(error).__name__)
        with self._lock:
            if reading is None:
                self._give_up(name, flight)
            elif self._flights.get(name) is flight:
                del self._flights[name]
                self._readings[name] = reading
        flight.set_result(reading)

    def _read(self, name: str) -> tuple[_Version, ...]:
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
        with self._lock:
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
