"""What the scripts of this folder have in common at a terminal: help, and what is missing.

Needs nothing but Python 3.10 or newer, for it speaks where packages are not installed yet.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A command line whose help begins with what the script is for, and the usage follows.

    Args:
        description: The script's docstring.
    """

    def __init__(self, *, description: str | None) -> None:
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    def format_help(self) -> str:
        """Write the purpose, the usage, and then the options."""
        usage, purpose = self.format_usage(), f"{(self.description or '').strip()}\n"
        options = super().format_help().removeprefix(usage).lstrip("\n").removeprefix(purpose)
        return f"{purpose}\n{usage}{options}"


def end_without_package(missing: ModuleNotFoundError) -> NoReturn:
    """Say how to install what a script could not import, and end it as a wrong call ends it."""
    print(f"The package {missing.name} is not installed.", file=sys.stderr)
    print("Run: python -m pip install -r scripts/requirements.txt", file=sys.stderr)
    sys.exit(2)


def not_signed_in(error: Exception) -> str:
    """Say what somebody does whom Azure CLI gave no token."""
    if shutil.which("az") is None:
        return "Install the Azure CLI, then run `az login`."
    reason = str(error).strip().partition("\n")[0]
    return f"Not signed in: run `az login` first. ({reason})"


def read_hook(name: str, *, description: str | None, variables: tuple[str, ...]) -> None:
    """Read the command line of a script that azd runs, which has --help alone.

    Args:
        name: The hook, as azure.yaml names it.
        description: The script's docstring.
        variables: What azd's environment has to hold.
    """
    parser = Parser(description=description)
    parser.parse_known_args()  # what a later azd may add is nothing to fail for
    if missing := [variable for variable in variables if not os.environ.get(variable)]:
        parser.error(f"{', '.join(missing)} not set. azd sets it: run `azd hooks run {name}`")
