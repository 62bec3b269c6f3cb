"""Errors that expose data or secrets, or lose a message."""

from tests.infra import protection_policy as policy
from tests.infra.breaks import Break, drop, put, repeat
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
)

BREAKS = (
    *(
        Break(policy.no_shared_keys, name, put(STORAGE, f"properties.{name}", value))
        for name, value in {
            "allowSharedKeyAccess": True,
            "allowBlobPublicAccess": True,
            "allowCrossTenantReplication": True,
            "isLocalUserEnabled": True,
            "defaultToOAuthAuthentication": False,
        }.items()
    ),
    Break(
        policy.no_shared_keys,
        "a public container",
        put(CONTAINER, "properties.publicAccess", "Blob"),
    ),
    Break(
        policy.no_other_local_authentication,
        "the workspace's key",
        put(WORKSPACE, "properties.features.disableLocalAuth", value=False),
    ),
    Break(
        policy.no_other_local_authentication,
        "the instrumentation key",
        put(COMPONENT, "properties.DisableLocalAuth", value=False),
    ),
    Break(
        policy.no_other_local_authentication,
        "publishing with a password",
        put(PASSWORDS, "properties.allow", value=True, name="/scm"),
    ),
    Break(
        policy.no_other_local_authentication,
        "FTP by default",
        drop(PASSWORDS, "/ftp"),
    ),
    *(
        Break(
            policy.public_access_as_chosen,
            f"{kind} {path}",
            put(kind, path, value),
            variant,
        )
        for kind in (STORAGE, VAULT)
        for path, value, variant in (
            ("properties.publicNetworkAccess", "Disabled", "default"),
            ("properties.publicNetworkAccess", "Enabled", "vnet"),
            ("properties.networkAcls.defaultAction", "Allow", "vnet"),
        )
    ),
    Break(
        policy.public_access_as_chosen,
        "no private endpoint for queues",
        drop(PRIVATE_ENDPOINT, "^pe-queue-"),
        "vnet",
    ),
    Break(
        policy.public_access_as_chosen,
        "the app outside the network",
        put(SITE, "properties.virtualNetworkSubnetId", None),
        "vnet",
    ),
    Break(
        policy.public_access_as_chosen,
        "closed before the app has moved",
        put(STORAGE, "properties.publicNetworkAccess", "Disabled"),
        "moving",
    ),
    Break(
        policy.transport_is_encrypted,
        "old TLS to storage",
        put(STORAGE, "properties.minimumTlsVersion", "TLS1_0"),
    ),
    Break(
        policy.transport_is_encrypted,
        "plain HTTP to storage",
        put(STORAGE, "properties.supportsHttpsTrafficOnly", value=False),
    ),
    Break(
        policy.transport_is_encrypted,
        "plain HTTP to the app",
        put(SITE, "properties.httpsOnly", value=False),
    ),
    *(
        Break(
            policy.transport_is_encrypted,
            name,
            put(SITE, f"properties.siteConfig.{name}", "1.1"),
        )
        for name in ("minTlsVersion", "scmMinTlsVersion")
    ),
    *(
        Break(policy.vault_is_protected, name, put(VAULT, f"properties.{name}", value))
        for name, value in {
            "enablePurgeProtection": None,
            "enableRbacAuthorization": False,
            "softDeleteRetentionInDays": 7,
            "enabledForDeployment": True,
        }.items()
    ),
    Break(
        policy.logs_reach_the_workspace,
        "no audit log",
        drop(DIAGNOSTICS, "audit"),
    ),
    Break(
        policy.logs_reach_the_workspace,
        "the audit log in another workspace",
        put(DIAGNOSTICS, "properties.workspaceId", "/elsewhere", "audit"),
    ),
    Break(
        policy.logs_reach_the_workspace,
        "writes to queues switched off",
        put(DIAGNOSTICS, "properties.logs.0.enabled", value=False, name="queue-writes"),
    ),
    Break(
        policy.logs_reach_the_workspace,
        "no cap",
        put(WORKSPACE, "properties.workspaceCapping.dailyQuotaGb", -1),
    ),
    Break(
        policy.logs_reach_the_workspace,
        "Application Insights in another workspace",
        put(COMPONENT, "properties.WorkspaceResourceId", "/elsewhere"),
    ),
    *(
        Break(policy.every_queue_exists, f"no {name}", drop(QUEUE, f"/{name}$"))
        for name in sorted(policy.QUEUES)
    ),
    Break(
        policy.every_queue_exists,
        "an unknown queue",
        repeat(QUEUE, name="st/default/join-link-request"),
    ),
)
