"""A delivery's signature: the receivers' libraries verify it."""

import base64
import json
import time

import pytest
import standardwebhooks
import svix.webhooks
from hypothesis import given
from hypothesis import strategies as st

from shared.deliveries.signing import NoUsableSecret, sign

OLD = f"whsec_{base64.b64encode(b'o' * 24).decode()}"
NEW = f"whsec_{base64.b64encode(b'n' * 64).decode()}"
BODY = json.dumps({"type": "join_link.resolved", "data": {"context": "Zoë \U0001f600"}}).encode()


def headers(*secrets: str, body: bytes = BODY) -> dict[str, str]:
    """Sign now."""
    return sign(secrets, delivery_id="msg_1", timestamp=int(time.time()), body=body)


def verify(secret: str, signed: dict[str, str], body: bytes = BODY) -> None:
    """Let both libraries look; each raises where it does not believe it."""
    standardwebhooks.Webhook(secret).verify(body, dict(signed))
    svix.webhooks.Webhook(secret).verify(body, dict(signed))


def test_a_receivers_library_verifies_a_delivery() -> None:
    """`standardwebhooks` and `svix`, as receivers use them."""
    verify(NEW, headers(NEW))


@pytest.mark.parametrize("known", [OLD, NEW])
def test_during_a_rotation_both_secrets_verify(known: str) -> None:
    """Both of the two newest versions sign."""
    verify(known, headers(NEW, OLD))


@pytest.mark.parametrize("library", [standardwebhooks.Webhook, svix.webhooks.Webhook])
def test_no_other_secret_and_no_other_body_verifies(library: type) -> None:
    """The libraries really check the signature."""
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        library(OLD).verify(BODY, headers(NEW))
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        library(NEW).verify(BODY + b" ", headers(NEW))


@given(st.binary(min_size=24, max_size=64), st.text().map(lambda text: json.dumps(text).encode()))
def test_every_secret_and_body_is_signed_as_the_library_signs(key: bytes, body: bytes) -> None:
    """For secrets with and without `whsec_`, and with a line break at the end."""
    secret = base64.b64encode(key).decode()
    signed = headers(secret, body=body)

    verify(secret, signed, body)
    assert (
        headers(f"whsec_{secret}\n", body=body)["webhook-signature"] == signed["webhook-signature"]
    )


@pytest.mark.parametrize(
    "secrets",
    [
        (),
        ("",),
        ("whsec_",),
        ("whsec_not base64",),
        (f"whsec_{base64.b64encode(b's' * 23).decode()}",),
        (f"whsec_{base64.b64encode(b's' * 65).decode()}",),
        ("whsec_schlüssel",),
    ],
)
def test_without_a_secret_that_can_sign_nothing_is_signed(secrets: tuple[str, ...]) -> None:
    """A short key is not secure. The error does not show it."""
    with pytest.raises(NoUsableSecret) as refused:
        headers(*secrets)

    assert all(secret not in str(refused.value) for secret in secrets if len(secret) > 6)


def test_a_secrets_version_that_cannot_sign_is_skipped() -> None:
    """The other version still signs."""
    verify(OLD, headers("mistyped", OLD))
