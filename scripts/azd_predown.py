#!/usr/bin/env python3
"""Takes the app out of its virtual network before `azd down`, which cannot delete it otherwise.

Needs the Azure role Contributor on the app, signed in by `az login`.

azd runs this. An app on Flex Consumption leaves a link on its subnet. Azure does not delete a
subnet with a link, even after the app is deleted. Without VNET_ENABLED this does nothing.
"""

import os
import shutil
import subprocess
import sys

from command_line import read_hook

QUESTION = """\
The app leaves its virtual network now, and stops working. Should you keep it after all,
`azd provision` puts it back. Go on? [y/N] """
FAILED = """\
The app is still in its virtual network, so nothing was deleted: the network would stay, and nobody
could delete it for days. See what az says above, then run `azd down` again.
"""


def main() -> int:
    """Remove the integration. Exit code 1 stops azd."""
    read_hook("predown", description=__doc__, variables=("AZURE_ENV_NAME",))
    app = os.environ.get("FUNCTION_APP_NAME")
    if os.environ.get("VNET_ENABLED", "").lower() != "true" or not app:
        return 0
    # azd asks whether to delete only after this hook.
    if sys.stdin.isatty() and input(QUESTION).strip().lower() not in ("y", "yes"):
        print("Nothing was changed.")
        return 1
    az = shutil.which("az") or "az"  # at Windows it is a .cmd file, which needs its whole path
    command = [az, "functionapp", "vnet-integration", "remove", "--name", app]
    command += ["--resource-group", os.environ.get("AZURE_RESOURCE_GROUP", "")]
    if subscription := os.environ.get("AZURE_SUBSCRIPTION_ID"):  # az may have another as default
        command += ["--subscription", subscription]
    try:
        code = subprocess.run(command, check=False).returncode  # noqa: S603 - Azure CLI
    except FileNotFoundError:
        print("There is no Azure CLI here.", file=sys.stderr)
        code = 1
    if code:
        print(FAILED, file=sys.stderr)
        return 1
    print(f"{app} has left its virtual network.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
