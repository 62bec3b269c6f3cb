"""The app's plan, identity and settings."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from shared.core import settings
from tests.infra.snapshots import IDENTITY, PLAN, SITE, Snapshot

_ROOT = Path(__file__).parents[2]
PLATFORM_SETTINGS = {
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__queueServiceUri",
    "AzureWebJobsStorage__tableServiceUri",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "PYTHON_THREADPOOL_THREAD_COUNT",
    "RES_OPTIONS",
}

# Flex Consumption refuses these, or does not start with them. A plain AzureWebJobsStorage
# beside the `__` forms breaks the deployment, and AZURE_CLIENT_ID changes every connection.
FORBIDDEN_SETTINGS = re.compile(
    r"FUNCTIONS_WORKER_RUNTIME(_VERSION)?|FUNCTIONS_EXTENSION_VERSION"
    r"|SCM_DO_BUILD_DURING_DEPLOYMENT|ENABLE_ORYX_BUILD|WEBSITE_RUN_FROM_PACKAGE"
    r"|WEBSITE_CONTENT.*|WEBSITE_VNET_ROUTE_ALL|AzureWebJobsStorage|AZURE_CLIENT_ID",
    re.IGNORECASE,
)
# Some regions refuse a smaller maximumInstanceCount (azure-functions-host #10523).
LEAST_INSTANCES_EVERYWHERE = 40
FORBIDDEN_CONFIGURATION = {
    "linuxFxVersion",
    "alwaysOn",
    "ftpsState",
    "functionAppScaleLimit",
    "healthCheckPath",
}


def no_setting_that_flex_forbids(snapshot: Snapshot) -> Iterator[str]:
    """No setting of older plans, which Flex Consumption refuses or does not support."""
    for name in snapshot.app_settings:
        if FORBIDDEN_SETTINGS.fullmatch(name):
            yield f"setting {name}"
    site = snapshot.one(SITE)["properties"]
    if "appSettings" in site["siteConfig"]:
        yield "settings in siteConfig, beside those in config/appsettings"
    for name in FORBIDDEN_CONFIGURATION & (site.keys() | site["siteConfig"].keys()):
        yield f"siteConfig's {name}"


def settings_are_the_apps(snapshot: Snapshot) -> Iterator[str]:
    """Each setting that the app reads is given, and no other."""
    known = (set(settings.NAMES) - {"AzureWebJobsStorage"}) | PLATFORM_SETTINGS
    for name in known ^ snapshot.app_settings.keys():
        yield f"setting {name} is {'missing' if name in known else 'unknown'}"
    for name, value in snapshot.app_settings.items():
        if not isinstance(value, str):
            yield f"setting {name} is no string"


def sign_in_as_chosen(snapshot: Snapshot) -> Iterator[str]:
    """Entra sign-in is on if and only if a client id is given."""
    client_id = snapshot.parameters.entra_client_id
    if snapshot.app_settings.get("HTTP_AUTH") != ("entra" if client_id else "key"):
        yield "HTTP_AUTH is not as chosen"
    if snapshot.app_settings.get("ENTRA_CLIENT_ID") != client_id:
        yield "ENTRA_CLIENT_ID is not as chosen"
    if not snapshot.app_settings.get("ENTRA_TENANT_ID"):
        yield "ENTRA_TENANT_ID is empty"


def scales_as_chosen(snapshot: Snapshot) -> Iterator[str]:
    """Each region accepts the default. Instances are always ready only on request."""
    scale = snapshot.one(SITE)["properties"]["functionAppConfig"]["scaleAndConcurrency"]
    if scale["maximumInstanceCount"] < LEAST_INSTANCES_EVERYWHERE:
        yield f"some regions refuse {scale['maximumInstanceCount']} instances"
    always_ready = snapshot.parameters.always_ready
    wanted = [{"name": "http", "instanceCount": always_ready}] if always_ready else []
    if scale["alwaysReady"] != wanted:
        yield f"always ready are {scale['alwaysReady']}"


def one_identity_everywhere(snapshot: Snapshot) -> Iterator[str]:
    """The user-assigned identity is used for storage, Application Insights and Graph."""
    identity = snapshot.one(IDENTITY)["id"]
    site = snapshot.one(SITE)
    if site["identity"] != {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}}:
        yield "the app's identity is not the user-assigned one alone"
    if site["properties"].get("keyVaultReferenceIdentity") != identity:
        yield "Key Vault references use another identity"
    authentication = site["properties"]["functionAppConfig"]["deployment"]["storage"][
        "authentication"
    ]
    if authentication.get("userAssignedIdentityResourceId") != identity:
        yield "the package is read with another identity"
    if snapshot.app_settings.get("AzureWebJobsStorage__credential") != "managedidentity":
        yield "storage is not reached by managed identity"
    client_id = re.compile(re.escape(f"reference('{identity}', ") + r"'[\d-]+'\)\.clientId\b")
    for name in (
        "AzureWebJobsStorage__clientId",
        "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
        "MANAGED_IDENTITY_CLIENT_ID",
    ):
        if not client_id.search(snapshot.app_settings.get(name, "")):
            yield f"{name} does not name the identity"


def resolver_options_are_the_samples(snapshot: Snapshot) -> Iterator[str]:
    """The options that a test with a silent name server covers."""
    sample = json.loads((_ROOT / "local.settings.sample.json").read_text(encoding="utf-8"))
    if snapshot.app_settings.get("RES_OPTIONS") != sample["Values"]["RES_OPTIONS"]:
        yield "RES_OPTIONS is not the sample's"


def runs_on_flex_with_enough_threads(snapshot: Snapshot) -> Iterator[str]:
    """Python 3.13 on Flex. A thread for each call or message, and as many for calls that hang."""
    if snapshot.one(PLAN)["sku"]["name"] != "FC1":
        yield "the plan is not Flex Consumption"
    configuration = snapshot.one(SITE)["properties"]["functionAppConfig"]
    if configuration["runtime"] != {"name": "python", "version": "3.13"}:
        yield "the runtime is not Python 3.13"
    host = json.loads((_ROOT / "host.json").read_text(encoding="utf-8"))
    queues = host["extensions"]["queues"]
    threads = int(snapshot.app_settings.get("PYTHON_THREADPOOL_THREAD_COUNT", 0))
    calls = configuration["scaleAndConcurrency"]["triggers"]["http"]["perInstanceConcurrency"]
    for what, most in {
        "HTTP calls, and as many that hang": 2 * calls,
        "messages": queues["batchSize"] + queues["newBatchThreshold"],
    }.items():
        if threads < most:
            yield f"{threads} threads for {most} {what} at a time"
