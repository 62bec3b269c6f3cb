"""Signing a delivery as Standard Webhooks 1.0 ask for.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hmac
from collections.abc import Sequence

from shared.core.standard_webhooks import decode_key

_KEY_BYTES = range(24, 65)


class NoUsableSecret(Exception):
    """None of the secrets can sign. The text holds none of them."""


def sign(
    secrets: Sequence[str], *, delivery_id: str, timestamp: int, body: bytes
) -> dict[str, str]:
    """Give the headers that let a receiver verify a delivery.

    Every secret signs: while one is rotated, the receiver may know either.

    Args:
        secrets: `whsec_` and the base64 of 24 to 64 bytes each; others are passed over.
        delivery_id: the same one for every try; without a full stop.
        timestamp: of this try, in whole seconds since the epoch.
        body: as it goes out.

    Raises:
        NoUsableSecret: if no secret can sign.
    """
    keys = [key for key in map(decode_key, secrets) if key is not None and len(key) in _KEY_BYTES]
    if not keys:
        raise NoUsableSecret(
            "There is no secret that can sign: it has to be whsec_ and base64 of 24 to 64 bytes."
            if secrets
            else "There is no such secret."
        )
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys]
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
