"""Whom TLS trusts: the authorities that are named, else the platform's.

A folder of hashed certificates costs nothing to open. A bundle file is parsed whole, 24 ms of every
cold start; so requests' own is read only where the platform has no such folder.
"""

import os
import re
import ssl

import certifi

_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]")
_FEWEST_AUTHORITIES = 100
"""A platform's own folder holds more; one that was made for something else may lack Graph's."""


def make_context(ca_bundle: str | None) -> ssl.SSLContext:
    """Make the context for all connections, to trust the bundle (a file or a folder), if any.

    Raises:
        OSError: if it cannot be read.
    """
    place = ca_bundle or _platform_folder() or certifi.where()
    if os.path.isdir(place):  # noqa: PTH112 - as it came
        return ssl.create_default_context(capath=place)
    return ssl.create_default_context(cafile=place)


def _platform_folder() -> str | None:
    folder = ssl.get_default_verify_paths().capath  # SSL_CERT_DIR moves it
    try:
        names = os.listdir(folder or "")  # noqa: PTH208 - a name is all that is asked for
    except OSError:
        return None
    hashed = sum(_HASHED.fullmatch(name) is not None for name in names)
    return folder if hashed >= _FEWEST_AUTHORITIES else None
