"""The commands in the pages are commands that exist, with the options that are shown."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec

import pytest

from dev import cli
from shared.core.remediation import _SCRIPT_FLAGS
from shared.webhooks.sources import read_sources
from tests.unit.docs_pages import PAGES, ROOT, blocks, commands, lines, prose, spans, table

HELPFUL = (
    "scripts/build_package.py",
    "scripts/deployment_parameters.py",
    "scripts/diagnose.py",
    "scripts/github_variables.py",
    "scripts/grant_graph_permissions.py",
    "scripts/make_connector.py",
    "scripts/retry_deployment.py",
    "scripts/set_webhook_secret.py",
    "scripts/setup.py",
)
HOOK_SETTINGS = {"GRAPH_GRANTS", "ORGANIZERS", "TEAMS_POLICY_SET"}
PRINCIPAL_TYPES = {"User", "Group", "ServicePrincipal"}
SETUP_VARIABLES = {"GROUP", "APP", "URL", "CLIENT_ID", "VAULT"}
"""Set in docs/setup.md, *In every new shell*, for the other pages as well."""
OPTIONS_OF_OTHERS = {"--secret", "--hypothesis-profile=explore"}
"""Of paconn, Microsoft's command line for connectors, and of pytest with Hypothesis."""
READERS_VARIABLES = {"TOKEN", "HOME", "PATH"}
"""What only the reader knows, and what a shell sets."""
BASH = [(page, block.text) for page in PAGES for block in blocks(page) if block.language == "bash"]
DEV_CALLS = commands(r"python dev\.py ")
SCRIPT_CALLS = commands(r"python scripts/")
MODULE_CALLS = commands(r"\S*python3? -m ")


@cache
def help_of(*command: str) -> str:
    """What a program in Python, or a command of it, says to --help."""
    call = [sys.executable, "-B", *command, "--help"]
    return subprocess.run(  # noqa: S603 - our own
        call, capture_output=True, encoding="utf-8", check=True, cwd=ROOT
    ).stdout


@cache
def azd_variables() -> set[str]:
    """What azd gives to the Bicep as a parameter."""
    parameters = (ROOT / "infra" / "main.parameters.json").read_text(encoding="utf-8")
    return set(re.findall(r"\$\{(\w+)\}", parameters))


@cache
def azd_outputs() -> set[str]:
    """What the Bicep gives to azd."""
    bicep = (ROOT / "infra" / "main.bicep").read_text(encoding="utf-8")
    return set(re.findall(r"^output (\w+) ", bicep, re.MULTILINE))


def test_there_are_commands_of_every_kind() -> None:
    """Else nothing below would be looked at."""
    assert {"README.md", "CONTRIBUTING.md", "docs/operations.md"} <= {page for page, _ in DEV_CALLS}
    assert {"SECURITY.md", "docs/operations.md"} <= {page for page, _ in SCRIPT_CALLS}
    assert {"CONTRIBUTING.md", "docs/setup.md"} <= {page for page, _ in MODULE_CALLS}
    assert len(BASH) > 20


@pytest.mark.parametrize(("page", "command"), DEV_CALLS)
def test_dev_py_knows_the_command(page: str, command: str) -> None:
    """By its own parser, which knows the names of checks and measurements as well."""
    try:
        cli._parser().parse_args(shlex.split(command)[2:])
    except SystemExit as end:
        assert end.code == 0, page  # noqa: PT017 - --help ends as well


@pytest.mark.parametrize(("page", "command"), SCRIPT_CALLS)
def test_a_script_has_the_options_that_are_shown(page: str, command: str) -> None:
    """By its own --help, and that of its command where it has commands."""
    _, script, *arguments = shlex.split(command)
    if script.endswith("retry_deployment.py"):  # what follows is another program's
        arguments = []
    offered = help_of(script)
    if "COMMAND ..." in offered and (chosen := [one for one in arguments if one.isalpha()]):
        offered += help_of(script, next(one for one in chosen if f"\n    {one} " in offered))

    for option in {one for one in arguments if one.startswith("--")}:
        assert re.search(rf"^  {option}(?=\s)", offered, re.MULTILINE), (page, option)


@pytest.mark.parametrize("page", PAGES)
def test_an_option_that_is_named_alone_is_somebodys(page: str) -> None:
    """In a sentence or a table, of a script or of `python dev.py`."""
    offered = "".join(help_of(script) for script in (*HELPFUL, "scripts/dead_letters.py"))
    offered += "".join(help_of("scripts/dead_letters.py", name) for name in ("list", "replay"))
    offered += "".join(help_of("-m", "dev", name) for name in ("serve", "test", "bench"))
    alone = {word for span in spans(prose(page)) if span[:2] == "--" for word in span.split()}

    for option in {word for word in alone if word[:2] == "--"} - OPTIONS_OF_OTHERS:
        assert re.search(rf"^  {option}(?=\s)", offered, re.MULTILINE), option


@pytest.mark.parametrize(("page", "command"), MODULE_CALLS)
def test_a_module_that_is_run_is_there(page: str, command: str) -> None:
    """In the environment that `python dev.py` makes, or in the standard library."""
    module = shlex.split(command)[2]
    assert find_spec(module) is not None, page


@pytest.mark.parametrize("script", HELPFUL)
def test_a_scripts_help_begins_with_its_purpose_and_the_role(script: str) -> None:
    """Two paragraphs, before any option."""
    purpose, role, *_ = help_of(script).split("\n\n")

    assert purpose.endswith(".")
    assert "\n" not in purpose
    assert role.startswith("Needs ")


@pytest.mark.parametrize(("page", "command"), commands(r"(?:pwsh |\./)scripts/"))
def test_the_powershell_script_has_the_parameters_that_are_shown(page: str, command: str) -> None:
    """By its param block; -WhatIf comes with SupportsShouldProcess."""
    _, script, rest = re.split(r"(scripts/\S+)", command, maxsplit=1)
    block = (ROOT / script).read_text(encoding="utf-8").partition("\nparam(")[2]
    declared = set(re.findall(r"^    \[[\w\[\]]+\] \$(\w+)", block, re.MULTILINE))

    shown = set(re.findall(r" -(\w+)", rest))

    assert shown <= declared | {"WhatIf"}, page


def test_the_grants_flags_are_the_scripts() -> None:
    """Those of the table in docs/setup.md, with the app role that each asks for."""
    rows = table("docs/setup.md", "The permission on Microsoft Graph")
    told = {role: f" {spans(flag)[0]}" for flag, role, _ in rows if flag}

    assert told == _SCRIPT_FLAGS


@pytest.mark.parametrize(("page", "command"), commands(r"azd env set "))
def test_each_azd_variable_of_the_pages_is_used(page: str, command: str) -> None:
    """By a parameter of the Bicep, or by a hook."""
    variable = command.split()[3]

    assert variable in azd_variables() | HOOK_SETTINGS | {"NAME"}, page


@pytest.mark.parametrize(("page", "command"), commands(r"(?:azd env get-value|output) (?=[A-Z])"))
def test_each_azd_variable_that_the_pages_read_exists(page: str, command: str) -> None:
    """As an output of the Bicep, or as a variable that was set before."""
    known = azd_outputs() | azd_variables() | HOOK_SETTINGS
    assert command.rsplit(maxsplit=1)[-1] in known, page


@pytest.mark.parametrize(
    ("page", "command"), commands(r"azd env set (?:WEBHOOK_SOURCES|QUEUE_(?:SENDERS|READERS)) ")
)
def test_json_values_of_azd_variables_are_valid(page: str, command: str) -> None:
    """The app accepts the sources, and the Bicep the principals."""
    *_, variable, value = shlex.split(command)
    told = json.loads(value)

    if variable == "WEBHOOK_SOURCES":
        assert not read_sources(told).invalid, page
    else:
        assert all(principal.keys() == {"id", "type"} for principal in told), page
        assert {principal["type"] for principal in told} <= PRINCIPAL_TYPES, page


def test_the_table_of_settings_names_every_parameter() -> None:
    """In docs/deploy.md, with azd's own and those of the hooks."""
    told = {name for row in table("docs/deploy.md", "What you can set") for name in spans(row[0])}

    assert told == (azd_variables() - {"AZURE_ENV_NAME", "AZURE_LOCATION"}) | HOOK_SETTINGS


@pytest.mark.parametrize(("page", "command"), commands(r"az deployment \w+ create "))
def test_a_deployment_names_a_template_and_its_parameters(page: str, command: str) -> None:
    """The file is there and has them."""
    template = ROOT / re.findall(r"--template-file (\S+)", command)[0]
    given = re.findall(r"(\w+)=", command.partition("--parameters")[2])
    declared = re.findall(r"^param (\w+) ", template.read_text(encoding="utf-8"), re.MULTILINE)

    assert set(given) <= set(declared), page


def test_quoted_output_is_the_scripts_output() -> None:
    """In the last table of docs/setup.md."""
    said = " ".join(file.read_text(encoding="utf-8") for file in (ROOT / "scripts").glob("*.py"))
    said = re.sub(r'"\s+f?"', "", said)
    quoted = [spans(row[0])[0] for row in table("docs/setup.md", "When you are stuck")]
    sentences = [text for text in quoted if " " in text]

    assert len(sentences) >= 4
    assert [text for text in sentences if text not in said] == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="There is no bash here.")
@pytest.mark.parametrize(("page", "code"), BASH)
def test_commands_to_paste_are_valid_bash(page: str, code: str) -> None:
    """By bash's own check, without running them."""
    done = subprocess.run(["bash", "-n"], input=code, text=True, capture_output=True, check=False)  # noqa: S607 - wherever it is

    assert (done.returncode, done.stderr) == (0, ""), page


@pytest.mark.parametrize("page", PAGES)
def test_variables_have_a_value_before_they_are_used(page: str) -> None:
    """On the page itself, or in the block for new shells."""
    known = SETUP_VARIABLES | READERS_VARIABLES
    for line in lines(page):
        used = set(re.findall(r"\$\{?([A-Z]\w*)", line))
        known |= set(re.findall(r"(?:^|\s)([A-Z]\w*)=", line))
        assert used <= known, line


def test_no_command_hides_in_a_block_of_another_kind() -> None:
    """Marked as bash, it is looked at above."""
    hidden = [
        (page, line)
        for page in PAGES
        for block in blocks(page)
        if block.language != "bash"
        for line in block.text.splitlines()
        if re.match(r"(?:python\d?|azd?|curl|pwsh|git|pip) ", line)
    ]

    assert hidden == []


def test_the_azd_hooks_are_scripts_that_are_there() -> None:
    """azure.yaml names them by path."""
    text = (ROOT / "azure.yaml").read_text(encoding="utf-8")
    hooks = re.findall(r"^    run: (\S+)$", text, re.MULTILINE)

    assert len(hooks) == 5
    for hook in hooks:
        assert (ROOT / hook).is_file()


def test_azd_deploys_what_the_bicep_tags() -> None:
    """The service's name is the tag by which azd finds the app."""
    service = re.findall(
        r"^services:\n  (\w+):", (ROOT / "azure.yaml").read_text(encoding="utf-8"), re.MULTILINE
    )
    bicep = (ROOT / "infra" / "modules" / "function-app.bicep").read_text(encoding="utf-8")

    assert re.findall(r"'azd-service-name': '(\w+)'", bicep) == service
