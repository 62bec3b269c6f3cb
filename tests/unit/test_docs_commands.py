"""The commands in the pages that administrators follow are commands that exist."""

import json
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from shared.sources import read_sources

ROOT = Path(__file__).parents[2]
PAGES = ("setup.md", "deploy.md", "diagnostics.md", "power-automate.md", "webhooks.md")
HELPFUL = (
    "scripts/diagnose.py",
    "scripts/grant_graph_permissions.py",
    "scripts/make_connector.py",
    "scripts/retry_deployment.py",
    "scripts/set_webhook_secret.py",
)
HOOK_SETTINGS = {"GRAPH_GRANTS", "ORGANIZERS"}
PRINCIPAL_TYPES = {"User", "Group", "ServicePrincipal"}


def page(name: str) -> str:
    """A page, with continued lines joined."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    return re.sub(r" *\\\n\s*", " ", text)


def commands(pattern: str) -> list[tuple[str, str]]:
    """Every command that begins like that: the page, and the command up to its end."""
    return [
        (name, found)
        for name in PAGES
        for found in re.findall(rf"(?:^ *|`|\()({pattern}[^`\n]*)", page(name), re.MULTILINE)
    ]


@cache
def help_of(script: str) -> str:
    """What a script says to --help."""
    command = [sys.executable, "-B", str(ROOT / script), "--help"]
    return subprocess.run(  # noqa: S603 - our own
        command, capture_output=True, encoding="utf-8", check=True, cwd=ROOT
    ).stdout


SCRIPT_CALLS = commands(r"python scripts/")


def test_every_page_shows_scripts() -> None:
    """Else nothing below would be looked at."""
    assert {name for name, _ in SCRIPT_CALLS} == set(PAGES)
    assert len(SCRIPT_CALLS) >= 9


@pytest.mark.parametrize(("name", "command"), SCRIPT_CALLS)
def test_a_script_has_the_options_that_are_shown(name: str, command: str) -> None:
    """By its own --help."""
    _, script, *arguments = shlex.split(command)
    if script.endswith("retry_deployment.py"):  # what follows is another program's
        arguments = []

    options = {one for one in arguments if one.startswith("--")}

    for option in options:
        assert re.search(rf"^  {option}(?=\s)", help_of(script), re.MULTILINE), (name, option)


@pytest.mark.parametrize("script", HELPFUL)
def test_a_scripts_help_begins_with_its_purpose_and_the_role(script: str) -> None:
    """Two paragraphs, before any option."""
    purpose, role, *_ = help_of(script).split("\n\n")

    assert purpose.endswith(".")
    assert "\n" not in purpose
    assert role.startswith("Needs ")


@pytest.mark.parametrize(("name", "command"), commands(r"(?:pwsh |\./)scripts/"))
def test_the_powershell_script_has_the_parameters_that_are_shown(name: str, command: str) -> None:
    """By its param block; -WhatIf comes with SupportsShouldProcess."""
    _, script, rest = re.split(r"(scripts/\S+)", command, maxsplit=1)
    block = (ROOT / script).read_text(encoding="utf-8").partition("\nparam(")[2]
    declared = set(re.findall(r"^    \[[\w\[\]]+\] \$(\w+)", block, re.MULTILINE))

    shown = set(re.findall(r" -(\w+)", rest))

    assert shown <= declared | {"WhatIf"}, name


@pytest.mark.parametrize(("name", "command"), commands(r"azd env set "))
def test_what_azd_is_told_reaches_somebody(name: str, command: str) -> None:
    """A parameter of the Bicep, or a hook."""
    parameters = (ROOT / "infra" / "main.parameters.json").read_text(encoding="utf-8")
    read = set(re.findall(r"\$\{(\w+)\}", parameters)) | HOOK_SETTINGS
    variable = command.split()[3]

    assert variable in read | {"NAME"}, name


@pytest.mark.parametrize(
    ("name", "command"), commands(r"azd env set (?:WEBHOOK_SOURCES|QUEUE_\w+) ")
)
def test_the_json_that_azd_is_told_has_its_shape(name: str, command: str) -> None:
    """Booking systems that the app takes, and principals that the Bicep takes."""
    *_, variable, value = shlex.split(command)
    told = json.loads(value)

    if variable == "WEBHOOK_SOURCES":
        assert not read_sources(told).faulty, name
    else:
        assert all(principal.keys() == {"id", "type"} for principal in told), name
        assert {principal["type"] for principal in told} <= PRINCIPAL_TYPES, name


def test_the_table_of_settings_names_every_parameter() -> None:
    """In docs/deploy.md, beside those that azd asks for by itself, and those of the hooks."""
    document = json.loads((ROOT / "infra" / "main.parameters.json").read_text(encoding="utf-8"))
    variables = {entry["value"][2:-1] for entry in document["parameters"].values()}

    table = set(re.findall(r"`([A-Z_]+)`", page("deploy.md")))

    assert (variables - {"AZURE_ENV_NAME", "AZURE_LOCATION"}) | HOOK_SETTINGS <= table


@pytest.mark.parametrize(("name", "command"), commands(r"az deployment \w+ create "))
def test_a_deployment_names_a_template_and_its_parameters(name: str, command: str) -> None:
    """The file is there and has them."""
    template = ROOT / re.findall(r"--template-file (\S+)", command)[0]
    given = re.findall(r"(\w+)=", command.partition("--parameters")[2])
    declared = re.findall(r"^param (\w+) ", template.read_text(encoding="utf-8"), re.MULTILINE)

    assert set(given) <= set(declared), name


def test_the_azd_hooks_are_scripts_that_are_there() -> None:
    """azure.yaml names them by path."""
    text = (ROOT / "azure.yaml").read_text(encoding="utf-8")
    hooks = re.findall(r"^    run: (\S+)$", text, re.MULTILINE)

    assert len(hooks) == 3
    for hook in hooks:
        assert (ROOT / hook).is_file()


def test_azd_deploys_what_the_bicep_tags() -> None:
    """The service's name is the tag by which azd finds the app."""
    service = re.findall(
        r"^services:\n  (\w+):", (ROOT / "azure.yaml").read_text(encoding="utf-8"), re.MULTILINE
    )
    bicep = (ROOT / "infra" / "modules" / "function-app.bicep").read_text(encoding="utf-8")

    assert re.findall(r"'azd-service-name': '(\w+)'", bicep) == service
