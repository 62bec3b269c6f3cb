"""The fixes that an operator can make: texts with the exact commands, and the ids filled in.

Problems and the diagnostics show these texts. A placeholder in angle brackets stands for an id that
is not known. A command is between backticks and can be copied as it is.
"""

GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"
APP_ROLES = {
    "VirtualAppointment.Read.All": "d4f67ec2-59b5-4bdc-b4af-d78f6f9c1954",
    "OnlineMeetings.Read.All": "c1684f21-1984-47fa-9d61-2dc8c296bb70",
    "User.ReadBasic.All": "97235f07-e226-4f63-ace3-39588e11d3a1",
}
"""The app roles of Microsoft Graph that this app uses, by name (permissions reference)."""

DELEGATED_PERMISSIONS = {
    "VirtualAppointment.Read": "27470298-d3b8-4b9c-aad4-6334312a3eac",
    "OnlineMeetings.Read": "9be106e1-f4e3-4df5-bdff-e4bc531cbe43",
}
"""The delegated permissions of Microsoft Graph that people's own meetings need, by name."""
ASSERTION_AUDIENCE = "api://AzureADTokenExchange"
"""The audience of a managed identity's token that is an app registration's credential."""

_SCRIPT_FLAGS = {"OnlineMeetings.Read.All": " --lookup", "User.ReadBasic.All": " --users"}
_NO_CLIENT_ID = "<client id of the app's managed identity>"
_NO_REGISTRATION = "<client id of the app registration>"
_NO_USER_ID = "<object id of the organizer>"


def grant_app_role(role: str, *, client_id: str | None) -> str:
    """Say how to grant the managed identity an app role of Microsoft Graph."""
    return (
        f"A Privileged Role Administrator grants the app role {role} ({APP_ROLES[role]}) to the "
        f"managed identity, in bash: "
        f"`IDENTITY=$(az ad sp show --id {client_id or _NO_CLIENT_ID} --query id -o tsv); "
        f"GRAPH=$(az ad sp show --id {GRAPH_APP_ID} --query id -o tsv); "
        f"az rest --method POST "
        f"--url https://graph.microsoft.com/v1.0/servicePrincipals/$GRAPH/appRoleAssignedTo "
        f'--body "{{\\"principalId\\":\\"$IDENTITY\\",\\"resourceId\\":\\"$GRAPH\\",'
        f'\\"appRoleId\\":\\"{APP_ROLES[role]}\\"}}"`. '
        "With the project's files at hand, a script does the same and waits for a new identity: "
        f"`python scripts/grant_graph_permissions.py {client_id or _NO_CLIENT_ID}"
        f"{_SCRIPT_FLAGS.get(role, '')}`. "
        "A token issued before may be used for up to 24 hours more."
    )


def grant_access_policy(*, client_id: str | None, user_id: str | None) -> str:
    """Say how to grant an organizer a Teams application access policy that names the app."""
    app = client_id or _NO_CLIENT_ID
    user = user_id or _NO_USER_ID
    return (
        "A Teams administrator runs, in PowerShell with the MicrosoftTeams module: "
        f'`New-CsApplicationAccessPolicy -Identity virtual-appointments -AppIds "{app}"; '
        f'Grant-CsApplicationAccessPolicy -PolicyName virtual-appointments -Identity "{user}"`. '
        "If the organizer already has such a policy, this one would take its place from another "
        "app: add yours to that one instead: "
        f'`Set-CsApplicationAccessPolicy -Identity <its name> -AppIds @{{Add="{app}"}}`. '
        "With the project's files at hand, a script finds that policy by itself: "
        f'`./scripts/grant-teams-access-policy.ps1 -AppId "{app}" -User "{user}"`. '
        "It takes up to 30 minutes to work."
    )


def grant_lookup(role: str, *, client_id: str | None, user_id: str | None) -> str:
    """Say how to permit a lookup: of a meeting, the app role and the policy; of a user, a role."""
    role_fix = grant_app_role(role, client_id=client_id)
    if role != "OnlineMeetings.Read.All":
        return role_fix
    policy = grant_access_policy(client_id=client_id, user_id=user_id)
    return f"{role_fix} The organizer must be under the access policy too. {policy}"


def share_meeting(*, client_id: str | None, user_id: str | None) -> str:
    """Say what Graph's 403 `3003` can mean, and the fix of each."""
    policy = grant_access_policy(client_id=client_id, user_id=user_id)
    return (
        "Either the meeting belongs to somebody else: send the object id of the user who organizes "
        "it (for a shared mailbox, the mailbox's). Or the access policy does not cover its real "
        f"organizer. {policy}"
    )


def grant_consent(*, client_id: str | None) -> str:
    """Say how an administrator consents, for all people, to the delegated permissions."""
    return (
        "A Cloud Application Administrator consents for everybody: "
        f"`az ad app permission grant --id {client_id or _NO_REGISTRATION} --api {GRAPH_APP_ID} "
        f'--scope "{" ".join(DELEGATED_PERMISSIONS)}"`. '
        "With the project's files at hand, infra/graph/delegated-permissions.bicep does the same. "
        "It counts at once, for whoever asks a minute later."
    )


def create_federated_credential(
    *, client_id: str | None, tenant_id: str | None, subject: str | None
) -> str:
    """Say how to make the managed identity the app registration's credential.

    Args:
        client_id: the registration's.
        tenant_id: the tenant of the registration and the identity.
        subject: the identity's principal (object) id.
    """
    issuer = f"https://login.microsoftonline.com/{tenant_id or '<tenant id>'}/v2.0"
    who = subject or "<principal id of the app's managed identity>"
    credential = (
        f'{{"name":"managed-identity","issuer":"{issuer}","subject":"{who}",'
        f'"audiences":["{ASSERTION_AUDIENCE}"]}}'
    )
    return (
        "An owner of the app registration, or a Cloud Application Administrator, gives it the "
        f"federated credential with the issuer {issuer}, the subject {who} (the principal id of "
        f"the app's user-assigned managed identity) and the audience {ASSERTION_AUDIENCE}, in "
        f"bash: `az ad app federated-credential create --id {client_id or _NO_REGISTRATION} "
        f"--parameters '{credential}'`. "
        "infra/graph/sign-in.bicep does the same. A new one takes some minutes to work everywhere."
    )


PERMISSION_REFUSED = (
    "The token carries the app role, so Graph wants something else: check the Teams application "
    "access policy first, then run the diagnostics. If it stays, this tenant's Graph does not take "
    "the application permission for join links: people who sign in still get those of their own "
    "meetings (HTTP_AUTH=entra), and a flow does through a connection whose owner organizes the "
    "meetings. docs/setup.md says how."
)
OWN_MEETING = (
    "Ask for a meeting that you organize yourself. For another organizer's, either the organizer "
    "asks, or you send the organizer as userId, for which an administrator assigns the app role "
    "JoinLink.Read.All to you. If the meeting is yours, check that you have a licence with Teams."
)
MEETING_ID = (
    "Send the onlineMeeting's id as Graph gives it. A calendar event's id (AAMk…), a chat thread's "
    "(19:…@thread.v2), the id that Teams-JS gives to apps (MCMx…) and the number that people type "
    "are not it; for those send joinWebUrl or joinMeetingId instead."
)
