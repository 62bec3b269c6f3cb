"""The four schemes by which booking systems sign webhooks, and the check of each.

    standard      `{id}.{timestamp}.{body}`  Standard Webhooks, Svix
    timestamped   `{t}.{body}`               Stripe, Calendly, Zoho Payments
    body-hmac     the body, or URL and body  Cal.com, GitHub, Shopify, Acuity, Square
    token         nothing: a fixed header    FHIR subscriptions, and what cannot sign

All but the last are HMAC-SHA256. Each accepts several secrets, for our rotation, and several
signatures, for the sender's. Every failure is a SignatureInvalid whose `detail` is a short code for
the log. The sender does not learn the code.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from shared.core.errors import SignatureInvalid
from shared.core.standard_webhooks import decode_key

DIFFERS = "signature_differs"
SECRET_MISSING = "secret_missing"  # noqa: S105 - a code, not a secret
SECRET_MAY_BE_NEWER = frozenset({DIFFERS, SECRET_MISSING})
"""The failures that a newer secret may remove. The others are in the request."""

TOLERANCE_SECONDS = 300.0
_MOST_HEADER_CHARACTERS = 8192
_TIMESTAMP = re.compile(r"[0-9]{1,16}")
_SHA256_HEX = re.compile(r"[0-9a-fA-F]{64}")
_CALCOM_UNSET = "no-secret-provided"  # what Cal.com sends instead of a signature


class Scheme(Protocol):
    """How one booking system signs."""

    covers_time: ClassVar[bool]
    """Whether the signature covers a time, so that a replay is accepted for minutes only."""
    covers_body: ClassVar[bool]

    def verify(
        self, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float
    ) -> str | None:
        """Check a request's signature.

        Args:
            secrets: the valid secrets, any of which may have signed. Empty ones are ignored.
            headers: the request's headers, by name in lower case.
            body: the raw body.
            now: seconds since the epoch.

        Returns:
            The delivery's id, where the signature covers one.

        Raises:
            SignatureInvalid: for each failure. No other exception is raised.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """Standard Webhooks 1.0, and Svix, which differs only in the names of the headers.

    Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """

    covers_time: ClassVar[bool] = True
    covers_body: ClassVar[bool] = True
    tolerance_seconds: float = TOLERANCE_SECONDS

    def verify(
        self, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float
    ) -> str | None:
        """See `Scheme`."""
        system = "webhook" if "webhook-signature" in headers else "svix"
        listed = _header(headers, f"{system}-signature").split()
        delivery_id = _header(headers, f"{system}-id")
        if "." in delivery_id:  # with a full stop in the id, the signed text would be ambiguous
            raise SignatureInvalid("id_malformed")
        timestamp = _header(headers, f"{system}-timestamp")
        _check_age(timestamp, now=now, tolerance=self.tolerance_seconds)
        prefix = "v1,"
        listed = [text.removeprefix(prefix) for text in listed if text.startswith(prefix)]
        signatures = _decoded(map(_base64, listed))
        keys = _decoded(decode_key(secret) for secret in _given(secrets))
        _compare(keys, f"{delivery_id}.{timestamp}.".encode() + body, signatures)
        return delivery_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Timestamped:
    """One header that holds a time and signatures: `t=1700000000,v1=<hex>`.

    Source: https://docs.stripe.com/webhooks#verify-manually
    """

    covers_time: ClassVar[bool] = True
    covers_body: ClassVar[bool] = True
    header: str
    signature_key: str = "v1"
    units_per_second: Literal[1, 1000] = 1
    tolerance_seconds: float = TOLERANCE_SECONDS

    def verify(
        self, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float
    ) -> None:
        """See `Scheme`."""
        parts = [part.strip().partition("=") for part in _header(headers, self.header).split(",")]
        times = [value for key, _, value in parts if key == "t"]
        if len(times) != 1:
            raise SignatureInvalid("timestamp_malformed")
        _check_age(
            times[0], now=now, tolerance=self.tolerance_seconds, per_second=self.units_per_second
        )
        signatures = _decoded(_hex(value) for key, _, value in parts if key == self.signature_key)
        _compare(_verbatim(secrets), f"{times[0]}.".encode() + body, signatures)


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyHmac:
    """A signature over the body alone. It covers no time, so a request can be replayed.

    Attributes:
        header: The name of the header that holds the signature.
        encoding: The encoding of the signature.
        prefix: The text before the signature in the header, such as `sha256=` or `HMAC `.
        url: The webhook's address, where the system signs it before the body (Square). It is never
            taken from the request, because the sender could name another.
    """

    covers_time: ClassVar[bool] = False
    covers_body: ClassVar[bool] = True
    header: str
    encoding: Literal["hex", "base64"]
    prefix: str = ""
    url: str = ""

    def verify(
        self, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float
    ) -> None:
        """See `Scheme`."""
        del now
        decode: Callable[[str], bytes | None] = _hex if self.encoding == "hex" else _base64
        # The prefix may hold blanks and commas. Its capitals and the blanks after it do not matter.
        one = re.compile(rf"(?:^|[,\s])(?i:{re.escape(self.prefix)})[ ]{{0,3}}([^,\s]+)")
        signatures = _decoded(map(decode, one.findall(_header(headers, self.header))))
        _compare(_verbatim(secrets), self.url.encode() + body, signatures)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedToken:
    """A fixed header value that only the booking system knows. It does not cover the body."""

    covers_time: ClassVar[bool] = False
    covers_body: ClassVar[bool] = False
    header: str
    prefix: str = ""

    def verify(
        self, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float
    ) -> None:
        """See `Scheme`."""
        del body, now
        value = _header(headers, self.header).strip()
        if not value.lower().startswith(self.prefix.lower()):  # "bearer" is accepted like "Bearer"
            raise SignatureInvalid("signature_malformed")
        given = hashlib.sha256(value[len(self.prefix) :].lstrip().encode()).digest()
        _check_any(
            [hmac.compare_digest(hashlib.sha256(key).digest(), given) for key in _verbatim(secrets)]
        )


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    if not value:
        raise SignatureInvalid("signature_missing")
    if len(value) > _MOST_HEADER_CHARACTERS or not value.isascii():
        raise SignatureInvalid("signature_malformed")
    return value


def _check_age(text: str, *, now: float, tolerance: float, per_second: int = 1) -> None:
    if _TIMESTAMP.fullmatch(text) is None:
        raise SignatureInvalid("timestamp_malformed")
    age = now - int(text) / per_second
    if age > tolerance:
        raise SignatureInvalid("timestamp_too_old")
    if age < -tolerance:
        raise SignatureInvalid("timestamp_too_new")


def _compare(keys: Sequence[bytes], signed: bytes, signatures: Sequence[bytes]) -> None:
    if not signatures:
        raise SignatureInvalid("signature_malformed")
    expected = [hmac.digest(key, signed, "sha256") for key in keys]
    _check_any([hmac.compare_digest(one, other) for one in expected for other in signatures])


def _check_any(matches: Sequence[bool]) -> None:
    """Decide after all comparisons, so that the time does not show which secret matched."""
    if not matches:
        raise SignatureInvalid(SECRET_MISSING)
    if not any(matches):
        raise SignatureInvalid(DIFFERS)


def _given(secrets: Sequence[str]) -> list[str]:
    # A secret that was set from a file often ends with a line break.
    given = (secret.rstrip("\r\n") for secret in secrets)
    return [secret for secret in given if secret.strip() not in ("", _CALCOM_UNSET)]


def _verbatim(secrets: Sequence[str]) -> list[bytes]:
    return [secret.encode("utf-8", "surrogatepass") for secret in _given(secrets)]


def _decoded(values: Iterable[bytes | None]) -> list[bytes]:
    return [value for value in values if value]


def _hex(text: str) -> bytes | None:
    return bytes.fromhex(text) if _SHA256_HEX.fullmatch(text) else None


def _base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
