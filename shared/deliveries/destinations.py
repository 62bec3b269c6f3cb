"""The destinations in DELIVERIES. The app checks them once, when it starts.

A field error disables its own destination and no other. The destination's outcomes wait on the
delivery queue. A URL may hold a key, so no text and no repr shows one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self
from urllib.parse import urlsplit

from shared.core.configuration import ConfigurationReader, shown_name
from shared.core.deadline import Deadline
from shared.core.identifiers import is_source_name
from shared.core.strict_json import FieldError
from shared.identity.key_vault import SecretStore

OUTCOMES = ("resolved", "failed")
_FILTER_PLACES = ("/sources", "/outcomes")
_MEMBERS = frozenset({"url", "urlSecret", "secret", "sources", "outcomes", "private"})
_MAX_URL_LENGTH = 8192
_VISIBLE_ASCII = re.compile(r"[!-~]+")
_MAX_HOST_LENGTH = 253
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
"""A host name of a length that DNS allows (RFC 1035 §2.3.4), or an IP address."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a delivery is posted: the parts of a checked URL."""

    secure: bool
    host: str = field(repr=False)
    port: int
    target: str = field(repr=False)
    """The path and query, exactly as in the URL."""

    @classmethod
    def parse(cls, url: str, *, private: bool) -> Self:
        """Read a URL.

        Args:
            url: the URL from the settings or the vault.
            private: whether the destination may be in a private network or on this machine.

        Raises:
            ValueError: if no delivery may go there. The text does not quote the URL.
        """
        if len(url) > _MAX_URL_LENGTH or not _VISIBLE_ASCII.fullmatch(url):
            raise ValueError(
                f"Must be a URL of at most {_MAX_URL_LENGTH:,} visible ASCII characters."
            )
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise ValueError("Is not a URL.") from None
        local = private and host in _LOOPBACK
        if parts.scheme != "https" and not (parts.scheme == "http" and local):
            raise ValueError(
                "Must begin with https:// (or, of a private destination on this machine, http://)."
            )
        if "@" in parts.netloc or "#" in url or "\\" in url:
            raise ValueError("Must hold no user name, no fragment and no backslash.")
        if not _HOST.fullmatch(host) or len(host) > _MAX_HOST_LENGTH or port == 0:
            raise ValueError("Must name a host, and a port from 1 to 65535 if any.")
        _, _, rest = url.partition("://")
        target = rest[len(parts.netloc) :]
        return cls(
            secure=parts.scheme == "https",
            host=host,
            port=port or _PORTS[parts.scheme],
            target=target if target.startswith("/") else f"/{target}",
        )

    @property
    def authority(self) -> str:
        """Host and port as in the Host header (RFC 9110 §7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == _PORTS["https" if self.secure else "http"]
        return host if usual else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which outcomes a destination takes.

    Attributes:
        sources: The names of webhook sources; None among them stands for requests that came by HTTP
            or by the queue. None instead of the set: all requests.
        outcomes: Some of OUTCOMES.
    """

    sources: frozenset[str | None] | None = None
    outcomes: frozenset[str] = frozenset(OUTCOMES)

    def takes(self, *, source: str | None, outcome: str) -> bool:
        """Say whether the filter takes an outcome of this source."""
        return outcome in self.outcomes and (self.sources is None or source in self.sources)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """One receiver of outcomes.

    Attributes:
        name: Its name in DELIVERIES.
        endpoint: Where it is; None where its URL is in the vault.
        url_secret: The name of the secret in Key Vault that holds its URL, if one does.
        secret: The name of the secret in Key Vault that signs its deliveries.
        filter: Which outcomes it takes.
        private: Whether it may be in a private network or on this machine.
    """

    name: str
    endpoint: Endpoint | None
    url_secret: str | None
    secret: str
    filter: Filter
    private: bool

    def locate(self, secrets: SecretStore, *, deadline: Deadline) -> Endpoint:
        """Give where it is, from DELIVERIES or from the secret that holds its URL.

        Raises:
            SecretsUnavailable: if the vault does not answer, and no value is cached.
            ValueError: if the secret holds no valid URL. The text does not quote it.
        """
        if self.endpoint is not None:
            return self.endpoint
        values = secrets.current(str(self.url_secret), deadline=deadline)
        if not values:
            raise ValueError("The secret that holds its URL does not exist.")
        try:
            return Endpoint.parse(values[0].strip(), private=self.private)
        except ValueError as error:
            raise ValueError(f"The secret that holds its URL: {error}") from None


@dataclass(frozen=True, slots=True)
class Destinations:
    """All destinations: the valid ones, and the field errors of the invalid ones."""

    valid: Mapping[str, Destination] = field(default_factory=dict)
    invalid: Mapping[str, tuple[FieldError, ...]] = field(default_factory=dict)
    filters: Mapping[str, Filter] = field(default_factory=dict)
    """The filters of all destinations with a valid name, even if the destination is invalid."""

    unreadable: frozenset[str] = frozenset()
    """The names of destinations with an invalid filter, which may take less than `filters` says."""

    def claim(self, taking: Sequence[str]) -> bool:
        """Say whether one of these destinations has a valid filter, and so takes the outcome."""
        return any(name not in self.unreadable for name in taking)

    def taking(self, *, source: str | None, outcome: str) -> list[str]:
        """Name the destinations that take an outcome, including disabled ones.

        Outcomes wait on the queue for a disabled destination. If its filter is invalid, more may
        wait than the corrected filter takes.
        """
        return [
            name
            for name, each in self.filters.items()
            if each.takes(source=source, outcome=outcome)
        ]


def read_destinations(configured: Mapping[str, object]) -> Destinations:
    """Check each destination in the value of DELIVERIES."""
    valid: dict[str, Destination] = {}
    invalid: dict[str, tuple[FieldError, ...]] = {}
    filters: dict[str, Filter] = {}
    unreadable: set[str] = set()
    for place, (name, value) in enumerate(configured.items(), 1):
        reader = _DestinationReader()
        destination = reader.destination(name, value)
        if is_source_name(name):
            filters[name] = destination.filter
        if any(error.pointer.startswith(_FILTER_PLACES) for error in reader.field_errors) or (
            not isinstance(value, dict)
        ):
            unreadable.add(name)
        if reader.field_errors:
            invalid[shown_name(name, place)] = tuple(reader.field_errors)
        else:
            valid[name] = destination
    return Destinations(
        MappingProxyType(valid),
        MappingProxyType(invalid),
        MappingProxyType(filters),
        frozenset(unreadable),
    )


class _DestinationReader(ConfigurationReader):
    """Reads one destination, and collects its field errors."""

    def destination(self, name: str, value: object) -> Destination:
        if not is_source_name(name):
            self._complain("Its name must be 1 to 64 letters, digits, hyphens and underscores.")
        given = self._object(value)
        self._refuse_others(given, _MEMBERS)
        private = given.get("private", False)
        if not isinstance(private, bool):
            self._complain("Must be true or false.", "private")
        named = [member for member in ("url", "urlSecret") if given.get(member) is not None]
        if len(named) != 1:
            self._complain("Give exactly one of url and urlSecret.")
        return Destination(
            name=name,
            endpoint=self._endpoint(given, private=private is True) if "url" in named else None,
            url_secret=self._secret_name(given, "urlSecret") if "urlSecret" in named else None,
            secret=self._secret_name(given, "secret"),
            filter=Filter(self._sources(given), self._outcomes(given)),
            private=private is True,
        )

    def _endpoint(self, given: Mapping[str, object], *, private: bool) -> Endpoint | None:
        url = given["url"]
        try:
            if not isinstance(url, str):
                raise ValueError("Must be a URL.")  # noqa: TRY301 - as below
            return Endpoint.parse(url, private=private)
        except ValueError as error:
            self._complain(str(error), "url")
            return None

    def _sources(self, given: Mapping[str, object]) -> frozenset[str | None] | None:
        value = given.get("sources")
        if value is None:
            return None
        if not isinstance(value, list) or not value:
            self._complain(
                "Must be a list of names of sources, and null for what came otherwise.", "sources"
            )
            return None
        for index, name in enumerate(value):
            if name is not None and not (isinstance(name, str) and is_source_name(name)):
                self._complain("Must be the name of a source, or null.", "sources", index)
                return None
        return frozenset(value)

    def _outcomes(self, given: Mapping[str, object]) -> frozenset[str]:
        value = given.get("outcomes")
        if value is None:
            return frozenset(OUTCOMES)
        if not isinstance(value, list) or not value or any(one not in OUTCOMES for one in value):
            self._complain(
                f"Must be a list of {' and '.join(OUTCOMES)}, or one of them.", "outcomes"
            )
            return frozenset(OUTCOMES)
        return frozenset(value)
