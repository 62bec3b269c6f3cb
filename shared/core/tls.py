"""Whom TLS trusts: the authorities that REQUESTS_CA_BUNDLE names, else the platform's.

A folder of hashed certificates costs nothing to open. A bundle file is parsed whole, 24 ms of every
cold start; so requests' own is read only where the platform has no such folder.
"""

import os
import re
import ssl
from collections.abc import Mapping

import certifi

_CA_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]")
_FEWEST_AUTHORITIES = 100
"""A platform's own folder holds more; one that was made for something else may lack Graph's."""


def make_context(ca_bundle: str | None) -> ssl.SSLContext:
    """Make the context for all connections.

    Args:
        ca_bundle: the authorities to trust instead of the platform's; a file or a folder.

    Raises:
        OSError: if those cannot be read.
    """
    if ca_bundle is not None:
        if os.path.isdir(ca_bundle):  # noqa: PTH112 - as it came
            return ssl.create_default_context(capath=ca_bundle)
        return ssl.create_default_context(cafile=ca_bundle)
    # Of the variables that OpenSSL knows, SSL_CERT_DIR moves it.
    folder = ssl.get_default_verify_paths().capath
    if folder is not None and _is_the_platforms(folder):
        return ssl.create_default_context(capath=folder)
    return ssl.create_default_context(cafile=certifi.where())


def _is_the_platforms(folder: str) -> bool:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - a name is all that is asked for
    except OSError:
        return False
    return sum(_HASHED.fullmatch(name) is not None for name in names) >= _FEWEST_AUTHORITIES


def default_ca_bundle(environment: Mapping[str, str] = os.environ) -> str | None:
    """Name the bundle that the environment asks requests to use, if any."""
    return next(filter(None, map(environment.get, _CA_BUNDLES)), None)


def without_ca_bundle(environment: Mapping[str, str]) -> dict[str, str]:
    """Give the environment as it would be if it asked for no bundle."""
    return {name: value for name, value in environment.items() if name not in _CA_BUNDLES}
