"""The four signature schemes: valid signatures are accepted, and each failure is one error."""

import base64
import hashlib
import hmac
import json
import string
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
import stripe
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import SignatureInvalid
from shared.webhooks.signatures import BodyHmac, Scheme, SharedToken, Standard, Timestamped
from shared.webhooks.sources import _OPTIONS, read_sources

NOW = 1_700_000_000
SECRET = "open sesame"
KEY = base64.b64encode(b"thirty-two bytes of a secret key").decode()
BODY = ' {"name":\t"Zoë",  "n": 1.50}\r\n'.encode()
VECTORS = json.loads((Path(__file__).parent / "vectors" / "signatures.json").read_text("utf-8"))


@dataclass(frozen=True)
class Signed:
    """A request that a scheme accepts, for tests to change in one place."""

    scheme: Scheme
    secrets: tuple[str, ...]
    headers: Mapping[str, str]
    body: bytes = BODY
    now: float = NOW

    def verify(self) -> str | None:
        """Check it."""
        return self.scheme.verify(self.secrets, self.headers, self.body, self.now)

    def fault(self) -> str:
        """Give the code of a request's failure."""
        with pytest.raises(SignatureInvalid) as caught:
            self.verify()
        return caught.value.detail


def mac(signed: bytes, key: bytes = SECRET.encode()) -> bytes:
    """Sign."""
    return hmac.new(key, signed, hashlib.sha256).digest()


def standard(**changes: Any) -> Signed:  # noqa: ANN401
    """Sign as Standard Webhooks do."""
    signed = mac(f"msg_1.{NOW}.".encode() + BODY, base64.b64decode(KEY))
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(NOW),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
    return replace(Signed(Standard(), (f"whsec_{KEY}",), headers), **changes)


def timestamped(**changes: Any) -> Signed:  # noqa: ANN401
    """Sign as Stripe does."""
    value = f"t={NOW},v1={mac(f'{NOW}.'.encode() + BODY).hex()}"
    return replace(Signed(Timestamped(header="sig"), (SECRET,), {"sig": value}), **changes)


def body_hmac(**changes: Any) -> Signed:  # noqa: ANN401
    """Sign as GitHub does."""
    scheme = BodyHmac(header="sig", encoding="hex", prefix="sha256=")
    return replace(Signed(scheme, (SECRET,), {"sig": f"sha256={mac(BODY).hex()}"}), **changes)


def token(**changes: Any) -> Signed:  # noqa: ANN401
    """Authorize as a FHIR subscription does."""
    scheme = SharedToken(header="authorization", prefix="Bearer ")
    return replace(Signed(scheme, (SECRET,), {"authorization": f"Bearer {SECRET}"}), **changes)


ALL = {"standard": standard, "timestamped": timestamped, "body-hmac": body_hmac, "token": token}
DATED = {"standard": standard, "timestamped": timestamped}
WITH_BODY = {"standard": standard, "timestamped": timestamped, "body-hmac": body_hmac}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["system"]))
def test_a_booking_systems_own_signature_is_accepted(vector: dict[str, Any]) -> None:
    """Published by the system, or computed with openssl. With one byte changed, it is refused."""
    configured = {"scheme": vector["scheme"], "secret": "s", "mapping": {"joinWebUrl": "url"}}
    sources = read_sources({"source": configured})
    scheme = sources.valid["source"].scheme
    body = vector["body"].encode()

    scheme.verify((vector["secret"],), vector["headers"], body, vector["now"])

    with pytest.raises(SignatureInvalid, match="signature_differs"):
        scheme.verify((vector["secret"],), vector["headers"], body + b" ", vector["now"])


def test_each_scheme_is_tested_here() -> None:
    """By a factory, and by a booking system's own signature where there is one."""
    with_vectors = {vector["scheme"]["type"] for vector in VECTORS}
    assert set(ALL) == set(_OPTIONS)
    assert with_vectors == set(ALL) - {"token"}


def test_there_is_a_vector_for_each_system() -> None:
    """For each booking system that the app names."""
    assert {vector["system"] for vector in VECTORS} == {
        *("Cal.com", "Calendly", "Acuity", "Square", "Stripe", "GitHub", "Shopify"),
        *("Zoho Payments", "Standard Webhooks", "Svix"),
    }


@given(body=st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_a_signature_of_the_standardwebhooks_library_is_accepted(body: str) -> None:
    """For any body."""
    signature = standardwebhooks.Webhook(KEY).sign("msg_1", datetime.fromtimestamp(NOW, UTC), body)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(NOW),
        "webhook-signature": signature,
    }

    assert standard(headers=headers, body=body.encode()).verify() == "msg_1"


@given(body=st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_stripes_library_accepts_the_header_that_the_app_accepts(body: str) -> None:
    """Stripe's library verifies it."""
    now = int(time.time())
    value = f"t={now},v1={mac(f'{now}.{body}'.encode()).hex()}"

    stripe.WebhookSignature.verify_header(body, value, SECRET, 300)

    timestamped(headers={"sig": value}, body=body.encode(), now=now).verify()


@pytest.mark.parametrize("sign", ALL.values(), ids=ALL)
def test_any_of_several_secrets_may_have_signed(sign: Any) -> None:  # noqa: ANN401
    """So that a secret can be rotated."""
    (secret,) = sign().secrets
    other = f"whsec_{base64.b64encode(b'another').decode()}"

    sign(secrets=(other, secret)).verify()
    sign(secrets=(secret, other)).verify()
    assert sign(secrets=(other,)).fault() == "signature_differs"


@pytest.mark.parametrize("sign", ALL.values(), ids=ALL)
@pytest.mark.parametrize("secrets", [(), ("",), (" \n",), ("no-secret-provided",)])
def test_without_a_secret_everything_is_refused(sign: Any, secrets: tuple[str, ...]) -> None:  # noqa: ANN401
    """An empty secret counts as none, and so does the word that Cal.com sends for none."""
    assert sign(secrets=secrets).fault() == "secret_missing"


@pytest.mark.parametrize("key", ["", "no-secret-provided"])
def test_a_signature_by_an_empty_secret_is_refused(key: str) -> None:
    """Everybody knows that key."""
    signature = f"sha256={mac(BODY, key.encode()).hex()}"
    assert body_hmac(secrets=(key,), headers={"sig": signature}).fault() == "secret_missing"


def test_a_standard_secret_is_its_decoded_bytes() -> None:
    """With or without its prefix and padding, or with `v1,` before it.

    A text that is not base64 is not a secret.
    """
    standard(secrets=(KEY,)).verify()
    standard(secrets=(KEY.rstrip("=") + "\n",)).verify()
    standard(secrets=(f"v1,{KEY}",)).verify()
    assert standard(secrets=("whsec_*",)).fault() == "secret_missing"
    assert standard(secrets=("whsec_",)).fault() == "secret_missing"


def test_stripe_s_secret_is_used_verbatim() -> None:
    """Although it begins with `whsec_` as well."""
    value = f"t={NOW},v1={mac(f'{NOW}.'.encode() + BODY, b'whsec_abc').hex()}"
    timestamped(secrets=("whsec_abc",), headers={"sig": value}).verify()


def test_an_id_with_a_full_stop_is_refused() -> None:
    """The signature would fit two readings: the id `a.1`, or the id `a` and the time `1`."""
    signed = mac(f"msg.1.{NOW}.".encode() + BODY, base64.b64decode(KEY))
    headers = {
        "webhook-id": "msg.1",
        "webhook-timestamp": str(NOW),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }

    assert standard(headers=headers).fault() == "id_malformed"


@pytest.mark.parametrize("prefix", ["", "sha256=", "HMAC ", "v1, ", "a,b ", "$(.*)"])
def test_a_prefix_may_hold_blanks_and_commas(prefix: str) -> None:
    """As in Teams' outgoing webhooks, before one signature or several.

    Its capitals and the blanks after it do not matter.
    """
    scheme = BodyHmac(header="sig", encoding="base64", prefix=prefix)
    right, wrong = (base64.b64encode(mac(BODY, key)).decode() for key in (SECRET.encode(), b"x"))

    for value in (
        f"{prefix}{right}",
        f"{prefix}{wrong},{prefix}{right}",
        f"{prefix}{right} {prefix}{wrong}",
        f"{prefix.swapcase()} {right}",
    ):
        body_hmac(scheme=scheme, headers={"sig": value}).verify()
    assert body_hmac(scheme=scheme, headers={"sig": prefix + wrong}).fault() == "signature_differs"
    if prefix:
        assert body_hmac(scheme=scheme, headers={"sig": right}).fault() == "signature_malformed"
        doubled = f"x{prefix}{right}"
        assert body_hmac(scheme=scheme, headers={"sig": doubled}).fault() == "signature_malformed"


@pytest.mark.parametrize("sign", DATED.values(), ids=DATED)
@pytest.mark.parametrize(
    ("age", "fault"),
    [(300, None), (-300, None), (301, "timestamp_too_old"), (-301, "timestamp_too_new")],
)
def test_a_signature_holds_for_five_minutes_either_way(
    sign: Any,  # noqa: ANN401
    age: int,
    fault: str | None,
) -> None:
    """A valid signature that is older, or further in the future, is refused."""
    signed = sign(now=NOW + age)
    if fault is None:
        signed.verify()
    else:
        assert signed.fault() == fault


def test_a_time_in_milliseconds_is_read() -> None:
    """As Zoho sends it."""
    scheme = Timestamped(header="sig", signature_key="v", units_per_second=1000)
    value = f"t={NOW}999,v={mac(f'{NOW}999.'.encode() + BODY).hex()}"
    timestamped(scheme=scheme, headers={"sig": value}).verify()


@pytest.mark.parametrize("kind", WITH_BODY)
def test_one_of_several_signatures_is_enough(kind: str) -> None:
    """So that the sender can rotate its secret."""
    signed = WITH_BODY[kind]()
    name = "sig" if "sig" in signed.headers else "webhook-signature"
    right = signed.headers[name]
    wrong = {
        "standard": f"v2,x v1,!! v1,{base64.b64encode(b'x' * 32).decode()} {right}",
        "timestamped": right.replace(",v1=", f",v0=1,v1=zz,v1={'0' * 64},v1="),
        "body-hmac": f"sha1=0,sha256={'0' * 64}, {right}",
    }
    replace(signed, headers={**signed.headers, name: wrong[kind]}).verify()


@pytest.mark.parametrize("sign", ALL.values(), ids=ALL)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_break_at_the_end_of_a_secret_is_ignored(sign: Any, end: str) -> None:  # noqa: ANN401
    """A secret that was set from a file often has one."""
    (secret,) = sign().secrets
    sign(secrets=(secret + end,)).verify()


@pytest.mark.parametrize("sign", ALL.values(), ids=ALL)
@pytest.mark.parametrize(
    "value", ["", " ", ",", "=", "t=,v1=", "ключ", "\ud800", "v1," + "A" * 9000, "sha256=0g", "\0"]
)
def test_a_malformed_header_is_signature_invalid(sign: Any, value: str) -> None:  # noqa: ANN401
    """Empty, too long, not ASCII, or nonsense, for each header."""
    for name in sign().headers:
        fault = sign(headers={**sign().headers, name: value}).fault()
        assert fault.replace("_", "").isalpha()


@pytest.mark.parametrize(
    "value",
    [
        f"v1={'0' * 64}",
        f"t=1,t={NOW},v1={'0' * 64}",
        f"t=٣,v1={'0' * 64}",
        f"t=-1,v1={'0' * 64}",
        f"t={'9' * 400},v1={'0' * 64}",
        f"t=1e9,v1={'0' * 64}",
    ],
)
def test_a_malformed_time_is_refused(value: str) -> None:
    """None, two, other digits than ASCII, a sign, or very many digits."""
    fault = timestamped(headers={"sig": value}).fault()
    assert fault in ("timestamp_malformed", "signature_malformed")


def test_svixs_header_names_are_accepted() -> None:
    """But not a mixture of both."""
    headers = standard().headers
    svix = {name.replace("webhook", "svix"): value for name, value in headers.items()}
    mixed = {**headers, "svix-id": "msg_2"} | {"webhook-id": ""}

    assert standard(headers=svix).verify() == "msg_1"
    assert standard(headers=mixed).fault() == "signature_missing"


def test_a_scheme_name_is_read_in_any_case() -> None:
    """But the token is not."""
    token(headers={"authorization": f"bearer {SECRET}"}).verify()
    wrong = token(headers={"authorization": f"Bearer {SECRET.upper()}"})
    assert wrong.fault() == "signature_differs"
    assert token(headers={"authorization": SECRET}).fault() == "signature_malformed"


def test_the_url_comes_from_the_configuration() -> None:
    """The request's Host header does not matter."""
    url = "https://example.com/api/webhooks/square"
    scheme = BodyHmac(header="sig", encoding="base64", url=url)
    signature = base64.b64encode(mac(url.encode() + BODY)).decode()
    headers = {"sig": signature, "host": "evil.example"}
    body_hmac(scheme=scheme, headers=headers).verify()
    other = replace(scheme, url="https://evil.example/api/webhooks/square")
    assert body_hmac(scheme=other, headers=headers).fault() == "signature_differs"


_NAMES = ("webhook-id", "webhook-timestamp", "webhook-signature", "svix-signature")
_HEADERS = st.dictionaries(
    st.sampled_from([*_NAMES, "svix-id", "svix-timestamp", "sig", "authorization"]),
    st.text() | st.text(string.printable) | st.from_regex(r"t=\d+,v1=\w*", fullmatch=True),
)


@given(
    kind=st.sampled_from(sorted(ALL)),
    headers=_HEADERS,
    body=st.binary(),
    secrets=st.lists(st.text(), max_size=3),
)
def test_any_other_request_is_signature_invalid(
    kind: str, headers: dict[str, str], body: bytes, secrets: list[str]
) -> None:
    """For any bytes, headers and secrets. No other exception is raised."""
    ALL[kind](headers=headers, body=body, secrets=tuple(secrets)).fault()


@given(data=st.data(), kind=st.sampled_from(sorted(ALL)))
def test_a_valid_request_changed_in_one_place_is_signature_invalid(
    data: st.DataObject, kind: str
) -> None:
    """In one character of a header, or one byte of the body."""
    signed = ALL[kind]()
    places = [*signed.headers, "body"] if kind in WITH_BODY else [*signed.headers]
    place = data.draw(st.sampled_from(places))
    if place == "body":
        index = data.draw(st.integers(0, len(BODY) - 1))
        byte = data.draw(st.integers(0, 255).filter(lambda value: value != BODY[index]))
        body = BODY[:index] + bytes([byte]) + BODY[index + 1 :]
        assert replace(signed, body=body).fault() == "signature_differs"
        return
    value = signed.headers[place]
    index = data.draw(st.integers(0, len(value) - 1))
    character = data.draw(st.characters())
    changed = value[:index] + character + value[index + 1 :]
    if _reads_alike(value, changed):
        return
    assert replace(signed, headers={**signed.headers, place: changed}).fault()


def _reads_alike(value: str, changed: str) -> bool:
    """Say whether two headers mean the same: by case, or by the spare bits of base64."""
    if value.startswith("v1,") and changed.startswith("v1,"):
        return _base64(value) == _base64(changed)
    if value.startswith("Bearer "):
        return value[7:] == changed[7:] and value.lower() == changed.lower()
    return value.lower() == changed.lower()


def _base64(value: str) -> bytes:
    try:
        return base64.b64decode(value[3:], validate=True)
    except ValueError:
        return b""
