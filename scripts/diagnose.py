#!/usr/bin/env python3
"""Asks the running app whether its setup works, and prints the checks with what to do next.

Needs the Azure role Website Contributor on the app, signed in by `az login`: with --app it reads
the key of the function `diagnostics`. With --url it needs no role, and takes the key from
DIAGNOSTICS_KEY, or asks for it. Python 3.10 or newer and scripts/requirements.txt.

Exit codes: 0 if all checks pass, also with warnings; 1 if one fails; 2 if there was no answer; 3 if
none fails but some were not reached, as without an organizer and a meeting.
"""

import argparse
import getpass
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from check_report import VERDICTS, as_html, as_text, printable
from command_line import Parser, end_without_package, not_signed_in

try:
    import requests
    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import AzureCliCredential
except ModuleNotFoundError as missing:
    end_without_package(missing)

MANAGEMENT_ROOT = "https://management.azure.com"
FUNCTION = "diagnostics"
EXIT_UNKNOWN = 2
EXITS = {"pass": 0, "warn": 0, "fail": 1, "incomplete": 3}
_LOOPBACK = ("127.0.0.1", "localhost")
_SITES_VERSION = "2024-04-01"
_RESOURCES_VERSION = "2021-04-01"
_SUBSCRIPTIONS_VERSION = "2022-12-01"
_NOT_YET = (404, 429, 502, 503)  # from an app that is starting, or is busy with another run
_PAUSE_SECONDS = 5.0
_ANSWER_SECONDS = 60.0


class DiagnosticsError(Exception):
    """There is no report. The text tells the administrator why."""


class Manager:
    """Calls Azure Resource Manager to find the app and its key.

    Args:
        root: The address of Azure Resource Manager.
        token: The administrator's access token for it.
    """

    def __init__(self, *, root: str, token: str) -> None:
        self._root = root
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"

    def only_subscription(self) -> str:
        """Return the id of the subscription, if there is only one."""
        found = self._call("GET", "/subscriptions", _SUBSCRIPTIONS_VERSION)["value"]
        if len(found) != 1:
            raise DiagnosticsError(
                f"You can see {len(found)} subscriptions: say which with --subscription ID."
            )
        return str(found[0]["subscriptionId"])

    def group_of(self, *, subscription: str, app: str) -> str:
        """Return the resource group that an app is in."""
        found = self._call(
            "GET",
            f"/subscriptions/{quote(subscription, safe='')}/resources",
            _RESOURCES_VERSION,
            {"$filter": f"resourceType eq 'Microsoft.Web/sites' and name eq '{app}'"},
        )["value"]
        if len(found) != 1:
            raise DiagnosticsError(
                f"You can see {len(found)} apps of the name {app} in the subscription "
                f"{subscription}: say where it is with --resource-group and --subscription."
            )
        return str(found[0]["id"]).split("/")[4]

    def find(self, *, subscription: str, group: str, app: str) -> tuple[str, str]:
        """Return the app's address and the key of its function."""
        names = [quote(name, safe="") for name in (subscription, group, app)]
        site = "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Web/sites/{}".format(*names)
        host = str(self._call("GET", site, _SITES_VERSION)["properties"]["defaultHostName"])
        keys = self._call("POST", f"{site}/functions/{FUNCTION}/listKeys", _SITES_VERSION)
        if not keys.get("default"):
            raise DiagnosticsError(
                f"The function {FUNCTION} has no key named default: make one in the portal, or use "
                "--url with another."
            )
        scheme = "http" if urlsplit(f"//{host}").hostname in _LOOPBACK else "https"
        return f"{scheme}://{host}", str(keys["default"])

    def _call(
        self, method: str, path: str, version: str, query: Mapping[str, str] | None = None
    ) -> Any:  # noqa: ANN401 - JSON
        try:
            answer = self._session.request(
                method,
                f"{self._root}{path}",
                params={"api-version": version, **(query or {})},
                timeout=30,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise DiagnosticsError(f"{self._root} could not be reached.") from error
        if answer.status_code != requests.codes.ok:
            raise DiagnosticsError(_REFUSALS.get(answer.status_code, _REFUSED).format(answer))
        return answer.json()


_REFUSED = "Azure Resource Manager answered {0.status_code}: run this again in a minute."
_REFUSALS = {
    401: "Azure did not accept the sign-in: run `az login` again.",
    403: "You are signed in, but may not read the function's key: it needs the Azure role Website "
    "Contributor on the function app.",
    404: "There is no such app in that resource group, or it has no function diagnostics yet.",
}


def ask(
    *,
    url: str,
    key: str,
    body: Mapping[str, str],
    patience: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Have the app run its checks, and return its report.

    Args:
        url: The app's address.
        key: The function's key.
        body: The organizer and the meeting to check.
        patience: How long to try again while the app starts or is busy, in seconds.
        sleep: Waits so many seconds.
        clock: Monotonic seconds.

    Raises:
        DiagnosticsError: There is no report.
    """
    deadline = clock() + patience
    while True:
        answer = None
        try:
            answer = requests.post(
                f"{url}/api/{FUNCTION}",
                json=body,
                headers={"x-functions-key": key},
                timeout=_ANSWER_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            if clock() + _PAUSE_SECONDS > deadline:
                raise DiagnosticsError(f"The app at {url} could not be reached.") from error
        if answer is not None:
            if answer.status_code == requests.codes.ok:
                return _report(answer)
            if answer.status_code not in _NOT_YET or clock() + _PAUSE_SECONDS > deadline:
                raise DiagnosticsError(_refusal(answer))
        sleep(_PAUSE_SECONDS)


def _report(answer: requests.Response) -> dict[str, Any]:
    try:
        report: dict[str, Any] = answer.json()
        if report["verdict"] in VERDICTS and isinstance(report["checks"], list):
            return report
    except (ValueError, TypeError, KeyError):
        pass
    raise DiagnosticsError("What answered is not the app's diagnostics.")


def _refusal(answer: requests.Response) -> str:
    if answer.status_code == requests.codes.unauthorized:
        return f"The key is not that of the function {FUNCTION}."
    try:
        problem = answer.json()
        faults = "".join(
            f" {fault['pointer']}: {fault['detail']}" for fault in problem.get("errors", ())
        )
        return printable(f"{problem['detail']}{faults}")
    except (ValueError, TypeError, KeyError):
        return f"The app answered {answer.status_code} without saying why; its log does."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = _parser()
    options = parser.parse_args(arguments)
    logging.getLogger("azure").setLevel(logging.CRITICAL)  # what it warns of is said below
    if not options.url and not options.app:
        parser.error("name the app: --app NAME, or --url URL")
    body = {
        "userId": options.user_id,
        "onlineMeetingId": options.online_meeting_id,
        "joinWebUrl": options.join_web_url,
        "joinMeetingId": options.join_meeting_id,
    }
    try:
        url, key = _where(options)
        report = ask(
            url=url,
            key=key,
            body={name: text for name, text in body.items() if text},
            patience=options.wait,
        )
    except DiagnosticsError as error:
        print(error, file=sys.stderr)
        return EXIT_UNKNOWN
    except ClientAuthenticationError as error:
        print(not_signed_in(error), file=sys.stderr)
        return EXIT_UNKNOWN
    print(as_text(report))
    if options.html:
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        options.html.write_text(as_html(report, where=url, when=when), encoding="utf-8")
    return EXITS[report["verdict"]]


def _where(options: argparse.Namespace) -> tuple[str, str]:
    if options.url:
        parts = urlsplit(options.url)
        if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            raise DiagnosticsError("The address must begin with https://: a key goes there.")
        key = os.environ.get("DIAGNOSTICS_KEY") or getpass.getpass(
            f"Key of the function {FUNCTION} (it is not shown): "
        )
        return f"{parts.scheme}://{parts.netloc}", key
    root = os.environ.get("MANAGEMENT_ROOT", MANAGEMENT_ROOT)
    if root != MANAGEMENT_ROOT and urlsplit(root).hostname not in _LOOPBACK:
        raise DiagnosticsError("MANAGEMENT_ROOT may only be a loopback address, for a test.")
    credential = AzureCliCredential(process_timeout=60)
    manager = Manager(root=root, token=credential.get_token(f"{MANAGEMENT_ROOT}/.default").token)
    subscription = options.subscription or manager.only_subscription()
    group = options.resource_group or manager.group_of(subscription=subscription, app=options.app)
    return manager.find(subscription=subscription, group=group, app=options.app)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__)
    add = parser.add_argument
    environ = os.environ.get
    add(
        "--app",
        metavar="NAME",
        default=environ("FUNCTION_APP_NAME"),
        help="the function app (default: FUNCTION_APP_NAME of the environment)",
    )
    add(
        "--resource-group",
        metavar="GROUP",
        default=environ("AZURE_RESOURCE_GROUP"),
        help="where it is (default: AZURE_RESOURCE_GROUP, or looked up by the app's name)",
    )
    add(
        "--subscription",
        metavar="ID",
        default=environ("AZURE_SUBSCRIPTION_ID"),
        help="whose it is (default: AZURE_SUBSCRIPTION_ID, or the only one there is)",
    )
    add("--url", metavar="URL", help="instead of --app: its address; key in DIAGNOSTICS_KEY")
    add("--user-id", metavar="ID", help="the organizer: object id, sign-in name or mail")
    meeting = parser.add_mutually_exclusive_group()
    meeting.add_argument("--online-meeting-id", metavar="ID", help="a meeting, by its Graph id")
    meeting.add_argument("--join-web-url", metavar="LINK", help="by its Teams link")
    meeting.add_argument("--join-meeting-id", metavar="NUMBER", help="by its number")
    add("--html", metavar="FILE", type=Path, help="write the report to a file as well")
    add(
        "--wait",
        metavar="SECONDS",
        type=float,
        default=60.0,
        help="go on asking for so long while the app starts or is busy (default: 60)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
