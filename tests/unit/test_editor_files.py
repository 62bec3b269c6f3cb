"""The files for VS Code and dev containers name things that exist."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from dev import cli
from dev.environment import OLDEST_NODE, ROOT, Environment

FOLDER = "${workspaceFolder}"
FILES = [
    *sorted((ROOT / ".vscode").iterdir()),
    ROOT / ".devcontainer" / "devcontainer.json",
]


def load(name: str) -> Any:  # noqa: ANN401 - JSON is anything
    """Read a file as strict JSON: no comments, no trailing commas, no member twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    return json.loads((ROOT / name).read_text(encoding="utf-8"), object_pairs_hook=once)


def tasks() -> dict[str, dict[str, Any]]:
    """The tasks by their names."""
    return {task["label"]: task for task in load(".vscode/tasks.json")["tasks"]}


def extensions() -> list[str]:
    """The recommended extensions."""
    recommended: list[str] = load(".vscode/extensions.json")["recommendations"]
    return recommended


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_is_strict_json(file: Path) -> None:
    """So that other tools than VS Code can read it too."""
    assert load(str(file.relative_to(ROOT)))


def test_there_are_no_other_files() -> None:
    """A file of one person's taste would apply to everybody."""
    names = {str(file.relative_to(ROOT)) for file in FILES}

    assert names == {
        ".devcontainer/devcontainer.json",
        ".vscode/extensions.json",
        ".vscode/launch.json",
        ".vscode/settings.json",
        ".vscode/tasks.json",
    }


@pytest.mark.parametrize("label", tasks())
def test_a_task_runs_a_command_of_dev_py(label: str) -> None:
    """With arguments that it takes; the names that people look for are there."""
    task = tasks()[label]
    script, *arguments = task["args"]

    assert (ROOT / script).is_file()
    assert cli.parse(arguments).command
    assert {"demo", "serve", "test", "test --all"} <= tasks().keys()


def test_f5_runs_the_local_run_and_debugs_the_worker() -> None:
    """F5 uses the first configuration. The app is in a separate process."""
    first = load(".vscode/launch.json")["configurations"][0]

    options = cli.parse(first["args"])

    assert (first["type"], first["request"]) == ("debugpy", "launch")
    assert (ROOT / first["module"] / "__main__.py").is_file()
    assert options.command == "serve"
    assert first["subProcess"] is True


def test_f5_listens_where_test_http_sends_its_requests() -> None:
    """F5, then a click in test.http."""
    first = load(".vscode/launch.json")["configurations"][0]
    text = (ROOT / "test.http").read_text(encoding="utf-8")

    assert re.findall(r"^@url = (\S+)$", text, re.MULTILINE) == [
        f"http://127.0.0.1:{cli.parse(first['args']).port}"
    ]


def test_f5_works_from_a_fresh_clone() -> None:
    """The environment whose Python it uses is made first."""
    first = load(".vscode/launch.json")["configurations"][0]
    before = tasks()[first["preLaunchTask"]]
    python = str(Environment(root=Path(FOLDER)).python)

    assert before["args"] == ["dev.py", "prepare"]
    assert cli.main(before["args"][1:]) == 0
    assert first["windows"]["python"] == f"{FOLDER}/.venv/Scripts/python.exe"
    if os.name != "nt":
        assert first["python"] == python


def test_the_test_explorer_finds_the_tests() -> None:
    """With pytest alone, from the root, in the project's environment."""
    settings = load(".vscode/settings.json")

    assert settings["python.testing.pytestEnabled"] is True
    assert settings["python.testing.unittestEnabled"] is False
    assert settings["python.testing.cwd"] == FOLDER
    assert settings["python.defaultInterpreterPath"] == f"{FOLDER}/.venv"
    for name in settings["python.testing.pytestArgs"]:
        assert (ROOT / name).is_dir()


def test_the_extensions_that_the_settings_need_are_recommended() -> None:
    """The debugger, the formatter, and the client for test.http."""
    settings = load(".vscode/settings.json")

    assert settings["[python]"]["editor.defaultFormatter"] in extensions()
    assert {"ms-python.python", "ms-python.debugpy", "humao.rest-client"} <= set(extensions())


def test_the_container_has_what_the_commands_and_the_set_up_need() -> None:
    """Python and Node, az, azd, pwsh with Teams' module, func; the environment ready; no port."""
    container = load(".devcontainer/devcontainer.json")
    python = (ROOT / ".python-version").read_text(encoding="utf-8").strip()
    features = {
        name.rpartition("/")[2].partition(":")[0]: options
        for name, options in container["features"].items()
    }
    core_tools, prepare = container["postCreateCommand"].split(" && ")
    interpreter, script, *arguments = prepare.split()

    assert container["image"] == f"mcr.microsoft.com/devcontainers/python:{python}"
    assert features.keys() == {"node", "azure-cli", "azd", "powershell"}
    assert int(features["node"]["version"]) >= OLDEST_NODE
    assert features["powershell"]["modules"] == "MicrosoftTeams"
    assert core_tools == "npm install --global azure-functions-core-tools@4"
    assert (interpreter, (ROOT / script).is_file()) == ("python3", True)
    assert cli.parse(arguments).command == "prepare"
    assert container["customizations"]["vscode"]["extensions"] == extensions()
    assert not {"forwardPorts", "appPort"} & container.keys()


def test_the_container_has_every_program_that_the_scripts_start() -> None:
    """By the feature that installs it, or the image."""
    installed = {"az": "azure-cli", "azd": "azd", "pwsh": "powershell"}
    scripts = [file.read_text(encoding="utf-8") for file in (ROOT / "scripts").glob("*.py")]
    named = r'(?:which\(|(?<!")\[)"([a-z]+)"[,)]'

    started = {program for script in scripts for program in re.findall(named, script)}

    features = {
        name.rpartition("/")[2].partition(":")[0]
        for name in load(".devcontainer/devcontainer.json")["features"]
    }
    assert {"az", "azd", "pwsh"} <= started
    assert {installed.get(program) for program in started} <= features
