#!/usr/bin/env python3
"""Deploys the code at the end of `azd up`, once the permission on Microsoft Graph is there.

Needs the Azure role Contributor on the app, signed in by `azd auth login` and `az login`.

azd runs this. The app must not ask for a token before the grant. The first deployment into new
resources may be refused until new roles are known everywhere, so it is tried again.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from command_line import read_hook

FOLDER = Path(__file__).resolve().parent
STOPPED = """\
The resources are there, and the code is not deployed yet: first somebody grants the permission,
since a token that the app got before would be used for up to 24 hours. Then:

  python scripts/retry_deployment.py azd deploy --no-prompt
"""


def _is_granted(client_id: str, grants: Sequence[str]) -> bool:
    flags = ["--what-if", *(f"--{name}" for name in grants)]
    looked = subprocess.run(  # noqa: S603 - our own
        [sys.executable, str(FOLDER / "grant_graph_permissions.py"), client_id, *flags],
        check=False,
    )
    return looked.returncode == 0


def main() -> int:
    """Deploy, or say why not."""
    read_hook(
        "postup",
        description=__doc__,
        variables=("MANAGED_IDENTITY_CLIENT_ID", "AZURE_ENV_NAME"),
    )
    client_id = os.environ["MANAGED_IDENTITY_CLIENT_ID"]
    grants = os.environ.get("GRAPH_GRANTS", "").replace(",", " ").split()
    # With none, people ask for their own meetings only, and there is no grant to wait for.
    if grants != ["none"] and not _is_granted(client_id, grants):
        print(STOPPED, file=sys.stderr)
        return 1
    deploy = ["azd", "deploy", "--no-prompt", "--environment", os.environ["AZURE_ENV_NAME"]]
    retry = [sys.executable, str(FOLDER / "retry_deployment.py"), *deploy]
    done = subprocess.run(retry, cwd=FOLDER.parent, check=False)  # noqa: S603 - our own
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
