"""`python -m tests.connector.schemathesis`: docs/openapi.yaml against the running app.

Schemathesis makes requests of what the document allows, and of what it forbids, and holds each
answer against it. About a minute, after it has been installed once.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from dev.local_run import LocalRun
from dev.tool_environment import ToolError, prepare

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent
SECONDS = 60
REQUESTS_EACH = 50

# What the document's examples name, so that they get as far as a link.
EXAMPLE_LINK = "https://teams.microsoft.com/meet/2345678901234?p=AbCdEf"


def main() -> int:
    """Run it, and return its exit code."""
    requirements = FOLDER / "requirements-schemathesis.txt"
    try:
        program = prepare("schemathesis", requirements=requirements) / "schemathesis"
    except ToolError as error:
        print(error)  # noqa: T201
        return 1
    with (
        LocalRun(settings={"GRAPH_TIMEOUT_SECONDS": "2"}) as run,
        # For whatever it writes beside what it is asked for.
        tempfile.TemporaryDirectory() as folder,
    ):
        run.graph.data.add_meeting(run.clinic.doctor, join_web_url=EXAMPLE_LINK)
        command = [
            *(str(program), "--config-file", str(FOLDER / "schemathesis.toml"), "run"),
            *(str(ROOT / "docs" / "openapi.yaml"), "--url", f"{run.url}/api"),
            *("--phases", "examples,coverage,fuzzing", "--continue-on-failure"),
            *("--max-examples", str(REQUESTS_EACH), "--max-time", str(SECONDS)),
            *("--generation-deterministic", "--request-timeout", "30", "--no-color"),
        ]
        done = subprocess.run(command, cwd=folder, check=False)  # noqa: S603 - as installed above
        return done.returncode


if __name__ == "__main__":
    sys.exit(main())
