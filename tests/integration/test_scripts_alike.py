"""What all scripts for administrators do if something is missing or an argument is wrong."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.script_runs import SCRIPTS, VERSIONS, Administrator

CLIENT = "20000000-0000-4000-8000-000000000002"
SIGNED_IN = ("diagnose.py", "grant_graph_permissions.py", "set_webhook_secret.py")
HOOKS = (
    *("azd_preprovision.py", "azd_postprovision.py"),
    *("azd_postup.py", "azd_postdeploy.py", "azd_predown.py"),
)


@pytest.mark.parametrize("script", [*SIGNED_IN, "dead_letters.py"])
def test_without_the_packages_it_says_how_to_install_them(script: str) -> None:
    """Even for --help, which people try first."""
    command = [sys.executable, "-S", "-B", str(SCRIPTS / script), "--help"]  # -S: no packages

    done = subprocess.run(  # noqa: S603 - our own
        command, capture_output=True, encoding="utf-8", check=False, timeout=60
    )

    assert done.returncode == 2
    assert "Run: python -m pip install -r scripts/requirements.txt" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_azure_cli_it_says_to_install_it(tmp_path: Path) -> None:
    """It does not name a command that does not exist."""
    administrator = Administrator(tmp_path, {})
    (tmp_path / "az").unlink()
    administrator.environment["PATH"] = str(tmp_path)

    done = administrator.run("grant_graph_permissions.py", CLIENT)

    assert done.code == 1
    assert done.complained == "Install the Azure CLI, then run `az login`.\n"


@pytest.mark.parametrize("script", [*SIGNED_IN, "dead_letters.py"])
def test_it_waits_a_minute_for_the_azure_cli(script: str) -> None:
    """Which may take longer than azure-identity's ten seconds to start, as in Cloud Shell."""
    source = (SCRIPTS / script).read_text(encoding="utf-8")

    assert re.findall(r"AzureCliCredential\((.*?)\)", source) == ["process_timeout=60"]


@pytest.mark.parametrize(
    "script", [*SIGNED_IN, "build_package.py", "make_connector.py", "retry_deployment.py"]
)
def test_wrong_arguments_are_answered_with_the_usage(script: str, tmp_path: Path) -> None:
    """Before the error."""
    done = Administrator(tmp_path, {}).run(script)

    assert done.code == 2
    assert done.complained.startswith(f"usage: {script} [-h]")
    assert f"{script}: error: " in done.complained


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("script", HOOKS)
def test_a_hook_explains_itself_without_azds_environment(
    script: str, version: str, tmp_path: Path
) -> None:
    """By --help, and by how to have azd run it."""
    administrator = Administrator(tmp_path, {})

    helped = administrator.run(script, "--help", version=version)
    bare = administrator.run(script, version=version)

    assert (helped.code, helped.complained) == (0, "")
    assert helped.said.split("\n\n")[1].startswith("Needs ")
    assert bare.code == 2
    hook = script.removeprefix("azd_").removesuffix(".py")
    assert f"run `azd hooks run {hook}`" in bare.complained
    assert "Traceback" not in bare.complained
