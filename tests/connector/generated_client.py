"""`python -m tests.connector.generated_client`: makes a client of docs/openapi.yaml, and runs it.

openapi-python-client makes it. generated_client_calls.py calls the running app with it, as a
program of a developer who only has the document.
"""

import tempfile
from pathlib import Path

from dev import processes
from dev.environment import SetUpError
from dev.local_run import DIAGNOSTICS_KEY, FUNCTION_KEY, LocalRun
from dev.terminal import complain, working
from dev.tool_environment import prepare

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent
PACKAGE = "join_link_client"


def main() -> int:
    """Make the client and run it, and return 0 if both succeed."""
    try:
        programs = prepare(
            "generated-client", requirements=FOLDER / "requirements-generated-client.txt"
        )
    except SetUpError as error:
        complain(error)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        # A warning means that the client lacks a part of the document.
        command = [
            *(str(programs / "openapi-python-client"), "generate", "--fail-on-warning"),
            *("--path", str(ROOT / "docs" / "openapi.yaml"), "--meta", "none"),
            *("--config", str(FOLDER / "generated_client.yaml")),
            *("--output-path", str(Path(folder, PACKAGE))),
        ]
        if not _run("Making a client", command, folder):
            return 1
        with LocalRun(settings={"GRAPH_TIMEOUT_SECONDS": "5"}) as run:
            meeting = run.graph.data.add_meeting(run.clinic.doctor)
            link = run.graph.join_link(meeting)
            command = [
                *(str(programs / "python"), str(FOLDER / "generated_client_calls.py"), folder),
                *(f"{run.url}/api", FUNCTION_KEY, DIAGNOSTICS_KEY),
                *(meeting.organizer, meeting.join_web_url, link),
            ]
            if not _run("Calling the app with it", command, folder):
                return 1
    print("generated client: made, and all calls succeeded")  # noqa: T201
    return 0


def _run(told: str, command: list[str], folder: str) -> bool:
    with working(told):
        done = processes.run_quietly(command, folder=Path(folder))
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n")  # noqa: T201
    return not done.returncode


if __name__ == "__main__":
    processes.run_main(main)
