"""dev.py finds a Python and makes its environment once."""

import ast
import os
import subprocess
import sys
import threading
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from dev import cli
from dev.environment import Environment, SetUpError, Stamp, _only_one

ROOT = Path(__file__).resolve().parents[2]
MANNERS = (
    "-qq",
    "--disable-pip-version-check",
    "--no-input",
    "--no-progress",
    "--loglevel=error",
    "--prefer-offline",
    "--default-pip",
)


def make_tool(folder: Path, name: str, answer: str) -> None:
    """Write a program that prints one line."""
    tool = folder / name
    tool.write_text(f"#!/bin/sh\necho {answer}\n", encoding="utf-8")
    tool.chmod(0o755)


def test_dev_py_is_readable_for_an_old_python() -> None:
    """An old Python must be able to run it up to the search for a newer one."""
    ast.parse((ROOT / "dev.py").read_text(encoding="utf-8"), feature_version=(3, 6))


@pytest.fixture
def dev_py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """dev.py of an empty checkout, run by a Python that cannot be used; no other is installed."""
    spec = spec_from_file_location("dev_py", ROOT / "dev.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "NEEDED", ("a_module_that_is_nowhere",))
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    return module


def test_the_error_for_a_missing_python_names_the_version_that_is_needed(
    dev_py: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also if only a newer version is installed."""
    code = dev_py.main()

    said = capsys.readouterr().err
    assert code == 1
    assert said.startswith("This project runs on exactly Python 3.13, not on an older or a newer")
    assert f"This is Python {sys.version_info[0]}.{sys.version_info[1]}, and" in said


def test_the_python_of_an_existing_venv_is_used(dev_py: ModuleType) -> None:
    """It may be the only Python 3.13 on the machine."""
    bin_folder = dev_py.ROOT / ".venv" / ("Scripts" if os.name == "nt" else "bin")
    bin_folder.mkdir(parents=True)
    python = bin_folder / ("python.exe" if os.name == "nt" else "python")
    python.symlink_to(sys.executable)

    assert dev_py.find_python() == str(python)


def test_a_folder_is_current_until_one_of_its_sources_changes(tmp_path: Path) -> None:
    """A folder that was not finished is not current."""
    source = tmp_path / "requirements.txt"
    source.write_text("one==1\n")
    stamp = Stamp(folder=tmp_path, sources=[source])

    before = (stamp.exists(), stamp.is_current(), stamp.is_unfinished())
    stamp.begin()
    unfinished = (stamp.exists(), stamp.is_current(), stamp.is_unfinished())
    stamp.write()
    finished = (stamp.exists(), stamp.is_current(), stamp.is_unfinished())
    source.write_text("one==2\n")

    assert before == (False, False, False)
    assert unfinished == (True, False, True)
    assert finished == (True, True, False)
    assert not stamp.is_current()


@pytest.mark.skipif(os.name == "nt", reason="writes shell scripts")
@pytest.mark.parametrize(
    ("version", "said"),
    [
        (None, "needs Node and npm"),
        ("v18.20.8", r"newer Node than the one here \(v18\.20\.8\)"),
        ("nonsense", r"\(nonsense\)"),
    ],
)
def test_a_missing_or_old_node_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None, said: str
) -> None:
    """It names the version that was found and the one that is needed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    if version:
        make_tool(tmp_path, "node", version)
        make_tool(tmp_path, "npm", "11.0.0")

    with pytest.raises(SetUpError, match=said) as caught:
        Environment(root=tmp_path).prepare()

    assert "Install Node 20 or newer" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose .venv holds a Python that only writes down how it is called."""
    if os.name == "nt":
        pytest.skip("writes shell scripts")
    (tmp_path / "tools").mkdir()
    make_tool(tmp_path / "tools", "node", "v20.1.0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}:{os.environ['PATH']}")
    dev = tmp_path / "dev"
    for folder in (dev / "node_modules", tmp_path / ".venv" / "bin"):
        folder.mkdir(parents=True)
    for name in ("requirements.txt", "dev/requirements-run.txt", "dev/requirements.txt"):
        (tmp_path / name).touch()
    for name in ("package.json", "package-lock.json"):
        (dev / name).write_text("{}")
    write_down(tmp_path / "tools" / "npm", tmp_path)
    write_down(tmp_path / ".venv" / "bin" / "python", tmp_path)
    return tmp_path


def write_down(program: Path, place: Path, *, version: str = "3.13", code: int = 0) -> None:
    """Make a program that says its version, and writes down what else it is asked to do."""
    program.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = -c ] && echo {version} && exit\n'
        f'echo "$(basename $0) $*" >> {place}/calls\n'
        'case "$*" in *install*) '
        f"echo there is no network >&2; exit {code};; esac\n",
        encoding="utf-8",
    )
    program.chmod(0o755)


def calls(place: Path) -> list[str]:
    """Give what was asked of pip and npm since the last time, without how quietly."""
    file = place / "calls"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return [" ".join(word for word in line.split() if word not in MANNERS) for line in lines]


def test_a_finished_environment_is_left_alone(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither pip nor npm runs, so a second run needs no network and prints nothing."""
    Environment(root=place).prepare()
    calls(place)
    capsys.readouterr()

    Environment(root=place).prepare()

    assert calls(place) == []
    assert capsys.readouterr().out == ""


def test_packages_of_the_checks_are_installed_at_their_first_run(place: Path) -> None:
    """After the packages of the local run. Then both are installed."""
    run = f"-r {place}/requirements.txt -r {place}/dev/requirements-run.txt"

    Environment(root=place).prepare()
    demo = calls(place)
    Environment(root=place, checks=True).prepare()
    checks = calls(place)
    Environment(root=place).prepare()
    Environment(root=place, checks=True).prepare()

    assert demo == ["python -m ensurepip", f"python -m pip install {run}", "npm ci --omit=dev"]
    assert checks == [
        "python -m ensurepip",
        f"python -m pip install {run} -r {place}/dev/requirements.txt",
        "npm install --no-save",
    ]
    assert calls(place) == []


@pytest.mark.parametrize(
    ("command", "expected"),
    [("demo", False), ("serve", False), ("test", True), ("prepare", True), ("lock", True)],
)
def test_a_command_gets_what_it_needs(command: str, *, expected: bool) -> None:
    """`prepare`, which editors run, installs the packages of the checks as well."""
    assert cli.needs_checks(cli.parse([command])) is expected


def test_a_venv_that_was_made_by_hand_is_added_to(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Packages that are in it already stay."""
    (place / ".venv" / "mine").touch()

    Environment(root=place).prepare()

    assert (place / ".venv" / "mine").exists()
    assert capsys.readouterr().out.startswith("Setting up .venv (")


def test_a_venv_of_another_python_made_by_hand_is_not_changed(place: Path) -> None:
    """The error names its version, the one that is needed, and the next step."""
    write_down(place / ".venv" / "bin" / "python", place, version="3.12")

    with pytest.raises(SetUpError) as caught:
        Environment(root=place).prepare()

    assert "for Python 3.12" in str(caught.value)
    assert "exactly 3.13. Remove .venv" in str(caught.value)
    assert calls(place) == []


def test_an_update_that_fails_says_why_and_is_made_anew(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Because a part of it may have been done."""
    environment = Environment(root=place)
    environment.prepare()
    (place / "requirements.txt").write_text("another==2")
    write_down(environment.python, place, code=1)
    capsys.readouterr()

    with pytest.raises(SetUpError) as caught:
        environment.prepare()

    first, command, *_, last = str(caught.value).splitlines()
    assert capsys.readouterr().out == "Bringing .venv up to date (at most a minute or two) ...\n"
    assert first == "This failed:"
    assert command.startswith(f"  {environment.python} -m pip install -qq ")
    assert last == "there is no network"
    assert not environment._is_usable()


def test_only_one_process_at_a_time_makes_the_environment(tmp_path: Path) -> None:
    """Another one waits until the first has ended."""
    lock = tmp_path / ".dev" / "environment.lock"
    code = (
        "import sys; from pathlib import Path; from dev.environment import _only_one\n"
        f"with _only_one(Path({str(lock)!r})): print('mine', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    got_it = threading.Event()

    def wait_for_it() -> None:
        with _only_one(lock):
            got_it.set()

    with other:
        assert other.stdout
        assert other.stdout.readline() == b"mine\n"
        waiting = threading.Thread(target=wait_for_it)
        waiting.start()
        too_early = got_it.wait(0.2)
        other.kill()
    waiting.join(10)

    assert not too_early
    assert got_it.is_set()
