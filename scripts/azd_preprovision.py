#!/usr/bin/env python3
"""Checks, before `azd provision` makes anything, what Azure would refuse only after minutes.

Needs `az login`; to register a resource provider, the Azure role Contributor on the subscription.

azd runs this. It checks whether the region offers Flex Consumption. For private endpoints it
registers Microsoft.App, without which Azure answers with an unexplained 500.
"""

import os
import shutil
import subprocess
import sys

from command_line import read_hook

REGIONS = ("functionapp", "list-flexconsumption-locations", "--query", "[].name")
PROVIDER = "Microsoft.App"


class CheckError(Exception):
    """Provisioning would fail. The text tells the operator why."""


def az(*arguments: str) -> str | None:
    """Ask Azure CLI for a value. None if it fails; then it has printed why."""
    try:
        done = subprocess.run(  # noqa: S603 - Azure CLI, which is a .cmd file at Windows
            [shutil.which("az") or "az", *arguments, "--output", "tsv"],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        print("There is no Azure CLI here.", file=sys.stderr)
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def check_region(region: str) -> None:
    """Check that a region offers Flex Consumption. If none is chosen yet, list those that do.

    Raises:
        CheckError: The region does not offer it.
    """
    answer = az(*REGIONS)
    if not answer:
        print(f"The region was not checked. `az {' '.join(REGIONS[:2])}` names those that will do.")
        return
    # Azure writes a region as westeurope and as West Europe.
    offered = sorted({line.replace(" ", "").lower() for line in answer.splitlines()})
    if not region:
        print(f"Choose a region that offers Flex Consumption: {', '.join(offered)}.")
    elif region.replace(" ", "").lower() not in offered:
        raise CheckError(
            f"{region} does not offer Flex Consumption. Choose another with `azd env set "
            f"AZURE_LOCATION REGION`: {', '.join(offered)}."
        )
    else:
        print(f"{region} offers Flex Consumption.")


def register_provider(subscription: str) -> None:
    """Register the resource provider that the app's subnet is delegated to.

    Raises:
        CheckError: It is not registered, and could not be.
    """
    on = ("--subscription", subscription) if subscription else ()
    shown = az("provider", "show", "--namespace", PROVIDER, "--query", "registrationState", *on)
    if shown == "Registered":
        print(f"{PROVIDER} is registered.")
        return
    print(f"Registering {PROVIDER}; this takes some minutes ...", flush=True)
    if az("provider", "register", "--namespace", PROVIDER, "--wait", *on) is None:
        raise CheckError(
            f"{PROVIDER} is not registered, and the app's subnet needs it. Somebody with the role "
            f"Contributor on the subscription runs: az provider register --namespace {PROVIDER} "
            "--wait"
        )


def main() -> int:
    """Run the checks."""
    read_hook("preprovision", description=__doc__, variables=("AZURE_ENV_NAME",))
    try:
        check_region(os.environ.get("AZURE_LOCATION", ""))
        if os.environ.get("VNET_ENABLED", "").lower() == "true":
            register_provider(os.environ.get("AZURE_SUBSCRIPTION_ID", ""))
    except CheckError as error:
        print(f"Nothing was made. {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
