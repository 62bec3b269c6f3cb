"""The Bicep compiler of this machine, and the calls to it.

`python -m tests.infra.compiler` writes the snapshots. Review their diff.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.infra.snapshots import FOLDER, VARIANTS

# Made up, but always the same, because names are derived from them.
_DEPLOYMENT = (
    "--subscription-id=00000000-0000-4000-8000-000000000001",
    "--tenant-id=00000000-0000-4000-8000-000000000002",
    "--location=westeurope",
)


@dataclass(frozen=True)
class Response:
    """The result of one run of the compiler."""

    code: int
    output: str
    complaints: str
    """Errors and warnings. With only warnings the exit code is 0."""


@dataclass(frozen=True)
class Compiler:
    """A Bicep compiler of this machine."""

    program: Path

    def run(self, *arguments: str | Path) -> Response:
        """Run one command of the compiler."""
        done = subprocess.run(  # noqa: S603 -- the compiler that was looked for
            [self.program, *arguments],
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=300,
        )
        return Response(done.returncode, done.stdout, done.stderr.strip())

    def snapshot(
        self, variant: str, *, mode: str, folder: Path = FOLDER, group: str | None = None
    ) -> Response:
        """Compare (mode validate) a variant's snapshot with its template, or write it.

        `group` names the resource group of a template that is deployed into one.
        """
        file = folder / f"{variant}.bicepparam"
        scope = [] if group is None else [f"--resource-group={group}"]
        return self.run("snapshot", file, f"--mode={mode}", *_DEPLOYMENT, *scope)


def find() -> Compiler | None:
    """Find `bicep` on PATH, else the one that `az bicep install` put into Azure CLI's folder."""
    if program := shutil.which("bicep"):
        return Compiler(Path(program))
    folder = Path(os.environ.get("AZURE_CONFIG_DIR", Path.home() / ".azure"))
    if shutil.which("az") and (program := shutil.which("bicep", path=folder / "bin")):
        return Compiler(Path(program))
    return None


def main() -> int:
    """Write all snapshots."""
    compiler = find()
    if compiler is None:
        print("No Bicep compiler: put `bicep` on PATH, or run `az bicep install`.")  # noqa: T201
        return 1
    answers = [compiler.snapshot(variant, mode="overwrite") for variant in VARIANTS]
    for answer in answers:
        print(answer.complaints, end="")  # noqa: T201
    for variant in VARIANTS:
        _sort_outputs(FOLDER / f"{variant}.snapshot.json")
    return max(answer.code for answer in answers)


def _sort_outputs(file: Path) -> None:
    """Sort the outputs, because the compiler's order changes."""
    snapshot = json.loads(file.read_text("utf-8"))
    snapshot["outputs"] = dict(sorted(snapshot["outputs"].items()))
    file.write_text(json.dumps(snapshot, indent=2, ensure_ascii=False), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
