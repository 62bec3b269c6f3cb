#!/usr/bin/env python3
"""Runs a command that deploys, and again while something that it needs is not ready yet.

Needs the rights of that command; for a deployment of code, the Azure role Contributor on the app.

    python scripts/retry_deployment.py azd deploy --no-prompt

Exits as the command does, or with 77 where it was refused because a role is missing.

The first deployment into new resources is often refused (403), because Azure needs up to 30 minutes
to make a role known everywhere. Or the deployment service is starting (502, 503), or its name is
not known yet. Neither azd nor az tries again. Any other failure ends this script.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from command_line import Parser

PAUSES = (30, 60, 120, 240, 300, 300, 300)
"""The seconds between the tries: 22 and a half minutes in all."""
EXIT_NOT_ALLOWED = 77
"""A role is missing (EX_NOPERM of sysexits.h); az and azd do not exit with it."""

_FLAGS = re.IGNORECASE
# After a refusal by the resource manager or Graph a role is missing, and waiting does not help.
_FOR_GOOD = re.compile(
    r"does not have authorization to perform action"
    r"|Insufficient privileges to complete the operation|Authorization_RequestDenied",
    _FLAGS,
)
_OTHER_PYTHON = re.compile(
    r"No matching distribution found for azure-functions\b"
    r"|--platform-version 3\.(?!13\b)\d+"
    r"|requires a different Python",
    _FLAGS,
)
_PASSING = {
    "Another deployment is under way": r"deployment (?:is )?(?:currently|already) in progress"
    r"|another deployment is in progress|\bDeploymentActive\b",
    "The deployment service's name is not known yet": r"no such host"
    r"|Name or service not known|Temporary failure in name resolution|getaddrinfo failed"
    r"|nodename nor servname provided|NameResolutionError|Could not resolve host",
    "Entra does not know a new identity everywhere yet": r"Request_ResourceNotFound"
    r"|queried reference-property objects are not present|NoBackingApplicationObject"
    r"|does not reference a valid application object|Not a valid reference update"
    r"|\bPrincipalNotFound\b",
    "Refused: roles are still spreading": r"\b403\b|\bForbidden\b|InaccessibleStorage"
    r"|AuthorizationPermissionMismatch",
    "The deployment service is still starting": r"\b50[23]\b|Bad Gateway|Service Unavailable",
}
"""Temporary failures, and the output by which each is recognized. The first that fits counts."""

_BUILD_HERE = """\

The build in Azure took another Python than 3.13, which no new try changes. Build the package here,
and deploy it as it is:

  python scripts/build_package.py app.zip
  python scripts/retry_deployment.py \\
    az functionapp deployment source config-zip --resource-group {group} --name {app} \\
    --src app.zip --build-remote false --timeout 600
"""


def reason_to_wait(output: str) -> str | None:
    """Say why a failed command may succeed later. None if it will not."""
    if _FOR_GOOD.search(output) or _OTHER_PYTHON.search(output):
        return None
    return next(
        (reason for reason, sign in _PASSING.items() if re.search(sign, output, _FLAGS)), None
    )


def run(command: Sequence[str]) -> tuple[int, str]:
    """Run a command and show its output. Return its exit code and its output."""
    lines = []
    with subprocess.Popen(  # noqa: S603 - what the administrator has asked for
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    return process.returncode, "".join(lines)


def deploy(
    command: Sequence[str], *, pauses: Sequence[float], sleep: Callable[[float], None]
) -> int:
    """Run a command until it succeeds or fails permanently, and return its exit code.

    Where Azure or Entra refused it because a role is missing, that is EXIT_NOT_ALLOWED.
    """
    for pause in (*pauses, None):
        code, output = run(command)
        reason = reason_to_wait(output)
        if code == 0 or pause is None or reason is None:
            break
        print(f"{reason}. Trying again in {pause:g} seconds ...", flush=True)
        sleep(pause)
    if code and _OTHER_PYTHON.search(output):
        group = os.environ.get("AZURE_RESOURCE_GROUP", '"$GROUP"')
        app = os.environ.get("FUNCTION_APP_NAME", '"$APP"')
        print(_BUILD_HERE.format(group=group, app=app), file=sys.stderr)
    return EXIT_NOT_ALLOWED if code and _FOR_GOOD.search(output) else code


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__)
    parser.add_argument("--what-if", action="store_true", help="run nothing, say what would be")
    parser.add_argument(
        "command", metavar="COMMAND", nargs=argparse.REMAINDER, help="the command to run"
    )
    return parser


def main() -> int:
    """Run the command."""
    parser = _parser()
    options = parser.parse_args()
    if not options.command:
        parser.error("say what to run: COMMAND")
    program = shutil.which(options.command[0])
    if program is None:
        print(f"There is no command {options.command[0]} here: install it.", file=sys.stderr)
        return 1
    if options.what_if:
        print(f"Would run, up to {len(PAUSES) + 1} times: {' '.join(options.command)}")
        return 0
    code = deploy([program, *options.command[1:]], pauses=PAUSES, sleep=time.sleep)
    if code:
        print("The deployment failed; the lines above say why.", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
