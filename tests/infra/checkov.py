"""`python -m tests.infra.checkov`: checkov over infra/, in a separate environment.

checkov has a hundred dependencies, with the versions in requirements-checkov.txt.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dev import processes
from dev.environment import SetUpError
from dev.terminal import complain, working
from dev.tool_environment import prepare

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
REQUIREMENTS = Path(__file__).with_name("requirements-checkov.txt")

# Resources that checkov has checks for. Its report has nothing about a file that it cannot
# parse, so these must be in the report.
LOOKED_AT = {"function-app.bicep", "key-vault.bicep", "network.bicep", "storage.bicep"}


def findings(report: Mapping[str, Any]) -> list[str]:
    """Read checkov's report: failed checks, files that it could not parse or did not check."""
    results = report.get("results", {})  # an empty report has none
    failed, passed = results.get("failed_checks", []), results.get("passed_checks", [])
    looked_at = {Path(check["file_path"]).name for check in (*failed, *passed)}
    return [
        *(
            f"{check['file_path']}:{check['file_line_range'][0]}: {check['check_id']}"
            f" {check['check_name']} ({check['resource']})"
            for check in failed
        ),
        *(f"{file}: checkov cannot parse it" for file in results.get("parsing_errors", ())),
        *(f"{name}: checkov did not look at it" for name in sorted(LOOKED_AT - looked_at)),
    ]


def main() -> int:
    """Scan infra/ and print the findings. Return 0 if there are none."""
    try:
        program = prepare("checkov", requirements=REQUIREMENTS) / "checkov"
    except SetUpError as error:
        complain(error)
        return 1
    command = [str(program), "--config-file", str(INFRA / ".checkov.yaml"), "--skip-download"]
    command += ["--directory", str(INFRA), "--output", "json"]
    with working("Scanning infra/"):
        done = processes.run_quietly(command, folder=ROOT)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        print(done.stdout + done.stderr)  # noqa: T201
        return 1
    found = findings(report)
    for line in found:
        print(line)  # noqa: T201
    passed = len(report.get("results", {}).get("passed_checks", ()))
    print(f"checkov: {passed} passed, {len(found)} findings")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    processes.run_main(main)
