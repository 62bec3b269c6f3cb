#!/usr/bin/env python3
"""Prints, after `azd deploy`, how to see that the app works.

Needs no role. Reading the key that it mentions takes the Azure role Website Contributor on the app.
"""

import os
import sys

from command_line import read_hook

NEXT_STEP = """\
The code is deployed. Next: see that the app can reach Microsoft Graph, and what is missing.

  {url}/api/health        200 when the app has loaded and its settings are valid
  {url}/api/diagnostics   checks everything from the settings to a join link, and says what to fix

The page asks for a key of its own (never the master key):

  az functionapp function keys list --resource-group {group} --name {app} \\
    --function-name {function} --query default --output tsv{subscription}

docs/setup.md goes on from here to the first link.
"""


def main() -> int:
    """Print the next steps."""
    read_hook(
        "postdeploy",
        description=__doc__,
        variables=("FUNCTION_APP_URL", "AZURE_RESOURCE_GROUP", "FUNCTION_APP_NAME"),
    )
    subscription = os.environ.get("AZURE_SUBSCRIPTION_ID", "")
    print(
        NEXT_STEP.format(
            url=os.environ["FUNCTION_APP_URL"],
            group=os.environ["AZURE_RESOURCE_GROUP"],
            app=os.environ["FUNCTION_APP_NAME"],
            function="diagnostics",
            subscription=subscription and f" --subscription {subscription}",
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
