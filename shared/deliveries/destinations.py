"""The destinations that DELIVERIES names, checked once, when the app starts.

A field error disables its destination and no other: what is meant for it waits on the delivery
queue. A URL may hold a key, so no text and no repr shows one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self
from urllib.parse import urlsplit

from shared.core.configuration import ConfigurationReader, shown_name
from shared.core.field_errors import FieldError
from shared.core.identifiers import is_source_name

OUTCOMES = ("resolved", "failed")
_FILTER_PLACES = ("/sources", "/outcomes")
_MEMBERS = frozenset({"url", "urlSecret", "secret", "sources", "outcomes", "private"})
_MAX_URL_LENGTH = 8192
_VISIBLE_ASCII = re.compile(r"[!-~]+")
_MAX_HOST_LENGTH = 253
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
"""A name as the name service takes it (RFC 1035 §2.3.4), or an IP address."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a delivery is posted: a URL that was checked, in its parts."""

    secure: bool
    host: str = field(repr=False)
    port: int
    target: str = field(repr=False)
    """The path and query, exactly as they were written."""

    @classmethod
    def parse(cls, url: str, *, private: bool) -> Self:
        """Read a URL.

        Args:
            url: as it stands in the settings or in the vault.
            private: whether the destination may be in a private network, or this machine.

        Raises:
            ValueError: if no delivery may go there; it does not quote the URL.
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
        """Host and port as the Host header names them (RFC 9110 §7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == _PORTS["https" if self.secure else "http"]
        return host if usual else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which outcomes a destination takes.

    Attributes:
        sources: names of webhook sources, None for what came otherwise; None in place of all:
            whatever the source.
        outcomes: of OUTCOMES.
    """

    sources: frozenset[str | None] | None = None
    outcomes: frozenset[str] = frozenset(OUTCOMES)

    def takes(self, *, source: str | None, outcome: str) -> bool:
        """Say whether it takes an outcome of this source."""
        return outcome in self.outcomes and (self.sources is None or source in self.sources)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """One receiver of outcomes.

    Attributes:
        name: As in DELIVERIES.
        endpoint: Where it is; None where that is in the vault.
        url_secret: The name of the secret in Key Vault that holds its URL, if one does.
        secret: The name of the secret in Key Vault that its deliveries are signed with.
        filter: Which outcomes it takes.
        private: Whether it may be in a private network, or this machine.
    """

    name: str
    endpoint: Endpoint | None
    url_secret: str | None
    secret: str
    filter: Filter
    private: bool


@dataclass(frozen=True, slots=True)
class Destinations:
    """All of them: those that can be used, and what is wrong with the others."""

    valid: Mapping[str, Destination] = field(default_factory=dict)
    invalid: Mapping[str, tuple[FieldError, ...]] = field(default_factory=dict)
    filters: Mapping[str, Filter] = field(default_factory=dict)
    """Of all that have a valid name; of an invalid one as far as it can be read."""

    unreadable: frozenset[str] = frozenset()
    """Names of those with a mistake in their filter, which may take less than it seems."""

    def claim(self, taking: Sequence[str]) -> bool:
        """Say whether one of those that take an outcome surely will, once it can be used."""
        return any(name not in self.unreadable for name in taking)

    def taking(self, *, source: str | None, outcome: str) -> list[str]:
        """Name the destinations that take an outcome, those that are switched off too.

        What these take waits for them. Where the mistake is in a filter, more may wait than they
        will take in the end.
        """
        return [
            name
            for name, each in self.filters.items()
            if each.takes(source=source, outcome=outcome)
        ]


def read_destinations(configured: Mapping[str, object]) -> Destinations:
    """Check the value of DELIVERIES, destination by destination."""
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
    """Reads one destination, and collects what is wrong with it."""

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
