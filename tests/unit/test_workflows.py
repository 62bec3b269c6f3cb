"""GitHub's workflows, as far as reading them can test them."""

import re
import shlex
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev import cli

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github" / "workflows"
DIGEST = re.compile(r"uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)")


def load(name: str) -> dict[Any, Any]:
    """Read a workflow. YAML 1.1 takes `on` for a truth value."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    workflow: dict[Any, Any] = yaml.safe_load(text)
    return workflow


FILES = [path.name for path in sorted(FOLDER.glob("*.yml"))]
JOBS = [(name, job, load(name)["jobs"][job]) for name in FILES for job in load(name)["jobs"]]
STEPS = [
    (f"{name}: {job}: {step.get('name') or step.get('uses')}", step)
    for name, job, content in JOBS
    for step in content.get("steps", ())
]
RUNS = [(place, step) for place, step in STEPS if "run" in step]
BASH = [(place, step["run"]) for place, step in RUNS if step.get("shell", "bash") == "bash"]
COMMANDS = [
    (place, command)
    for place, code in BASH
    for command in code.replace("\\\n", " ").splitlines()
    if command.strip()
]


def job(name: str, workflow: str = "ci.yml") -> dict[str, Any]:
    """Give one job."""
    found: dict[str, Any] = load(workflow)["jobs"][name]
    return found


def runs(name: str, workflow: str = "ci.yml") -> list[str]:
    """What the steps of a job run, in order."""
    return [step["run"] for step in job(name, workflow)["steps"] if "run" in step]


def test_there_are_workflows_to_read() -> None:
    """Otherwise the tests below would check nothing."""
    assert FILES == ["ci.yml", "infra.yml"]
    assert len(STEPS) > 20


@pytest.mark.parametrize("name", FILES)
def test_every_action_is_pinned_by_its_digest(name: str) -> None:
    """A tag can be moved to other code. The version in the comment is for people and Dependabot."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    used = [line for line in text.splitlines() if re.match(r"\s*(?:- )?uses: (?!\./)", line)]

    assert used
    assert [line for line in used if not DIGEST.search(line)] == []


def test_an_action_has_one_digest() -> None:
    """The same version everywhere."""
    text = "".join((FOLDER / name).read_text(encoding="utf-8") for name in FILES)
    pins: dict[str, set[str]] = {}
    for action, digest, version in DIGEST.findall(text):
        pins.setdefault(action, set()).add(f"{digest} {version}")

    assert {action: len(found) for action, found in pins.items()} == dict.fromkeys(pins, 1)


def test_dependabot_keeps_every_list_current() -> None:
    """The digests, and each folder with a list of Python packages."""
    text = (ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8")
    updates = {update["package-ecosystem"]: update for update in yaml.safe_load(text)["updates"]}
    listed = subprocess.run(
        ["git", "ls-files", "*requirements*.txt"],  # noqa: S607 - wherever it is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()

    assert updates["github-actions"]["directory"] == "/"
    folders = {f"/{Path(path).parent.as_posix()}".replace("/.", "/") for path in listed}
    assert folders <= set(updates["pip"]["directories"])
    for folder in updates["pip"]["directories"]:
        assert list((ROOT / folder.strip("/")).glob("*requirements*.txt")), folder


@pytest.mark.parametrize("name", FILES)
def test_a_workflow_may_only_read(name: str) -> None:
    """Two jobs sign in to Azure, each in its environment. One reads the environment's reviewers."""
    assert load(name)["permissions"] == {"contents": "read"}
    allowed = {"id-token": "write", "contents": "read", "actions": "read"}
    for content in load(name)["jobs"].values():
        given = content.get("permissions", {})
        assert given.items() <= allowed.items()
        assert ("id-token" in given) == ("environment" in content)


@pytest.mark.parametrize(("place", "step"), STEPS)
def test_no_checkout_leaves_a_token_behind(place: str, step: dict[str, Any]) -> None:
    """No step pushes, so none needs a token."""
    if step.get("uses", "").startswith("actions/checkout@"):
        assert step["with"]["persist-credentials"] is False, place


@pytest.mark.parametrize(("place", "step"), RUNS)
def test_no_outside_value_is_inserted_into_a_command(place: str, step: dict[str, Any]) -> None:
    """It is passed as a variable, which a shell does not run as code."""
    assert "${{" not in step["run"], place


@pytest.mark.skipif(shutil.which("bash") is None, reason="There is no bash here.")
@pytest.mark.parametrize(("place", "code"), BASH)
def test_a_step_is_bash(place: str, code: str) -> None:
    """As far as bash can tell without running it."""
    done = subprocess.run(["bash", "-n"], input=code, text=True, capture_output=True, check=False)  # noqa: S607 - wherever it is

    assert (done.returncode, done.stderr) == (0, ""), place


@pytest.mark.parametrize(("place", "command"), COMMANDS)
def test_each_file_that_a_step_runs_exists(place: str, command: str) -> None:
    """Scripts and files by path, modules by name, commands of dev.py by its own parser."""
    words = shlex.split(command)
    for word in words:
        if re.fullmatch(r"(?:scripts|infra)/[\w./-]+|dev\.py", word):
            assert (ROOT / word).is_file(), place
    if words[:2] == ["python", "dev.py"]:
        assert cli.parse(words[2:]).command, place
    if "-m" in words:
        assert find_spec(words[words.index("-m") + 1]) is not None, place


def test_the_demo_runs_in_microsofts_host_too() -> None:
    """To prove what the project's own host cannot."""
    assert runs("func") == [
        "npm install --global azure-functions-core-tools@4",
        "python dev.py demo --host func",
    ]


def test_the_powershell_script_is_tested_by_pester() -> None:
    """Pester finds the tests by their names."""
    (step,) = [step for step in job("pester")["steps"] if "run" in step]

    assert step["shell"] == "pwsh"
    assert step["run"].startswith("Invoke-Pester -Path scripts -CI")
    scripts = {path.name for path in (ROOT / "scripts").glob("*.ps1")}
    tests = {name for name in scripts if name.endswith(".Tests.ps1")}
    assert {name.replace(".Tests.ps1", ".ps1") for name in tests} == scripts - tests


def test_every_pull_request_runs_the_demo_and_all_checks() -> None:
    """And so does the deployment, before it."""
    assert {"push", "pull_request", "workflow_call"} == set(load("ci.yml")[True])
    assert runs("test")[-2:] == ["python dev.py demo", "python dev.py test --all"]


def test_production_waits_for_ci_a_preview_and_a_reviewer() -> None:
    """GitHub creates a missing environment without reviewers, so the workflow checks for them."""
    deploy = job("deploy", "infra.yml")

    assert set(deploy["needs"]) == {"check", "ci", "what-if"}
    assert deploy["environment"] == "production"
    assert job("ci", "infra.yml")["uses"] == "./.github/workflows/ci.yml"
    asked = runs("what-if", "infra.yml")[0]
    assert "environments/production" in asked
    assert "required_reviewers" in asked


@pytest.mark.parametrize("name", ["ci", "what-if", "deploy"])
def test_nothing_of_a_pull_request_reaches_azure(name: str) -> None:
    """Only main is deployed, and no other code gets an identity."""
    assert job(name, "infra.yml")["if"] == (
        "github.event_name != 'pull_request' && github.ref == 'refs/heads/main'"
    )


def test_the_preview_needs_no_right_to_change_anything() -> None:
    """By default Azure's preview asks for the right to write each resource."""
    what_if = " ".join(runs("what-if", "infra.yml"))

    assert job("what-if", "infra.yml")["environment"] == "what-if"
    assert "az deployment sub what-if" in what_if
    assert "--validation-level ProviderNoRbac" in what_if
    assert "azd " not in what_if


@pytest.mark.parametrize("name", ["what-if", "deploy"])
def test_variables_are_taken_by_the_script_that_knows_their_names(name: str) -> None:
    """Nothing else writes to GITHUB_ENV."""
    (step,) = [
        step
        for step in job(name, "infra.yml")["steps"]
        if step.get("run") == "python scripts/github_variables.py"
    ]

    assert step["env"] == {"VARIABLES": "${{ toJSON(vars) }}"}
    assert not [code for _, code in BASH if "GITHUB_ENV" in code]
