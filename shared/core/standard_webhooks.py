"""Reads the key in a Standard Webhooks secret, to verify a webhook or to sign a delivery.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii

_PREFIXES = ("v1,", "whsec_")


def decode_key(secret: str) -> bytes | None:
    """Decode a secret to the key's bytes: an optional `whsec_`, then base64.

    Some systems show `v1,` before it, as before a signature.

    Returns:
        The key, or None where the text is not base64 or is empty.
    """
    text = secret.strip()
    for prefix in _PREFIXES:
        text = text.removeprefix(prefix)
    try:
        key = base64.b64decode((text + "=" * (-len(text) % 4)).encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return key or None
