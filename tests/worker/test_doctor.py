"""azure-functions-doctor, a public linter for Functions apps, on the files to deploy."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CHECKED = (
    "function_app.py",
    "host.json",
    "requirements.txt",
    "shared",
    ".python-version",
    ".funcignore",
)
REASONS = {
    "check_venv": "the deployed package has no virtual environment",
    "check_native_dependency_risk": "cryptography is built on Azure: azd builds remotely",
    "check_func_cli": "Core Tools are not on PyPI or npm; python dev.py runs without them",
    "check_func_core_tools_version": "as check_func_cli",
    "check_functions_extension_version": "Core Tools choose it; Flex Consumption forbids it",
    "check_app_insights": "the Bicep sets its connection string; there is none on this machine",
}
"""Its warnings here, each with the reason why it does not apply."""
LOOKED_AT = {
    "check_binding_connection_resolution",
    "check_extension_bundle_v4",
    "check_host_json_version",
    "check_local_settings",
    "check_programming_model_v2",
    "check_python_version",
    "check_unpinned_requirements",
}
"""The rules that must pass and not be skipped."""


def test_the_doctor_warns_of_nothing_without_a_reason(tmp_path: Path) -> None:
    """On a copy of the sample settings, host.json, the requirements and the code."""
    for name in CHECKED:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / name)
    shutil.copy(ROOT / "local.settings.sample.json", tmp_path / "local.settings.json")

    items = _diagnose(tmp_path)

    complaints = {
        item["rule_id"]: item["value"] for item in items if item["status"] not in ("pass", "skip")
    }
    assert {item["rule_id"] for item in items if item["status"] == "pass"} >= LOOKED_AT
    assert {rule: text for rule, text in complaints.items() if rule not in REASONS} == {}


def _diagnose(folder: Path) -> list[dict[str, Any]]:
    doctor = Path(sys.executable).with_name("azure-functions-doctor")
    command = [str(doctor), "doctor", "--format", "json"]
    done = subprocess.run(  # noqa: S603 - a tool of this environment
        [*command, "--path", str(folder), "--target-python", "3.13"],
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)
    return [item for section in report["results"] for item in section["items"]]
