"""The protection of data and secrets, and the queues without which messages would be lost."""

import re
from collections.abc import Iterator

from shared.queues import client
from tests.infra.snapshots import (
    COMPONENT,
    CONTAINER,
    DIAGNOSTICS,
    PASSWORDS,
    PRIVATE_ENDPOINT,
    QUEUE,
    SITE,
    STORAGE,
    VAULT,
    WORKSPACE,
    Snapshot,
)

QUEUES = {
    client.REQUESTS,
    f"{client.REQUESTS}-poison",
    client.RESULTS,
    client.DELIVERIES,
    f"{client.DELIVERIES}-poison",
    client.DEAD_LETTERS,
}
_SECRET = re.compile(r"key(?!_?vault)|secret|password|token|connection", re.IGNORECASE)


def no_shared_keys(snapshot: Snapshot) -> Iterator[str]:
    """Storage accepts only Entra tokens, and nothing is public."""
    wanted = {
        "allowSharedKeyAccess": False,
        "allowBlobPublicAccess": False,
        "allowCrossTenantReplication": False,
        "isLocalUserEnabled": False,
        "defaultToOAuthAuthentication": True,
    }
    for account in snapshot.of_type(STORAGE):
        for name, value in wanted.items():
            if account["properties"].get(name) is not value:
                yield f"{account['name']}: {name} is not {value}"
    for container in snapshot.of_type(CONTAINER):
        if container["properties"]["publicAccess"] != "None":
            yield f"{container['name']} is public"


def no_other_local_authentication(snapshot: Snapshot) -> Iterator[str]:
    """Logs are sent and read, and code is deployed, only with Entra tokens."""
    if snapshot.one(WORKSPACE)["properties"]["features"].get("disableLocalAuth") is not True:
        yield "the workspace accepts its shared key"
    if snapshot.one(COMPONENT)["properties"].get("DisableLocalAuth") is not True:
        yield "Application Insights accepts an instrumentation key"
    switched_off = {
        resource["name"].rpartition("/")[2]
        for resource in snapshot.of_type(PASSWORDS)
        if resource["properties"]["allow"] is False
    }
    for name in {"ftp", "scm"} - switched_off:
        yield f"passwords are allowed for {name}"


def public_access_as_chosen(snapshot: Snapshot) -> Iterator[str]:
    """Storage and vault are public, or have only private endpoints, or both during a move."""
    vnet = snapshot.parameters.vnet
    access, action = ("Enabled", "Allow") if snapshot.parameters.public else ("Disabled", "Deny")
    for resource in (snapshot.one(STORAGE), snapshot.one(VAULT)):
        if resource["properties"]["publicNetworkAccess"] != access:
            yield f"{resource['name']}: public network access is not {access}"
        if resource["properties"]["networkAcls"]["defaultAction"] != action:
            yield f"{resource['name']}: the firewall's default is not {action}"
    endpoints = {
        group
        for endpoint in snapshot.of_type(PRIVATE_ENDPOINT)
        for connection in endpoint["properties"]["privateLinkServiceConnections"]
        for group in connection["properties"]["groupIds"]
    }
    if endpoints != ({"blob", "queue", "table", "vault"} if vnet else set()):
        yield f"private endpoints for {sorted(endpoints)}"
    if bool(snapshot.one(SITE)["properties"].get("virtualNetworkSubnetId")) is not vnet:
        yield "the app's subnet is not as chosen"


def transport_is_encrypted(snapshot: Snapshot) -> Iterator[str]:
    """Only HTTPS, with TLS 1.2 or newer."""
    storage = snapshot.one(STORAGE)["properties"]
    if storage.get("minimumTlsVersion") != "TLS1_2":
        yield "storage accepts TLS older than 1.2"
    if storage.get("supportsHttpsTrafficOnly") is not True:
        yield "storage accepts plain HTTP"
    site = snapshot.one(SITE)["properties"]
    if site.get("httpsOnly") is not True:
        yield "the app accepts plain HTTP"
    for name in ("minTlsVersion", "scmMinTlsVersion"):
        if site["siteConfig"].get(name) not in ("1.2", "1.3"):
            yield f"the app's {name} is older than 1.2"


def vault_is_protected(snapshot: Snapshot) -> Iterator[str]:
    """Roles decide who reads secrets, and no secret can be purged."""
    wanted = {
        "enableRbacAuthorization": True,
        "enablePurgeProtection": True,
        "enableSoftDelete": True,
        "softDeleteRetentionInDays": 90,
        "enabledForDeployment": False,
        "enabledForDiskEncryption": False,
        "enabledForTemplateDeployment": False,
    }
    vault = snapshot.one(VAULT)["properties"]
    for name, value in wanted.items():
        if vault.get(name) != value:
            yield f"{name} is not {value}"


def logs_reach_the_workspace(snapshot: Snapshot) -> Iterator[str]:
    """The workspace logs reads of secrets and writes to queues. Its daily volume is limited."""
    workspace = snapshot.one(WORKSPACE)
    sent = {
        (setting["id"].partition("/providers/Microsoft.Insights/")[0].rpartition("/providers/")[2])
        + " "
        + (log.get("categoryGroup") or log["category"])
        for setting in snapshot.of_type(DIAGNOSTICS)
        if setting["properties"]["workspaceId"] == workspace["id"]
        for log in setting["properties"]["logs"]
        if log["enabled"]
    }
    storage, vault = snapshot.one(STORAGE)["name"], snapshot.one(VAULT)["name"]
    for wanted in (
        f"{VAULT}/{vault} audit",
        f"{STORAGE}/{storage}/queueServices/default StorageWrite",
    ):
        if wanted not in sent:
            yield f"no log of {wanted}"
    if snapshot.one(COMPONENT)["properties"]["WorkspaceResourceId"] != workspace["id"]:
        yield "Application Insights writes to another workspace"
    if not workspace["properties"]["workspaceCapping"]["dailyQuotaGb"] > 0:
        yield "the logs of a day are not capped"


def every_queue_exists(snapshot: Snapshot) -> Iterator[str]:
    """The contract's queues and the poison queues are created at deployment, and no other."""
    made = {queue["name"].rpartition("/")[2] for queue in snapshot.of_type(QUEUE)}
    for name in QUEUES ^ made:
        yield f"queue {name} is {'missing' if name in QUEUES else 'unknown'}"


def outputs_hold_no_secret(snapshot: Snapshot) -> Iterator[str]:
    """A deployment's history shows outputs, so they are only names, ids and addresses."""
    for name, value in snapshot.outputs.items():
        if _SECRET.search(f"{name} {value}"):
            yield f"output {name}"
