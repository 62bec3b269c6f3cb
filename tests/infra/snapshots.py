"""The committed snapshots: what each variant deploys, by the Bicep compiler's prediction.

A value that only Azure knows is an expression in brackets, such as "[reference(…).clientId]".
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

FOLDER = Path(__file__).parent

# The resource types that the policies use.
ROLE = "Microsoft.Authorization/roleAssignments"
ACTION_GROUP = "Microsoft.Insights/actionGroups"
COMPONENT = "Microsoft.Insights/components"
DIAGNOSTICS = "Microsoft.Insights/diagnosticSettings"
RULE = "Microsoft.Insights/scheduledQueryRules"
WORKBOOK = "Microsoft.Insights/workbooks"
VAULT = "Microsoft.KeyVault/vaults"
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
PRIVATE_ENDPOINT = "Microsoft.Network/privateEndpoints"
NETWORK = "Microsoft.Network/virtualNetworks"
WORKSPACE = "Microsoft.OperationalInsights/workspaces"
GROUP = "Microsoft.Resources/resourceGroups"
STORAGE = "Microsoft.Storage/storageAccounts"
QUEUE = "Microsoft.Storage/storageAccounts/queueServices/queues"
CONTAINER = "Microsoft.Storage/storageAccounts/blobServices/containers"
PLAN = "Microsoft.Web/serverfarms"
SITE = "Microsoft.Web/sites"
PASSWORDS = "Microsoft.Web/sites/basicPublishingCredentialsPolicies"
CONFIG = "Microsoft.Web/sites/config"

Resource = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """The values of a variant's .bicepparam on which policies depend."""

    environment_name: str
    vnet: bool = False
    public: bool = True
    always_ready: int = 0
    entra_client_id: str = ""
    # Of each its object id and principal type.
    senders: frozenset[tuple[str, str]] = frozenset()
    readers: frozenset[tuple[str, str]] = frozenset()
    operators: frozenset[tuple[str, str]] = frozenset()
    email: str = ""


_SIGN_IN = "11111111-1111-4111-8111-111111111111"
_WORKFLOW = ("33333333-3333-4333-8333-333333333333", "ServicePrincipal")
VARIANTS: Mapping[str, Parameters] = {
    "default": Parameters(environment_name="default"),
    "entra": Parameters(environment_name="entra", entra_client_id=_SIGN_IN),
    "vnet": Parameters(environment_name="vnet", vnet=True, public=False),
    "moving": Parameters(environment_name="moving", vnet=True),
    "overlap": Parameters(
        environment_name="overlap",
        senders=frozenset({_WORKFLOW, ("77777777-7777-4777-8777-777777777777", "Group")}),
        readers=frozenset({_WORKFLOW}),
        operators=frozenset({("aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa", "User")}),
    ),
    "everything": Parameters(
        environment_name="the-longest-environment-name-of-sixty-four-characters-in-all-001",
        vnet=True,
        public=False,
        always_ready=2,
        entra_client_id=_SIGN_IN,
        senders=frozenset({_WORKFLOW, ("22222222-2222-4222-8222-222222222222", "User")}),
        readers=frozenset({_WORKFLOW, ("77777777-7777-4777-8777-777777777777", "Group")}),
        operators=frozenset(
            {
                ("44444444-4444-4444-8444-444444444444", "Group"),
                ("88888888-8888-4888-8888-888888888888", "ServicePrincipal"),
            }
        ),
        email="operations@example.org",
    ),
}


@dataclass(frozen=True)
class Snapshot:
    """One variant: its parameters, and the resources and outputs that follow from them."""

    parameters: Parameters
    data: Mapping[str, Any]

    @property
    def resources(self) -> list[Resource]:
        """All resources of the deployment."""
        return cast("list[Resource]", self.data["predictedResources"])

    @property
    def outputs(self) -> Mapping[str, object]:
        """The deployment's outputs."""
        return cast("Mapping[str, object]", self.data["outputs"])

    def of_type(self, kind: str) -> list[Resource]:
        """Return the resources of one type, such as Microsoft.KeyVault/vaults."""
        return [resource for resource in self.resources if resource["type"] == kind]

    def one(self, kind: str) -> Resource:
        """Return the only resource of a type.

        Raises:
            ValueError: there is none, or more than one.
        """
        (resource,) = self.of_type(kind)
        return resource

    @property
    def app_settings(self) -> Mapping[str, str]:
        """The app's environment variables."""
        (config,) = (
            resource
            for resource in self.of_type(CONFIG)
            if resource["name"].endswith("/appsettings")
        )
        return cast("Mapping[str, str]", config["properties"])

    def queries(self) -> Iterator[tuple[str, str]]:
        """Yield each KQL query of the alerts and the workbook, with its place's name."""
        for rule in self.of_type(RULE):
            for criterion in rule["properties"]["criteria"]["allOf"]:
                yield rule["name"], criterion["query"]
        for workbook in self.of_type(WORKBOOK):
            for item in json.loads(workbook["properties"]["serializedData"])["items"]:
                if "query" in item["content"]:
                    yield f"workbook {item['name']}", item["content"]["query"]


def load(variant: str) -> Snapshot:
    """Read a variant's snapshot."""
    text = (FOLDER / f"{variant}.snapshot.json").read_text(encoding="utf-8")
    return Snapshot(VARIANTS[variant], json.loads(text))
