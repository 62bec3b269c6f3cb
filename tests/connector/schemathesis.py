"""`python -m tests.connector.schemathesis`: docs/openapi.yaml against the running app.

Schemathesis makes requests that the document allows and others that it forbids, and checks each
answer against it. It takes about a minute, after one installation.
"""

import json
import subprocess
import tempfile
from pathlib import Path

from dev import processes
from dev.environment import SetUpError
from dev.local_run import LocalRun
from dev.terminal import complain, working
from dev.tool_environment import prepare

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent
SECONDS = 60
REQUESTS_EACH = 50

# Ids of the document's examples, so that some requests give a link.
EXAMPLE_LINK = "https://teams.microsoft.com/meet/2345678901234?p=AbCdEf"


def main() -> int:
    """Run it, and return 0 if each answer agrees with the document."""
    requirements = FOLDER / "requirements-schemathesis.txt"
    try:
        program = prepare("schemathesis", requirements=requirements) / "schemathesis"
    except SetUpError as error:
        complain(error)
        return 1
    with (
        LocalRun(settings={"GRAPH_TIMEOUT_SECONDS": "2"}) as run,
        # For its report and its other files.
        tempfile.TemporaryDirectory() as folder,
    ):
        run.graph.data.add_meeting(run.clinic.doctor, join_web_url=EXAMPLE_LINK)
        report = Path(folder, "report.json")
        command = [
            *(str(program), "--config-file", str(FOLDER / "schemathesis.toml"), "run"),
            *(str(ROOT / "docs" / "openapi.yaml"), "--url", f"{run.url}/api"),
            *("--phases", "examples,coverage,fuzzing", "--continue-on-failure"),
            *("--max-examples", str(REQUESTS_EACH), "--max-time", str(SECONDS)),
            *("--generation-deterministic", "--request-timeout", "30", "--no-color"),
            *("--report-json-path", str(report)),
        ]
        with working(f"Making requests for {SECONDS} seconds"):
            done = processes.run_quietly(command, folder=Path(folder))
        return verdict(done, report)


def verdict(done: subprocess.CompletedProcess[str], report: Path) -> int:
    """Print the result in one line, after the whole output of schemathesis if something failed.

    Its own last line looks like pytest's, and as if no test had run.

    Returns:
        0 if requests were made, each answer was right, and the report
        can be read.
    """
    try:
        passed, failed = counted(report)
        told = f"schemathesis: {passed} passed, {failed} failed"
        well = passed > 0 and not failed and not done.returncode
    except (OSError, ValueError, LookupError, TypeError) as error:
        told, well = f"schemathesis: its report cannot be read: {error!r}", False
    if not well:
        print(done.stdout, done.stderr, sep="\n")  # noqa: T201
    print(told)  # noqa: T201
    return 0 if well else 1


def counted(report: Path) -> tuple[int, int]:
    """Read from a report how many requests passed, and how many failed."""
    cases = json.loads(report.read_text(encoding="utf-8"))["test_cases"]
    failed = cases["with_failures"] + cases["errored"]
    return cases["generated"] - failed - cases["without_checks"], failed


if __name__ == "__main__":
    processes.run_main(main)
