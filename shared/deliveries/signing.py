"""Signs a delivery by Standard Webhooks 1.0.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hmac
from collections.abc import Sequence

from shared.core.standard_webhooks import decode_key

_KEY_BYTES = range(24, 65)


class NoUsableSecret(Exception):
    """None of the secrets can sign. The text does not quote a secret."""


def sign(
    secrets: Sequence[str], *, delivery_id: str, timestamp: int, body: bytes
) -> dict[str, str]:
    """Make the headers by which a receiver verifies a delivery.

    Each secret signs, because during a rotation the receiver may know the old or the new one.

    Args:
        secrets: each `whsec_` and the base64 of 24 to 64 bytes. Malformed ones are skipped.
        delivery_id: the delivery's id, the same for each try, without a full stop.
        timestamp: the time of this try, in whole seconds since the epoch.
        body: the body to post.

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
