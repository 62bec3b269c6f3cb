#!/usr/bin/env python3
"""Makes both grants after `azd provision`, or prints them ready to forward.

Needs the directory role Privileged Role Administrator for the permission on Microsoft Graph, and
Teams Administrator for the access policy. Whoever has neither forwards what is printed.

Both are made before the code is deployed, because a token from before a grant is used for up to 24
hours. azd runs this; the azd environment may say GRAPH_GRANTS (lookup, users) and ORGANIZERS
(object ids or user principal names, with commas between them; group: and a group's object id; or
everybody). GRAPH_GRANTS is none where people ask for their own meetings only: then nothing is
granted here, and the steps of sign-in are printed, which take the role Cloud Application
Administrator.

Where it has set the policy, it notes for whom in TEAMS_POLICY_SET of the azd environment, and does
not ask for the sign-in to Teams again while ORGANIZERS stay the same.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from command_line import read_hook
from forward import SignIn

FOLDER = Path(__file__).resolve().parent
GRANT = FOLDER / "grant_graph_permissions.py"
POLICY = FOLDER / "grant-teams-access-policy.ps1"
POLICY_NAME = "virtual-appointments"
"""As the policy's script and the app's own fixes name it."""
GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"
# The flag and the id of each role: https://learn.microsoft.com/graph/permissions-reference
APP_ROLES = {
    "VirtualAppointment.Read.All": ("", "d4f67ec2-59b5-4bdc-b4af-d78f6f9c1954"),
    "OnlineMeetings.Read.All": ("lookup", "c1684f21-1984-47fa-9d61-2dc8c296bb70"),
    "User.ReadBasic.All": ("users", "97235f07-e226-4f63-ace3-39588e11d3a1"),
}


def words(text: str) -> list[str]:
    """Read a list whose words are separated by commas or blanks."""
    return text.replace(",", " ").split()


def graph_command(environment: Mapping[str, str]) -> list[str]:
    """Make the command line that grants what GRAPH_GRANTS asks for."""
    flags = [f"--{name}" for name in words(environment.get("GRAPH_GRANTS", ""))]
    return [sys.executable, str(GRANT), environment["MANAGED_IDENTITY_CLIENT_ID"], *flags]


def graph_lines(client_id: str, grants: Sequence[str]) -> str:
    """Give the commands for a Privileged Role Administrator without this repository."""
    lines = [
        f"IDENTITY=$(az ad sp show --id {client_id} --query id -o tsv)",
        f"GRAPH=$(az ad sp show --id {GRAPH_APP_ID} --query id -o tsv)",
    ]
    lines += [
        "az rest --method POST "
        "--url https://graph.microsoft.com/v1.0/servicePrincipals/$GRAPH/appRoleAssignedTo "
        '--body "{\\"principalId\\":\\"$IDENTITY\\",\\"resourceId\\":\\"$GRAPH\\",'
        f'\\"appRoleId\\":\\"{role_id}\\"}}"'
        for flag, role_id in APP_ROLES.values()
        if not flag or flag in grants
    ]
    return "\n".join(lines)


def policy_arguments(organizers: Sequence[str]) -> list[str]:
    """Give the arguments of the policy's script: some people, a group, or everybody."""
    if list(organizers) == ["everybody"]:
        return ["-Everyone"]
    if len(organizers) == 1 and organizers[0].startswith("group:"):
        return ["-Group", organizers[0].removeprefix("group:")]
    return ["-User", ",".join(organizers) or "ORGANIZER"]


def policy_lines(client_id: str, organizers: Sequence[str]) -> str:
    """Give the commands for a Teams Administrator, who need not have this repository."""
    if list(organizers) == ["everybody"]:
        whom = ["-Global"]
    elif len(organizers) == 1 and organizers[0].startswith("group:"):
        # After the policies of other groups, so that nobody loses theirs.
        count = "@(Get-CsGroupPolicyAssignment -PolicyType ApplicationAccessPolicy).Count"
        whom = [f'-Group "{organizers[0].removeprefix("group:")}" -Rank ({count} + 1)']
    else:
        whom = [f'-Identity "{organizer}"' for organizer in organizers or ["ORGANIZER"]]
    return "\n".join(
        [
            "Install-Module MicrosoftTeams -Scope CurrentUser",
            "Connect-MicrosoftTeams",
            f'New-CsApplicationAccessPolicy -Identity {POLICY_NAME} -AppIds "{client_id}"',
            *(f"Grant-CsApplicationAccessPolicy -PolicyName {POLICY_NAME} {one}" for one in whom),
        ]
    )


def policy_notes(client_id: str, organizers: Sequence[str], environment: str) -> str:
    """Say what else a Teams Administrator has to know, and what follows."""
    noted = shlex.quote(f"{client_id} {','.join(organizers)}")
    option = f" --environment {environment}" if environment else ""
    return (
        "In Cloud Shell, or where no browser opens, this in place of the second line:\n"
        "  Connect-MicrosoftTeams -UseDeviceAuthentication\n"
        "If the third line says that the policy exists already, this in its place:\n"
        f"  Set-CsApplicationAccessPolicy -Identity {POLICY_NAME} "
        f'-AppIds @{{Add="{client_id}"}}\n'
        "Only one policy counts for a person. If somebody has another one already (see "
        "Get-CsUserPolicyAssignment\n-Identity PERSON -PolicyType ApplicationAccessPolicy), add "
        "the app to that one in the same way,\nand leave out the line with Grant for that person."
        "\n\n"
        "When they have run it, note that, so that you are not asked to sign in to Teams:\n\n"
        f"  azd env set TEAMS_POLICY_SET {noted}{option}\n"
    )


def sign_in_lines(environment: Mapping[str, str]) -> str:
    """Give the commands that set up sign-in, now that the identity exists."""
    sign_in = SignIn(
        environment=environment["AZURE_ENV_NAME"],
        group=environment["AZURE_RESOURCE_GROUP"],
        subscription=environment.get("AZURE_SUBSCRIPTION_ID", ""),
        principal=environment["MANAGED_IDENTITY_PRINCIPAL_ID"],
    )
    return f"{sign_in.to_forward()}  azd provision --environment {sign_in.environment}\n"


def grant_policy(client_id: str, organizers: Sequence[str]) -> bool:
    """Run the policy's script where somebody is there to sign in, and say whether it is set.

    It is run once for the same identity and organizers, since it asks for a sign-in to Teams.
    """
    what = f"{client_id} {','.join(organizers)}"
    if words(os.environ.get("TEAMS_POLICY_SET", "")) == [client_id, *organizers]:
        print("It is set already. To set it again: azd env set TEAMS_POLICY_SET none")
        return True
    pwsh = shutil.which("pwsh")
    if not (pwsh and organizers and sys.stdin.isatty()):
        return False
    command = [pwsh, "-NoProfile", "-File", str(POLICY), "-AppId", client_id]
    done = subprocess.run(  # noqa: S603 - our own
        [*command, *policy_arguments(organizers)], check=False
    )
    if done.returncode:
        return False
    azd = shutil.which("azd")
    environment = ["--environment", os.environ.get("AZURE_ENV_NAME", "")]
    if azd and environment[1]:
        note = [azd, "env", "set", "TEAMS_POLICY_SET", what, *environment]
        subprocess.run(note, check=False, stdout=subprocess.DEVNULL)  # noqa: S603 - azd
    return True


def main() -> int:
    """Make the grants. A grant that somebody else has to make is not a failure."""
    read_hook("postprovision", description=__doc__, variables=("MANAGED_IDENTITY_CLIENT_ID",))
    client_id = os.environ["MANAGED_IDENTITY_CLIENT_ID"]
    grants = words(os.environ.get("GRAPH_GRANTS", ""))
    if grants == ["none"]:
        print("== No permission of the app itself: people ask for their own meetings", flush=True)
        # The guided set-up makes the registration itself, and prints it where it cannot.
        guided = os.environ.get("SETUP_WAY") == "own"
        if not os.environ.get("ENTRA_CLIENT_ID") and not guided:
            print(f"\n{sign_in_lines(os.environ)}", flush=True)
        return 0
    organizers = words(os.environ.get("ORGANIZERS", ""))
    print("== Permission on Microsoft Graph", flush=True)
    granted = subprocess.run(graph_command(os.environ), check=False)  # noqa: S603 - our own
    if granted.returncode:
        print("\nForward this to a Privileged Role Administrator, for bash or Cloud Shell:\n")
        print(graph_lines(client_id, grants), flush=True)
    print("\n== Teams application access policy", flush=True)
    if not grant_policy(client_id, organizers):
        print("Forward this to a Teams Administrator, for PowerShell on any machine:\n")
        print(policy_lines(client_id, organizers), end="\n\n")
        environment = os.environ.get("AZURE_ENV_NAME", "")
        print(policy_notes(client_id, organizers, environment), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
