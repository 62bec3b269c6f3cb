"""`python -m tests.infra.checkov`: checkov over infra/, in an environment of its own.

checkov brings a hundred packages that nothing else here needs. They are installed once, into
.dev/checkov, at the versions of requirements-checkov.txt; from then on no network is needed.
"""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dev.environment import Stamp

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
FOLDER = ROOT / ".dev" / "checkov"
REQUIREMENTS = Path(__file__).with_name("requirements-checkov.txt")

# Resources that checkov has checks for. It reports a file that it cannot parse as nothing at
# all, so that these have to turn up.
LOOKED_AT = {"function-app.bicep", "key-vault.bicep", "network.bicep", "storage.bicep"}


def findings(report: Mapping[str, Any]) -> list[str]:
    """Read checkov's report: failed checks, files it could not parse, files it never saw."""
    results = report.get("results", {})  # a report of nothing has none
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


def _prepare() -> Path:
    """Make the environment, unless it is there, and return its folder of programs."""
    programs = FOLDER / ("Scripts" if os.name == "nt" else "bin")
    stamp = Stamp(folder=FOLDER, sources=[REQUIREMENTS])
    if not stamp.is_current():
        print("Setting up checkov in .dev/checkov (once: a minute or two) ...", flush=True)  # noqa: T201
        venv.create(FOLDER, clear=True, with_pip=True, symlinks=os.name != "nt")
        options = ["--quiet", "--disable-pip-version-check", "--no-input"]
        subprocess.run(  # noqa: S603 -- the Python that was just put there
            [programs / "python", "-m", "pip", "install", *options, "-r", REQUIREMENTS], check=True
        )
        stamp.write()
    return programs


def main() -> int:
    """Scan infra/ and say what was found; 0 when that is nothing."""
    try:
        program = _prepare() / "checkov"
    except subprocess.CalledProcessError:
        print("checkov could not be installed: pip says why above.")  # noqa: T201
        return 1
    command = [str(program), "--config-file", str(INFRA / ".checkov.yaml"), "--skip-download"]
    command += ["--directory", str(INFRA), "--output", "json"]
    done = subprocess.run(  # noqa: S603 -- the program that was just put there
        command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
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
    sys.exit(main())
