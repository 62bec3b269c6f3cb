"""`python dev.py`: its output, its width, and how it ends."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dev import checks
from dev.environment import Environment
from tests.integration.pressing import press
from tests.integration.serving import PROJECT, started, until
from tests.unit.terminals import COLOUR, show

COPYABLE = re.compile(r" {8}\S.*| {6}\S+")
"""Commands, and addresses: a line for each, to be copied."""

CHECKS = """
import sys
from dev import checks, processes
checks._CHECKS = (
    checks.Check("good", ("json.tool", "--help"), silent=True),
    checks.Check("bad", ("json.tool", "missing.json")),
    checks.Check("long", ("timeit", "-n1", "-r1", "import time; time.sleep(1)"), beside=True),
    checks.Check("later", ("json.tool", "--help")),
)
processes.run_main(lambda: checks.check(names=sys.argv[1:], everything=False))
"""


def dev(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run what dev.py starts, in a wide window, where there is neither Node nor a package."""
    return subprocess.run(  # noqa: S603 - this project's own command
        [sys.executable, "-S", "-m", "dev.environment", *arguments],
        cwd=PROJECT,
        env={"PATH": "", "COLUMNS": "200"},
        capture_output=True,
        check=False,
        text=True,
        timeout=30,
    )


@pytest.fixture(scope="module")
def names() -> list[str]:
    """Which commands there are."""
    return re.findall(r"^    (\w+)  ", dev().stdout, re.MULTILINE)


def too_wide(output: str) -> list[str]:
    """Give the lines that break on a terminal of 80 columns, and need not."""
    return [line for line in output.splitlines() if len(line) > 80 and not COPYABLE.fullmatch(line)]


def test_without_arguments_it_says_what_it_can_do(names: list[str]) -> None:
    """Each command with an example. Nothing is installed for that."""
    done = dev()

    assert done.returncode == 0
    assert {"demo", "serve", "test", "soak", "lock"} <= set(names)
    for name in names:
        assert f"\n  python dev.py {name}" in done.stdout
    assert too_wide(done.stdout) == []


def test_each_command_says_what_it_is_for_what_it_needs_and_how_long_it_takes(
    names: list[str],
) -> None:
    """Its help also has an example, and needs no installation."""
    for name in names:
        done = dev(name, "--help")
        _, purpose, conditions, *_ = done.stdout.split("\n\n")

        assert done.returncode == 0
        assert purpose.endswith(".")
        assert re.fullmatch(r"Needs: .*\.\nTakes: .*\.", conditions, re.DOTALL), name
        assert f"\nexamples:\n  python dev.py {name}" in done.stdout
        assert too_wide(done.stdout) == []


@pytest.mark.parametrize(
    ("arguments", "there_are"),
    [
        (["tset"], ["demo", "serve", "test", "soak", "lock"]),
        (["test", "unti"], checks.NAMES),
        (["soak", "--messages", "0"], ["from 1 on"]),
    ],
)
def test_a_wrong_argument_is_reported_with_the_valid_ones(
    arguments: list[str], there_are: list[str]
) -> None:
    """With exit code 2, and where to read more."""
    done = dev(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert arguments[-1] in done.stderr
    for name in there_are:
        assert name in done.stderr
    assert done.stderr.endswith(" --help\n")
    assert too_wide(done.stderr) == []


def test_the_demo_succeeds_in_80_columns() -> None:
    """On a terminal, correct results are green."""
    code, shown = show("-m", "dev", "demo")
    plain = re.sub(r"\033\[\d+m", "", shown)

    assert code == 0, shown
    assert "\033[32mas it should be\033[0m" in shown
    assert re.search(r"^All \d+ came out right\.", plain, re.MULTILINE)
    assert too_wide(plain.replace("\r", "\n")) == []


def run_checks(code: str, *names: str) -> subprocess.CompletedProcess[str]:
    """Run some of the made-up checks."""
    return subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code, *names],
        cwd=PROJECT,
        capture_output=True,
        check=False,
        text=True,
    )


def test_the_checks_end_with_their_number() -> None:
    """In a log it is alone on its line, so that a reader finds it."""
    done = run_checks(CHECKS, "good", "bad")

    assert done.returncode == 1
    assert done.stdout.endswith("\nchecks: 1 passed, 1 failed\n")
    assert "\nfailed: bad   (again: python dev.py test bad)\n" in done.stdout
    assert re.search(r"\n== good\n(.*\n)*   passed in \d+\.\d s\n", done.stdout)
    assert COLOUR not in done.stdout


def test_a_check_may_run_beside_the_next_ones() -> None:
    """It is shown after them, and as ever if it is the last."""
    both, alone = (run_checks(CHECKS, *names) for names in (["long", "later"], ["long"]))

    assert re.fullmatch(
        r"\n== long: runs beside the next ones\n\n== later\n(.*\n)+   passed in .*\n"
        r"\n== long\n1 loop, .*\n   passed beside the others\n\nchecks: 2 passed, 0 failed\n",
        both.stdout,
    )
    assert re.match(r"\n== long\n1 loop, .*\n   passed in [1-9]", alone.stdout)


def test_a_check_that_runs_beside_others_can_fail() -> None:
    """Like any other."""
    done = run_checks(CHECKS.replace("import time;", "import tim;"), "long", "later")

    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stdout
    assert done.stdout.endswith(
        "\nfailed: long   (again: python dev.py test long)\nchecks: 1 passed, 1 failed\n"
    )


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_the_checks_are_coloured_on_a_terminal(
    environment: dict[str, str], *, coloured: bool
) -> None:
    """Unless NO_COLOR is set. The tools that they run see the same terminal."""
    code, shown = show("-c", CHECKS, "good", **environment)

    assert code == 0
    assert ("\033[32mchecks: 1 passed, 0 failed\033[0m\n" in shown) is coloured
    assert (COLOUR in shown) is coloured


def test_the_last_of_pytests_closing_lines_is_of_tests_that_ran() -> None:
    """The browser's may all be skipped, and that looks like an empty run."""
    pytests = [check.name for check in checks._CHECKS if check.command[0] == "pytest"]

    assert "browser" in pytests
    assert pytests[-1] == "integration"


on_linux = pytest.mark.skipif(not Path("/proc/self").exists(), reason="asks /proc about processes")


@on_linux
def test_ctrl_c_ends_a_soak() -> None:
    """With its hosts, their workers and Azurite."""
    with started("-m", "dev", "soak", "--messages", "600") as process:
        until(process, "queued")

        assert "Traceback" not in press(process)


@on_linux
def test_ctrl_c_ends_the_checks() -> None:
    """The next check does not start."""
    with started("-m", "dev", "test", "unit", "integration") as process:
        until(process, "== unit")

        rest = press(process)

    assert set(rest.splitlines()) <= {"bringing up nodes..."}, "pytest may have begun"


@on_linux
def test_ctrl_c_ends_a_check_that_runs_beside_another() -> None:
    """And the other."""
    long = '("timeit", "-n1", "-r1", "import time; time.sleep(60)")'
    code = CHECKS.replace("sleep(1)", "sleep(60)").replace(
        '"later", ("json.tool", "--help")', f'"later", {long}'
    )

    with started("-c", code, "long", "later") as process:
        until(process, "== later")

        assert press(process) == ""


@on_linux
@pytest.mark.parametrize("part", ["Setting up .venv", "Setting up Azurite"])
def test_an_interrupted_installation_is_made_anew(tmp_path: Path, part: str) -> None:
    """The next run starts from the beginning."""
    environment = checkout(tmp_path, finished=part == "Setting up Azurite")

    for _ in range(2):
        with started("dev.py", "demo", folder=tmp_path, environment=environment) as process:
            assert until(process, " ...").startswith(part)
            assert press(process) == ""


def checkout(folder: Path, *, finished: bool) -> dict[str, str]:
    """Copy what sets things up, beside an npm that takes its time.

    Args:
        folder: Where to.
        finished: Whether .venv is there.

    Returns:
        The environment in which that npm is found.
    """
    tools = folder / "tools"
    for made in (folder / "dev", tools, folder / ".venv" / "bin"):
        made.mkdir(parents=True)
    for file in (PROJECT / "dev.py", *(PROJECT / "dev").glob("*.py")):
        shutil.copy(file, folder / file.relative_to(PROJECT))
    for name in ("requirements.txt", "dev/requirements-run.txt"):
        (folder / name).touch()
    for name, line in (("node", "echo v20.1.0"), ("npm", "sleep 60")):
        (tools / name).write_text(f"#!/bin/sh\n{line}\n", encoding="ascii")
        (tools / name).chmod(0o755)
    if finished:
        environment = Environment(root=folder)
        environment.python.symlink_to(sys.executable)
        for stamp in environment._venv_stamps:
            stamp.write()
    return {"PATH": f"{tools}:{os.environ['PATH']}"}
