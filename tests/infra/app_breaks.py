"""Errors in the app's plan, identity or settings."""

from tests.infra import app_policy as policy
from tests.infra.breaks import Break, put, setting
from tests.infra.snapshots import PLAN, SITE

SCALE = "properties.functionAppConfig.scaleAndConcurrency"

BREAKS = (
    *(
        Break(policy.no_setting_that_flex_forbids, name, setting(name, "1"))
        for name in (
            "FUNCTIONS_WORKER_RUNTIME",
            "FUNCTIONS_EXTENSION_VERSION",
            "WEBSITE_RUN_FROM_PACKAGE",
            "WEBSITE_CONTENTSHARE",
            "AzureWebJobsStorage",
            "AZURE_CLIENT_ID",
        )
    ),
    Break(
        policy.no_setting_that_flex_forbids,
        "linuxFxVersion",
        put(SITE, "properties.siteConfig.linuxFxVersion", "Python|3.13"),
    ),
    Break(
        policy.no_setting_that_flex_forbids,
        "two places for settings",
        put(SITE, "properties.siteConfig.appSettings", []),
    ),
    *(
        Break(policy.settings_are_the_apps, f"no {name}", setting(name))
        for name in ("WEBHOOK_SOURCES", "ENTRA_AUTHORITY", "AzureWebJobsStorage__queueServiceUri")
    ),
    Break(policy.settings_are_the_apps, "nobody's setting", setting("GRAPH_VERSON", "v1.0")),
    Break(policy.settings_are_the_apps, "a number", setting("QUEUE_RETRY_HOURS", 24)),
    Break(policy.sign_in_as_chosen, "keys", setting("HTTP_AUTH", "key"), "entra"),
    Break(policy.sign_in_as_chosen, "sign-in", setting("HTTP_AUTH", "entra")),
    Break(policy.sign_in_as_chosen, "no client id", setting("ENTRA_CLIENT_ID", ""), "entra"),
    Break(policy.sign_in_as_chosen, "no tenant", setting("ENTRA_TENANT_ID", ""), "entra"),
    Break(
        policy.one_identity_everywhere,
        "a system-assigned identity",
        put(SITE, "identity", {"type": "SystemAssigned"}),
    ),
    Break(
        policy.one_identity_everywhere,
        "no identity for Key Vault references",
        put(SITE, "properties.keyVaultReferenceIdentity", "SystemAssigned"),
    ),
    Break(
        policy.one_identity_everywhere,
        "another identity for the package",
        put(
            SITE,
            "properties.functionAppConfig.deployment.storage.authentication",
            {"type": "SystemAssignedIdentity"},
        ),
    ),
    *(
        Break(policy.one_identity_everywhere, f"no {name}", setting(name, ""))
        for name in (
            "AzureWebJobsStorage__credential",
            "AzureWebJobsStorage__clientId",
            "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
            "MANAGED_IDENTITY_CLIENT_ID",
        )
    ),
    Break(
        policy.runs_on_flex_with_enough_threads,
        "the older plan",
        put(PLAN, "sku.name", "Y1"),
    ),
    Break(
        policy.runs_on_flex_with_enough_threads,
        "an older Python",
        put(SITE, "properties.functionAppConfig.runtime.version", "3.12"),
    ),
    Break(
        policy.runs_on_flex_with_enough_threads,
        "more calls than threads",
        put(
            SITE,
            "properties.functionAppConfig.scaleAndConcurrency.triggers.http.perInstanceConcurrency",
            33,
        ),
    ),
    Break(
        policy.runs_on_flex_with_enough_threads,
        "more messages than threads",
        setting("PYTHON_THREADPOOL_THREAD_COUNT", "23"),
    ),
    Break(
        policy.resolver_options_are_the_samples,
        "the resolver's default timeout",
        setting("RES_OPTIONS", "timeout:5 attempts:2"),
    ),
    Break(
        policy.scales_as_chosen,
        "fewer than some regions allow",
        put(SITE, f"{SCALE}.maximumInstanceCount", 39),
    ),
    Break(
        policy.scales_as_chosen,
        "instances that were not requested",
        put(SITE, f"{SCALE}.alwaysReady", [{"name": "http", "instanceCount": 1}]),
    ),
    Break(
        policy.scales_as_chosen,
        "no instance although requested",
        put(SITE, f"{SCALE}.alwaysReady", []),
        "everything",
    ),
)
