"""The ladder itself, as data. One more thing to check is one more entry."""

from collections.abc import Sequence

from shared import fixes
from shared.diagnostics import graph_checks, identity_checks, resource_checks
from shared.diagnostics.ascent import Ascent
from shared.diagnostics.ladder import Rung

_CLIENT_ID = "MANAGED_IDENTITY_CLIENT_ID"
_CA_BUNDLE = "REQUESTS_CA_BUNDLE"
_GRAPH = (_CLIENT_ID, _CA_BUNDLE, "GRAPH_ROOT", "GRAPH_VERSION")
_GRAPH_AWAY = (
    "Run the diagnostics again in a minute. If it stays, look at Microsoft 365's service health "
    "and at what stands between the app and graph.microsoft.com."
)

RUNGS: Sequence[Rung[Ascent]] = (
    Rung(
        name="settings",
        title="Settings",
        check=identity_checks.settings,
        fix="Correct the settings named here in the function app's environment variables; the app "
        "restarts by itself.",
    ),
    Rung(
        name="identity",
        title="Managed identity",
        check=identity_checks.identity,
        fix="Check that the function app has the identity, and restart the app.",
        seconds=6,  # azure-identity asks four times before it gives up
        settings=(_CLIENT_ID,),
    ),
    Rung(
        name="token",
        title="Token for Microsoft Graph",
        check=identity_checks.token,
        fix="Check that MANAGED_IDENTITY_CLIENT_ID is the client id of the identity that the "
        "function app has.",
        needs=("identity",),
        settings=(_CLIENT_ID,),
    ),
    Rung(
        name="roles",
        title="App roles in the token",
        check=identity_checks.roles,
        fix="Grant the app role to the managed identity.",
        needs=("token",),
    ),
    Rung(
        name="organizer",
        title="Organizer",
        check=graph_checks.organizer,
        fix="Give the object id that Entra shows for the user who organizes the meeting, and check "
        "that the user has a licence with Teams.",
        needs=("roles",),
        settings=_GRAPH,
    ),
    Rung(
        name="permission",
        title="Application permission",
        check=graph_checks.permission,
        fix=_GRAPH_AWAY,
        needs=("organizer",),
        settings=_GRAPH,
    ),
    Rung(
        name="access_policy",
        title="Teams application access policy",
        check=graph_checks.access_policy,
        fix=_GRAPH_AWAY,
        needs=("permission",),
    ),
    Rung(
        name="meeting",
        title="Meeting",
        check=graph_checks.meeting,
        fix=fixes.MEETING_ID,
        needs=("access_policy",),
    ),
    Rung(
        name="join_link_v1",
        title="Join link from Graph v1.0",
        check=graph_checks.join_link_v1,
        fix=_GRAPH_AWAY,
        needs=("meeting",),
    ),
    Rung(
        name="join_link_beta",
        title="Join link from Graph beta",
        check=graph_checks.join_link_beta,
        fix=_GRAPH_AWAY,
        needs=("meeting",),
    ),
    Rung(
        name="key_vault",
        title="Key Vault, and each booking system's secret",
        check=resource_checks.secrets,
        fix="Check KEY_VAULT_URI, the vault's network rules, and that the app's identity is Key "
        "Vault Secrets User on it.",
        settings=(_CLIENT_ID, _CA_BUNDLE, "KEY_VAULT_URI", "WEBHOOK_SOURCES"),
    ),
    Rung(
        name="queues",
        title="Queues",
        check=resource_checks.queue_depths,
        fix="Check the storage account's network rules, and that it exists.",
        settings=(_CA_BUNDLE, "AzureWebJobsStorage"),
    ),
    Rung(
        name="alternate_key",
        title="Whether a Teams link alone would do (information only)",
        check=graph_checks.alternate_key,
        fix=_GRAPH_AWAY,
        seconds=3,
        needs=("meeting",),
    ),
)
