"""What the scripts of this folder share: their help, and the errors for missing prerequisites.

Needs only Python 3.10 or newer, because it also runs where packages are not installed yet.
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
    """A command line whose help begins with the script's purpose, before the usage.

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
    """Print how to install a missing package, and exit as for wrong arguments."""
    print(f"The package {missing.name} is not installed.", file=sys.stderr)
    print("Run: python -m pip install -r scripts/requirements.txt", file=sys.stderr)
    sys.exit(2)


def not_signed_in(error: Exception) -> str:
    """Print what to do if Azure CLI gave no token."""
    if shutil.which("az") is None:
        return "Install the Azure CLI, then run `az login`."
    reason = str(error).strip().partition("\n")[0]
    return f"Not signed in: run `az login` first. ({reason})"


def read_hook(name: str, *, description: str | None, variables: tuple[str, ...]) -> None:
    """Read the command line of a script that azd runs, which has only --help.

    Args:
        name: The hook's name in azure.yaml.
        description: The script's docstring.
        variables: The variables that azd's environment must hold.
    """
    parser = Parser(description=description)
    parser.parse_known_args()  # a later azd may add arguments
    if missing := [variable for variable in variables if not os.environ.get(variable)]:
        parser.error(f"{', '.join(missing)} not set. azd sets it: run `azd hooks run {name}`")
