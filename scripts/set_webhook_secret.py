#!/usr/bin/env python3
"""Puts a secret of webhooks or deliveries into the app's Key Vault.

Needs the Azure role Key Vault Secrets Officer on the vault, signed in by `az login`. Python 3.10
or newer and scripts/requirements.txt; runs in Cloud Shell too.

The secret is what a booking system signs its webhooks with, or what the app signs deliveries with
(--delivery), or a destination's URL where it is itself a secret (--delivery-url).

By default it makes a secret and shows it once, to be pasted into the booking system. With --prompt
it asks for a secret that the booking system has made. An existing secret stays, unless --rotate
adds a new version. The app accepts the newest two versions, so that no webhook is refused until the
booking system has the new one. It signs deliveries with both.
"""

import argparse
import base64
import getpass
import logging
import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from command_line import Parser, end_without_package, not_signed_in

try:
    from azure.core.exceptions import (
        AzureError,
        ClientAuthenticationError,
        HttpResponseError,
        ResourceNotFoundError,
        ServiceRequestError,
    )
    from azure.identity import AzureCliCredential
    from azure.keyvault.secrets import SecretClient
except ModuleNotFoundError as missing:
    end_without_package(missing)

HOUR = 3600
ROTATION_PAUSE_HOURS = 24
_SOURCE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECRET_NAME = re.compile(r"[A-Za-z0-9-]{1,127}")
_VAULT = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]")
_KEY_BYTES = range(24, 65)  # of a secret by the Standard Webhooks specification
_URL = re.compile(r"https://[!-~]{1,8184}")
_NO_SECRETS = ("", "no-secret-provided")
_NOT_ALLOWED = (
    "You are signed in, but may not write secrets in {0}: it needs the Azure role Key Vault "
    "Secrets Officer on the vault. An owner grants it with OPERATOR_PRINCIPAL_ID (docs/deploy.md); "
    "a new role takes some minutes to count."
)
_INSIDE_ONLY = (
    "The vault {0} answers inside its virtual network only: run this from a machine in that "
    "network."
)
_REFUSALS = {  # texts of a response and their meaning; the first that fits counts
    "ForbiddenByConnection": _INSIDE_ONLY,
    "ublic network access is disabled": _INSIDE_ONLY,
    "deleted but recoverable": "A secret of that name was deleted and still keeps its name. "
    "Recover it, then use --rotate: az keyvault secret recover --vault-name {0} --name NAME",
    "401 ": "The vault {0} did not accept the sign-in: run `az login` for its tenant.",
    "403 ": _NOT_ALLOWED,
    "429 ": "The vault {0} is busy and asks to wait: run this again in some minutes.",
}


@dataclass(frozen=True)
class Kind:
    """The purpose of the secret.

    Attributes:
        name: The secret's default name; {} stands for the source's or destination's name.
        setting: The setting and the member that name the secret.
        receiver: The text that says who gets the secret.
        before: The text that says how the previous version is used.
    """

    name: str
    setting: str
    receiver: str
    before: str


_WEBHOOK = Kind(
    name="webhook-{}",
    setting='WEBHOOK_SOURCES names the secret: "secret": "{}"',
    receiver="Paste this secret into {}, it is not shown again:",
    before="The version from before is accepted beside it.",
)
_DELIVERY = Kind(
    name="delivery-{}",
    setting='DELIVERIES names the secret: "secret": "{}"',
    receiver="Give this secret to whoever runs {}, it is not shown again:",
    before="Deliveries are signed with the version from before as well.",
)
_DELIVERY_URL = Kind(
    name="delivery-{}-url",
    setting='DELIVERIES names the secret: "urlSecret": "{}"',
    receiver="",
    before="Deliveries go to the new URL from then on.",
)


class SecretError(Exception):
    """The secret cannot be set. The text tells the administrator why."""


@dataclass(frozen=True)
class Version:
    """A version of the secret that the app would accept. Times are in seconds since the epoch."""

    version: str
    created: float


def make(*, standard: bool) -> str:
    """Make a secret of 32 random bytes.

    Args:
        standard: Whether to write it as Standard Webhooks do, or as plain text.
    """
    if standard:
        return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode("ascii")
    # In letters that are base64 as well, so that a Standard Webhooks source can read it.
    return secrets.token_hex(32)


def check(secret: str, *, standard: bool) -> str:
    """Return a secret without the blanks around it.

    Raises:
        SecretError: It is not a usable secret.
    """
    secret = secret.strip()
    if secret in _NO_SECRETS:
        raise SecretError("That is no secret: nothing was changed.")
    if standard:
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError:
            key = b""
        if len(key) not in _KEY_BYTES:
            raise SecretError(
                "A secret by the Standard Webhooks specification is whsec_ and then base64 of 24 "
                "to 64 bytes; this is not one. Nothing was changed."
            )
    return secret


def check_url(url: str) -> str:
    """Return a destination's URL without the blanks around it.

    Raises:
        SecretError: Deliveries cannot go to this URL.
    """
    url = url.strip()
    if not _URL.fullmatch(url):
        raise SecretError(
            "That is no URL that begins with https:// and holds no blanks. Nothing was changed."
        )
    return url


def may_rotate(live: Sequence[Version], *, now: float) -> bool:
    """Say whether the booking system's version stays valid after one more rotation.

    The app accepts the newest two versions. So a second rotation soon after the first makes the
    oldest one invalid, which the booking system may still use.
    """
    newest = max((version.created for version in live), default=0.0)
    return len(live) < 2 or now - newest >= ROTATION_PAUSE_HOURS * HOUR


class Vault:
    """One secret in a vault.

    Args:
        client: The vault.
        name: The secret's name.
    """

    def __init__(self, client: SecretClient, name: str) -> None:
        self._client = client
        self._name = name

    def live(self, now: float) -> list[Version]:
        """List the versions that are enabled and not expired."""
        try:
            found = list(self._client.list_properties_of_secret_versions(self._name))
        except ResourceNotFoundError:
            return []
        return [
            Version(one.version or "", one.created_on.timestamp() if one.created_on else 0.0)
            for one in found
            if one.enabled and (one.expires_on is None or one.expires_on.timestamp() > now)
        ]

    def add(self, secret: str) -> None:
        """Add a version, which becomes the current one."""
        self._client.set_secret(self._name, secret, content_type="text/plain")

    def expire(self, version: Version, when: float) -> None:
        """Set the time when a version expires."""
        utc = timezone.utc  # noqa: UP017 - Python 3.10 has no datetime.UTC
        self._client.update_secret_properties(
            self._name, version.version, expires_on=datetime.fromtimestamp(when, tz=utc)
        )


def set_secret(vault: Vault, options: argparse.Namespace) -> None:
    """Set the secret by the options, and print what was done.

    Raises:
        SecretError: It cannot be done.
        AzureError: The vault refused it.
    """
    now = time.time()
    kind: Kind = options.kind
    live = vault.live(now)
    if live and not options.rotate:
        print(f"{options.secret_name} is there already, and stays as it is: use --rotate to")
        print("put a new one beside it. Its value is shown by nobody but the vault.")
        return
    both_count = kind is not _DELIVERY_URL
    if both_count and options.rotate and not options.again and not may_rotate(live, now=now):
        raise SecretError(
            f"The last rotation was less than {ROTATION_PAUSE_HOURS} hours ago, and the app "
            "accepts the newest two versions: another one now would shut out the one from before. "
            "If the booking system has the newest one already, add --again."
        )
    if options.what_if:
        print(f"Would add a version of {options.secret_name}. Nothing was changed.")
        return
    secret = _secret_for(options)
    vault.add(secret)
    print(f"{options.secret_name}: a new version is in the vault.")
    if options.expire_old is not None:
        for version in live:
            vault.expire(version, now + options.expire_old * HOUR)
        print(f"The versions from before end in {options.expire_old:g} hours.")
    elif live:
        print(kind.before)
    print()
    if not options.prompt and kind is not _DELIVERY_URL:
        print(f"{kind.receiver.format(options.source)}\n\n  {secret}\n")
    if kind is _WEBHOOK:
        app = os.environ.get("FUNCTION_APP_URL", "https://YOUR-APP.azurewebsites.net")
        print(f"The webhook's address: {app}/api/webhooks/{options.source}")
    print(kind.setting.format(options.secret_name))
    print("The app reads it within five minutes.")


def _secret_for(options: argparse.Namespace) -> str:
    if options.kind is _DELIVERY_URL:
        return check_url(_ask("The destination's URL (it is not shown): "))
    if options.prompt:
        return check(_ask("The secret (it is not shown): "), standard=options.standard)
    return make(standard=options.standard)


def _ask(question: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(question)
    return sys.stdin.readline()


def sentence(error: Exception, vault: str) -> str:
    """Give the sentence for the administrator about a failure."""
    if isinstance(error, HttpResponseError) and error.status_code:
        text = f"{error.status_code} {error}"
        found = (meaning for mark, meaning in _REFUSALS.items() if mark in text)
        return next(found, f"The vault answered {error.status_code}. Run this again.").format(vault)
    if isinstance(error, ClientAuthenticationError):
        return not_signed_in(error)
    if isinstance(error, ServiceRequestError):
        return f"The vault {vault} could not be reached: is that its name?"
    return str(error)


def _named(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def name(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError
        return text

    return name


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add(
        "source",
        metavar="NAME",
        type=_named(_SOURCE),
        help="a source's name in WEBHOOK_SOURCES, or a destination's in DELIVERIES",
    )
    add(
        "--delivery",
        dest="kind",
        action="store_const",
        const=_DELIVERY,
        default=_WEBHOOK,
        help="the secret that deliveries to a destination are signed with: whsec_…",
    )
    add(
        "--delivery-url",
        dest="kind",
        action="store_const",
        const=_DELIVERY_URL,
        help="a destination's URL that is itself a secret, such as a flow's: it is asked for",
    )
    add(
        "--vault",
        type=_named(_VAULT),
        default=os.environ.get("KEY_VAULT_NAME"),
        metavar="NAME",
        help="the vault (default: KEY_VAULT_NAME of the environment; with azd: "
        "azd env get-value KEY_VAULT_NAME)",
    )
    add(
        "--secret-name",
        type=_named(_SECRET_NAME),
        metavar="NAME",
        help="the secret's name (default: webhook-NAME, delivery-NAME or delivery-NAME-url, with - "
        "for each _)",
    )
    add("--standard", action="store_true", help="a secret for Standard Webhooks or Svix: whsec_…")
    add("--prompt", action="store_true", help="ask for the secret, or read it from a pipe")
    add("--rotate", action="store_true", help="put a new version beside the one that is there")
    add("--again", action="store_true", help="rotate although the last rotation was just now")
    add(
        "--expire-old",
        type=float,
        metavar="HOURS",
        help="with --rotate: let the versions from before end then, 0 for a secret that leaked",
    )
    add("--what-if", action="store_true", help="change nothing, say what would be done")
    return parser


def main() -> int:
    """Run the command."""
    parser = _parser()
    options = parser.parse_args()
    if not options.vault:
        parser.error("name the vault: --vault NAME")
    if options.expire_old is not None and not options.rotate:
        parser.error("--expire-old goes with --rotate")
    options.standard = options.standard or options.kind is _DELIVERY
    name = options.source.replace("_", "-")
    options.secret_name = options.secret_name or options.kind.name.format(name)
    logging.getLogger("azure").setLevel(logging.CRITICAL)  # what it warns of is said below
    credential = AzureCliCredential(process_timeout=60)
    url = f"https://{options.vault}.vault.azure.net"
    try:
        with SecretClient(url, credential, retry_total=5) as client:
            set_secret(Vault(client, options.secret_name), options)
    except (SecretError, AzureError) as error:
        print(sentence(error, options.vault), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
