"""The list of checks. A new check is a new entry here."""

from collections.abc import Sequence

from shared.core import remediation
from shared.diagnostics import destination_checks, graph_checks, identity_checks, resource_checks
from shared.diagnostics.context import CheckContext
from shared.diagnostics.runner import Check

_CLIENT_ID = "MANAGED_IDENTITY_CLIENT_ID"
_CA_BUNDLE = "REQUESTS_CA_BUNDLE"
_SIGN_IN = ("HTTP_AUTH", "ENTRA_TENANT_ID", "ENTRA_CLIENT_ID", "ENTRA_AUTHORITY")
_GRAPH = (_CLIENT_ID, _CA_BUNDLE, "GRAPH_ROOT", "GRAPH_VERSION")
_GRAPH_AWAY = (
    "Run the diagnostics again in a minute. If it stays, look at Microsoft 365's service health "
    "and at what stands between the app and graph.microsoft.com."
)

CHECKS: Sequence[Check[CheckContext]] = (
    Check(
        name="settings",
        title="Settings",
        run=identity_checks.settings,
        fix="Correct the settings named here in the function app's environment variables; the app "
        "restarts by itself.",
    ),
    Check(
        name="identity",
        title="Managed identity",
        run=identity_checks.identity,
        fix="Check that the function app has the identity, and restart the app.",
        seconds=6,  # azure-identity tries four times
        settings=(_CLIENT_ID,),
    ),
    Check(
        name="token",
        title="Token for Microsoft Graph",
        run=identity_checks.token,
        fix="Check that MANAGED_IDENTITY_CLIENT_ID is the client id of the identity that the "
        "function app has.",
        needs=("identity",),
        settings=(_CLIENT_ID,),
    ),
    Check(
        name="roles",
        title="App roles in the token",
        run=identity_checks.roles,
        fix="Grant the app role to the managed identity.",
        needs=("token",),
    ),
    Check(
        name="organizer",
        title="Organizer",
        run=graph_checks.organizer,
        fix="Give the object id that Entra shows for the user who organizes the meeting, and check "
        "that the user has a licence with Teams.",
        needs=("roles",),
        settings=_GRAPH,
    ),
    Check(
        name="permission",
        title="Application permission",
        run=graph_checks.permission,
        fix=_GRAPH_AWAY,
        needs=("organizer",),
        settings=_GRAPH,
    ),
    Check(
        name="access_policy",
        title="Teams application access policy",
        run=graph_checks.access_policy,
        fix=_GRAPH_AWAY,
        needs=("permission",),
    ),
    Check(
        name="meeting",
        title="Meeting",
        run=graph_checks.meeting,
        fix=remediation.MEETING_ID,
        needs=("access_policy",),
    ),
    Check(
        name="join_link_v1",
        title="Join link from Graph v1.0",
        run=graph_checks.join_link_v1,
        fix=_GRAPH_AWAY,
        needs=("meeting",),
    ),
    Check(
        name="join_link_beta",
        title="Join link from Graph beta",
        run=graph_checks.join_link_beta,
        fix=_GRAPH_AWAY,
        needs=("meeting",),
    ),
    Check(
        name="sign_in",
        title="Sign-in: the identity as the app registration's credential",
        run=identity_checks.sign_in,
        fix="Check that the app may connect to ENTRA_AUTHORITY, and run the diagnostics again.",
        settings=(_CLIENT_ID, _CA_BUNDLE, *_SIGN_IN),
    ),
    Check(
        name="key_vault",
        title="Key Vault, and each booking system's secret",
        run=resource_checks.secrets,
        fix="Check KEY_VAULT_URI, the vault's network rules, and that the app's identity is Key "
        "Vault Secrets User on it.",
        settings=(_CLIENT_ID, _CA_BUNDLE, "KEY_VAULT_URI", "WEBHOOK_SOURCES"),
    ),
    Check(
        name="queues",
        title="Queues",
        run=resource_checks.queue_depths,
        fix="Check the storage account's network rules, and that it exists.",
        settings=(_CA_BUNDLE, "AzureWebJobsStorage"),
    ),
    Check(
        name="destinations",
        title="Destinations of deliveries",
        run=destination_checks.destinations,
        fix="Look at DELIVERIES, and ask whoever runs the receiver.",
        settings=(_CLIENT_ID, _CA_BUNDLE, "KEY_VAULT_URI", "DELIVERIES"),
    ),
    Check(
        name="alternate_key",
        title="Whether a Teams link alone would do (information only)",
        run=graph_checks.alternate_key,
        fix=_GRAPH_AWAY,
        seconds=3,
        needs=("meeting",),
        informative=True,
    ),
)
