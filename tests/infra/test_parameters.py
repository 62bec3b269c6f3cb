"""The entry points have the same parameters, azd fills them, and the app accepts its settings."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from shared.core.settings import Settings
from shared.deliveries.destinations import read_destinations
from shared.webhooks.sources import read_sources
from tests.infra.network_policy import function_groups
from tests.infra.snapshots import SITE, VARIANTS, load

INFRA = Path(__file__).parents[2] / "infra"
ENTRY_POINTS = ("main.bicep", "resources.bicep", "graph/main.bicep", "graph/sign-in.bicep")

# The decorators of a parameter, and the parameter with its default.
PARAMETER = re.compile(
    r"^((?:@.*\n)*)param (\w+) ((?:.+\n)+)",
    re.MULTILINE,
)


def parameters(path: str) -> dict[str, tuple[str, str]]:
    """Read a Bicep file's parameters: name → its decorators, its type and default."""
    text = (INFRA / path).read_text(encoding="utf-8")
    found = {name: (decorators, rest) for decorators, name, rest in PARAMETER.findall(text)}
    assert len(found) == len(re.findall(r"^param ", text, re.MULTILINE))
    return found


@pytest.mark.parametrize("path", ENTRY_POINTS)
def test_every_parameter_is_described_and_bounded(path: str) -> None:
    """A person who deploys reads the descriptions. Texts, numbers and lists have limits."""
    for name, (decorators, rest) in parameters(path).items():
        assert "@description('" in decorators, name
        bounded = re.search(r"@(allowed|minLength|maxLength|minValue|maxValue)\(", decorators)
        assert bounded or rest.split()[0] in ("bool", "object") or "resourceGroup()" in rest, name


def test_both_entry_points_have_the_same_parameters() -> None:
    """Only main.bicep has the resource group's name. Types, limits and defaults are the same."""

    def bounds(path: str, *beside: str) -> dict[str, tuple[list[str], str]]:
        return {
            name: (
                [line for line in decorators.splitlines() if not re.match(r"@(desc|meta)", line)],
                rest,
            )
            for name, (decorators, rest) in parameters(path).items()
            if name not in beside
        }

    # resources.bicep takes its region from its resource group.
    assert bounds("main.bicep", "location", "resourceGroupName") == bounds(
        "resources.bicep", "location"
    )


def test_a_second_deployment_deploys_the_same() -> None:
    """No value of the template depends on the time or is random."""
    text = "".join(file.read_text(encoding="utf-8") for file in INFRA.rglob("*.bicep"))

    assert not re.findall(r"\b(?:utcNow|newGuid)\(", text)


def test_the_scaling_parameters_describe_their_effect() -> None:
    """The limit is for each function group. Always ready instances cost money."""
    for path in ("main.bicep", "resources.bicep"):
        told = {name: decorators for name, (decorators, _) in parameters(path).items()}
        assert "each function group" in told["maximumInstanceCount"]
        assert "US dollars a month" in told["alwaysReadyHttpInstances"]


@pytest.mark.parametrize("page", ["docs/deploy.md", "docs/decisions/0001-flex-consumption.md"])
def test_the_pages_say_how_far_the_default_scales(page: str) -> None:
    """For each function group and for the app, which has a group for HTTP and for each queue."""
    text = " ".join((INFRA.parent / page).read_text(encoding="utf-8").split())
    site = load("default").one(SITE)["properties"]["functionAppConfig"]
    figure = site["scaleAndConcurrency"]["maximumInstanceCount"]

    assert {int(told) for told in re.findall(r"the app (?:may have )?(\d+)\b", text)} == {
        figure * function_groups()
    }
    assert re.search(rf"\b{figure}\b.{{0,40}}for each function group|instances \({figure}\)", text)


def test_azd_fills_each_parameter_from_a_variable_of_its_name() -> None:
    """main.parameters.json names each parameter except the tags. Bicep has the defaults."""
    text = (INFRA / "main.parameters.json").read_text(encoding="utf-8")
    values = {name: entry["value"] for name, entry in json.loads(text)["parameters"].items()}
    azd = {
        "environmentName": "${AZURE_ENV_NAME}",
        "location": "${AZURE_LOCATION}",
        "resourceGroupName": "${AZURE_RESOURCE_GROUP}",
    }

    expected = {
        name: "${" + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper() + "}"
        for name in parameters("main.bicep").keys() - {"tags"}
    }

    assert values == expected | azd


def test_an_output_is_no_parameter_of_the_next_deployment() -> None:
    """Azd stores outputs as variables. Only the region and the group may be read again."""
    text = (INFRA / "main.parameters.json").read_text(encoding="utf-8")
    read = set(re.findall(r"\$\{(\w+)\}", text))

    assert read & load("default").outputs.keys() == {"AZURE_LOCATION", "AZURE_RESOURCE_GROUP"}


FILLED_IN = {
    "AzureWebJobsStorage__clientId": "66666666-6666-4666-8666-666666666666",
    "AzureWebJobsStorage__queueServiceUri": "https://name.queue.core.windows.net",
    "MANAGED_IDENTITY_CLIENT_ID": "66666666-6666-4666-8666-666666666666",
    "KEY_VAULT_URI": "https://name.vault.azure.net/",
}
"""Values that Azure only knows after the deployment."""


def test_the_default_deployment_gives_the_apps_defaults() -> None:
    """Except for Azure's values, the app is as without these settings."""
    given = load("default").app_settings
    for name in FILLED_IN:
        assert given[name].startswith("["), f"{name} is known before the deployment"

    settings = Settings.from_env({**given, **FILLED_IN})

    assert settings == dataclasses.replace(
        Settings(storage=settings.storage),
        managed_identity_client_id=FILLED_IN["MANAGED_IDENTITY_CLIENT_ID"],
        key_vault_uri=FILLED_IN["KEY_VAULT_URI"].rstrip("/"),
        entra_tenant_id=given["ENTRA_TENANT_ID"],
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_app_accepts_the_settings_of_each_variant(variant: str) -> None:
    """`Settings`, the webhook sources and the destinations have no error."""
    settings = Settings.from_env({**load(variant).app_settings, **FILLED_IN})

    assert read_sources(settings.webhook_sources).invalid == {}
    assert read_destinations(settings.deliveries).invalid == {}
