"""Whom TLS trusts: the authorities that the environment names, else the platform's.

A folder of hashed certificates costs nothing to open. A bundle file is parsed whole, 24 ms of every
cold start; so requests' own is read only where the platform has no folder, or one that does not do.
"""

import os
import ssl
import weakref
from collections.abc import Mapping

import certifi

_CA_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_with_folder_alone: weakref.WeakSet[ssl.SSLContext] = weakref.WeakSet()


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
    folder = ssl.get_default_verify_paths().capath
    if folder is None:
        return ssl.create_default_context(cafile=certifi.where())
    context = ssl.create_default_context(capath=folder)
    _with_folder_alone.add(context)
    return context


def may_be_widened(context: ssl.SSLContext) -> bool:
    """Tell whether a context has the platform's folder, and not yet requests' bundle as well."""
    return context in _with_folder_alone


def widen(context: ssl.SSLContext) -> None:
    """Trust requests' bundle as well."""
    context.load_verify_locations(cafile=certifi.where())
    _with_folder_alone.discard(context)


def default_ca_bundle(environment: Mapping[str, str] = os.environ) -> str | None:
    """Name the bundle that the environment asks requests to use, if any."""
    return next(filter(None, map(environment.get, _CA_BUNDLES)), None)


def without_ca_bundle(environment: Mapping[str, str]) -> dict[str, str]:
    """Give the environment as it would be if it asked for no bundle."""
    return {name: value for name, value in environment.items() if name not in _CA_BUNDLES}
