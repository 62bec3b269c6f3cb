#!/usr/bin/env python3
"""Grants the app's managed identity its permissions on Microsoft Graph.

Needs the directory role Privileged Role Administrator (Azure's Owner is not enough), signed in
by `az login`. Python 3.10 or newer and scripts/requirements.txt; runs in Cloud Shell too.

The join link needs only VirtualAppointment.Read.All. So only that is granted, unless an option asks
for more. Existing grants stay.
"""

import argparse
import logging
import os
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from command_line import Parser, end_without_package, not_signed_in

try:
    import requests
    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import AzureCliCredential
    from requests.adapters import HTTPAdapter
    from urllib3.exceptions import InvalidHeader
    from urllib3.util.retry import Retry
except ModuleNotFoundError as missing_package:
    end_without_package(missing_package)

GRAPH_ROOT = "https://graph.microsoft.com"
GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"
# https://learn.microsoft.com/graph/permissions-reference
APP_ROLES = {
    "VirtualAppointment.Read.All": "d4f67ec2-59b5-4bdc-b4af-d78f6f9c1954",
    "OnlineMeetings.Read.All": "c1684f21-1984-47fa-9d61-2dc8c296bb70",
    "User.ReadBasic.All": "97235f07-e226-4f63-ace3-39588e11d3a1",
}
JOIN_LINK, LOOKUP, USERS = APP_ROLES
EXIT_FAILED, EXIT_MISSING = 1, 3
_LOOPBACK = ("127.0.0.1", "localhost")
_REFUSALS = {
    401: "Microsoft Graph did not accept the sign-in: run `az login` again.",
    403: "You are signed in, but may not grant this: it needs the directory role Privileged Role "
    "Administrator, active right now (Azure's Owner is not enough). Activate it and run `az login` "
    "again, or hand this command to somebody who holds it.",
    429: "Microsoft Graph is busy and asks to wait: run this again in some minutes.",
}


class GrantError(Exception):
    """The grant cannot be made. The text tells the administrator why."""


class GraphError(Exception):
    """A refusal by Microsoft Graph: HTTP status, Graph's code and text, and the request id."""

    def __init__(self, status: int, code: str, message: str, request_id: str) -> None:
        super().__init__(f"Microsoft Graph answered {status} {code}: {message} ({request_id})")
        self.status, self.message = status, message


class PatientRetry(Retry):
    """Retries after the time that Graph names, which may be a decimal number of seconds."""

    def parse_retry_after(self, retry_after: str) -> float:
        """Read the header. An unreadable one counts as one second."""
        try:
            return min(max(float(retry_after), 0.0), float(self.retry_after_max))
        except ValueError:
            pass
        try:
            return float(super().parse_retry_after(retry_after))
        except InvalidHeader:
            return 1.0


@dataclass(frozen=True)
class Identity:
    """A service principal of the tenant."""

    object_id: str
    display_name: str
    kind: str


class Directory:
    """Calls Microsoft Graph for a grant.

    Args:
        root: The address of Graph.
        token: The administrator's access token for it.
    """

    def __init__(self, *, root: str, token: str) -> None:
        self._principals = f"{root}/v1.0/servicePrincipals"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"
        # Graph refuses a second equal grant, so a POST may be repeated as well.
        retry = PatientRetry(
            total=6,
            backoff_factor=1,
            status_forcelist=(429, 502, 503, 504),
            allowed_methods=None,
            raise_on_status=False,
            retry_after_max=120,
        )
        self._session.mount(root, HTTPAdapter(max_retries=retry))

    def find(self, app_id: str) -> Identity | None:
        """Find a service principal by its application's (client) id."""
        select = "$select=id,displayName,servicePrincipalType"
        try:
            found = self._call("GET", f"{self._principals}(appId='{app_id}')?{select}")
        except GraphError as error:
            if error.status == requests.codes.not_found:
                return None
            raise
        return Identity(found["id"], found["displayName"], found["servicePrincipalType"])

    def app_role_ids(self, principal: Identity, resource: Identity) -> set[str]:
        """Give the app roles of a resource that a principal has."""
        roles: set[str] = set()
        url: str | None = f"{self._principals}/{principal.object_id}/appRoleAssignments"
        while url:
            page = self._call("GET", url)
            found = (one for one in page["value"] if one["resourceId"] == resource.object_id)
            roles.update(one["appRoleId"] for one in found)
            url = page.get("@odata.nextLink")
        return roles

    def assign(self, principal: Identity, resource: Identity, app_role_id: str) -> None:
        """Give a principal an app role of a resource. This is harmless if it has it."""
        body = {
            "principalId": principal.object_id,
            "resourceId": resource.object_id,
            "appRoleId": app_role_id,
        }
        try:
            self._call("POST", f"{self._principals}/{resource.object_id}/appRoleAssignedTo", body)
        except GraphError as error:
            if "already exists" not in error.message:
                raise

    def _call(self, method: str, url: str, body: dict[str, str] | None = None) -> dict[str, Any]:
        # The token must not follow a next link to another host.
        if not url.startswith(self._principals):
            raise GrantError("Microsoft Graph's answer leads somewhere else: not followed.")
        answer = self._session.request(method, url, json=body, timeout=30, allow_redirects=False)
        if answer.status_code in (requests.codes.ok, requests.codes.created):
            return dict(answer.json())
        try:
            code, message = (str(answer.json()["error"][name]) for name in ("code", "message"))
        except (ValueError, KeyError, TypeError):
            code, message = "", "no reason given"
        request_id = answer.headers.get("request-id", "no request id")
        raise GraphError(answer.status_code, code, message, request_id)


def until(attempt: Callable[[], bool], *, seconds: float, waiting: str) -> bool:
    """Try at growing intervals until it succeeds. False if the time is over."""
    deadline, pause = time.monotonic() + seconds, 1.0
    while not attempt():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        print(f"{waiting} (a new identity takes some minutes; {left:.0f} s left) ...")
        time.sleep(min(pause, left))
        pause = min(2 * pause, 15.0)
    return True


def grant(
    directory: Directory, client_id: str, wanted: list[str], *, what_if: bool, wait: float
) -> list[str]:
    """Grant the missing roles, and return them. With `what_if` only print them.

    This waits up to `wait` seconds for a new identity to appear.

    Raises:
        GrantError: The grant cannot be made.
        GraphError: Graph refused it.
    """
    graph, identity = directory.find(GRAPH_APP_ID), directory.find(client_id)
    if graph is None:
        raise GrantError("This tenant has no service principal of Microsoft Graph.")
    if identity is None:
        waiting = f"{client_id} is not there yet"
        until(lambda: directory.find(client_id) is not None, seconds=wait, waiting=waiting)
        identity = directory.find(client_id)
    if identity is None:
        raise GrantError(
            f"No managed identity has the client id {client_id} in the tenant that you are signed "
            "in to. Check the id, and the tenant with `az account show`; for an identity made "
            "minutes ago, run this again."
        )
    if identity.kind != "ManagedIdentity":
        raise GrantError(
            f"{client_id} is {identity.display_name}, which is of the type {identity.kind} and no "
            "managed identity: nothing was granted."
        )
    print(f"Managed identity {identity.display_name}, object id {identity.object_id}")
    held = directory.app_role_ids(identity, graph)
    missing = [name for name in wanted if APP_ROLES[name] not in held]
    for name in wanted:
        if name not in missing:
            print(f"  {name}: granted already")
        elif what_if:
            print(f"  {name}: missing, would be granted")
        else:
            _assign(directory, identity, graph, name, wait)
            print(f"  {name}: granted")
    return missing


def _assign(
    directory: Directory, identity: Identity, graph: Identity, name: str, wait: float
) -> None:
    # The directory has several replicas. One may not know yet what another one has shown.
    def attempt() -> bool:
        try:
            directory.assign(identity, graph, APP_ROLES[name])
        except GraphError as error:
            if error.status == requests.codes.not_found:
                return False
            raise
        return True

    if not until(attempt, seconds=wait, waiting=f"{name}: the identity is not everywhere yet"):
        raise GrantError(f"{name} could not be granted yet: run this again in some minutes.")


def sentence(error: Exception) -> str:
    """Give the sentence for the administrator about a failure."""
    if isinstance(error, ClientAuthenticationError):
        return not_signed_in(error)
    if isinstance(error, requests.RequestException):
        return f"Microsoft Graph could not be reached ({type(error).__name__}): try again."
    if isinstance(error, GraphError):
        return _REFUSALS.get(error.status, f"{error}. It is safe to run this again.")
    return str(error)


def graph_root(environment: Mapping[str, str]) -> str:
    """Read GRAPH_ROOT: Microsoft Graph, or a loopback address for a trial run."""
    root = environment.get("GRAPH_ROOT", GRAPH_ROOT).rstrip("/")
    if root != GRAPH_ROOT and urlsplit(root).hostname not in _LOOPBACK:
        raise GrantError(f"GRAPH_ROOT must be {GRAPH_ROOT} or a loopback address.")
    return root


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__)
    parser.add_argument(
        "client_id",
        metavar="CLIENT_ID",
        type=uuid.UUID,
        help="client id of the managed identity: azd env get-value MANAGED_IDENTITY_CLIENT_ID",
    )
    help_lookup = f"also {LOOKUP}: meetings by Teams link or number"
    parser.add_argument("--lookup", action="store_true", help=help_lookup)
    help_users = f"also {USERS}: organizers by e-mail or user principal name"
    parser.add_argument("--users", action="store_true", help=help_users)
    help_what_if = f"change nothing, say what is missing, and exit {EXIT_MISSING} if anything is"
    parser.add_argument("--what-if", action="store_true", help=help_what_if)
    help_wait = "how long to wait for a new identity (default: 10)"
    parser.add_argument("--wait", type=float, default=10, metavar="MINUTES", help=help_wait)
    return parser


def main() -> int:
    """Run the command."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # progress shows
    logging.getLogger("azure").setLevel(logging.CRITICAL)  # what it warns of is said below
    options = _parser().parse_args()
    wanted = [JOIN_LINK] + [LOOKUP] * options.lookup + [USERS] * options.users
    try:
        root = graph_root(os.environ)
        token = AzureCliCredential(process_timeout=60).get_token(f"{GRAPH_ROOT}/.default").token
        directory = Directory(root=root, token=token)
        client_id, wait = str(options.client_id), options.wait * 60
        missing = grant(directory, client_id, wanted, what_if=options.what_if, wait=wait)
    except (ClientAuthenticationError, GrantError, GraphError, requests.RequestException) as error:
        print(sentence(error), file=sys.stderr)
        return EXIT_FAILED
    if not missing:
        print("Done: there is nothing left to grant.")
    elif options.what_if:
        print("Nothing was changed.")
        return EXIT_MISSING
    else:
        print("Done. A token that the app got before may be used for up to 24 hours more.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
