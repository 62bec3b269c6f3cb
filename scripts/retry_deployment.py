#!/usr/bin/env python3
"""Runs a command that deploys the code, again and again while new roles are still spreading.

Needs the rights of that command; for a deployment, the Azure role Contributor on the app.

    python scripts/retry_deployment.py azd deploy --no-prompt

The first deployment into new resources is often refused (403), since Azure takes up to 30 minutes
to make a role known everywhere, and neither azd nor az tries again. Any other failure ends it.
"""

import argparse
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from command_line import Parser

PAUSES = (30, 60, 120, 240, 300, 300, 300)
"""Seconds between the tries: 22 minutes and a half in all."""

_REFUSED = re.compile(r"\b403\b|Forbidden|InaccessibleStorage|AuthorizationPermissionMismatch")
# Who is refused by the resource manager lacks a role, and waiting brings none.
_FOR_GOOD = re.compile(r"does not have authorization to perform action")


def is_passing(output: str) -> bool:
    """Say whether a failed deployment may work when roles have spread."""
    return bool(_REFUSED.search(output)) and not _FOR_GOOD.search(output)


def run(command: Sequence[str]) -> tuple[int, str]:
    """Run a command, show what it says, and return its exit code and that."""
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
    """Run a command until it succeeds or fails for good, and return its exit code."""
    for pause in (*pauses, None):
        code, output = run(command)
        if code == 0 or pause is None or not is_passing(output):
            break
        print(f"Refused: roles are still spreading. Trying again in {pause:g} seconds ...")
        sys.stdout.flush()
        sleep(pause)
    return code


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
