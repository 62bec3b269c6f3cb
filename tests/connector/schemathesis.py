"""`python -m tests.connector.schemathesis`: docs/openapi.yaml against the running app.

Schemathesis makes requests of what the document allows, and of what it forbids, and holds each
answer against it. About a minute, after it has been installed once.
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

# What the document's examples name, so that they get as far as a link.
EXAMPLE_LINK = "https://teams.microsoft.com/meet/2345678901234?p=AbCdEf"


def main() -> int:
    """Run it, and return 0 if every answer was as the document says."""
    requirements = FOLDER / "requirements-schemathesis.txt"
    try:
        program = prepare("schemathesis", requirements=requirements) / "schemathesis"
    except SetUpError as error:
        complain(error)
        return 1
    with (
        LocalRun(settings={"GRAPH_TIMEOUT_SECONDS": "2"}) as run,
        # For its report, and whatever it writes beside what it is asked for.
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
    """Say in one line what came of it, after all that schemathesis said where it is not well.

    Its own closing line looks like one of pytest's, and reads as if no test had run.

    Returns:
        0 if requests were made, all of them were answered as they should be, and the report of it
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
    """Read from a report how many requests were answered as they should be, and how many not."""
    cases = json.loads(report.read_text(encoding="utf-8"))["test_cases"]
    failed = cases["with_failures"] + cases["errored"]
    return cases["generated"] - failed - cases["without_checks"], failed


if __name__ == "__main__":
    processes.run_main(main)
