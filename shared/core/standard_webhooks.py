"""The key of a Standard Webhooks secret: for who verifies a signature, and for who makes one.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii

_PREFIX = "whsec_"


def decode_key(secret: str) -> bytes | None:
    """Give the bytes that sign: `whsec_`, which may be missing, and their base64.

    None where it is no base64, or none of it is there.
    """
    text = secret.strip().removeprefix(_PREFIX)
    try:
        key = base64.b64decode((text + "=" * (-len(text) % 4)).encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return key or None
