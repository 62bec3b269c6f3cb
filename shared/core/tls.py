"""Which certificate authorities TLS trusts: a configured bundle, else the platform's.

OpenSSL reads single certificates from a folder when it needs them, which costs nothing at the
start. It parses a bundle file whole, which costs 24 ms of every cold start. So the bundle of
certifi is read only where the platform has no such folder.
"""

import os
import re
import ssl

import certifi

_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]")
_FEWEST_AUTHORITIES = 100
"""A platform's folder holds more. A smaller one may lack the authority of Graph's certificate."""


def make_context(ca_bundle: str | None) -> ssl.SSLContext:
    """Make the TLS context for all connections.

    Args:
        ca_bundle: a file or folder of certificate authorities; None for the platform's.

    Raises:
        OSError: if the bundle cannot be read.
    """
    place = ca_bundle or _platform_folder() or certifi.where()
    if os.path.isdir(place):  # noqa: PTH112 - the path as it is set
        return ssl.create_default_context(capath=place)
    return ssl.create_default_context(cafile=place)


def _platform_folder() -> str | None:
    folder = ssl.get_default_verify_paths().capath  # SSL_CERT_DIR moves it
    try:
        names = os.listdir(folder or "")  # noqa: PTH208 - only names are needed
    except OSError:
        return None
    hashed = sum(_HASHED.fullmatch(name) is not None for name in names)
    return folder if hashed >= _FEWEST_AUTHORITIES else None
