"""dev.py finds its Python and makes its environment once."""

import ast
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dev.environment import Environment, SetUpError, Stamp, _only_one

ROOT = Path(__file__).resolve().parents[2]


def make_tool(folder: Path, name: str, answer: str) -> None:
    """Write a program that prints one line."""
    tool = folder / name
    tool.write_text(f"#!/bin/sh\necho {answer}\n", encoding="utf-8")
    tool.chmod(0o755)


def test_dev_py_is_readable_for_an_old_python() -> None:
    """An old one has to get as far as looking for a newer one."""
    ast.parse((ROOT / "dev.py").read_text(encoding="utf-8"), feature_version=(3, 6))


def test_a_folder_is_current_until_one_of_its_sources_changes(tmp_path: Path) -> None:
    """And it is not current when it was never finished."""
    source = tmp_path / "requirements.txt"
    source.write_text("one==1\n")
    stamp = Stamp(folder=tmp_path, sources=[source])

    unfinished = stamp.is_current()
    stamp.write()
    finished = stamp.is_current()
    source.write_text("one==2\n")

    assert (unfinished, finished, stamp.is_current()) == (False, True, False)
    assert stamp.exists()


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
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """An environment of a checkout where neither pip nor npm can run."""
    if os.name == "nt":
        pytest.skip("writes shell scripts")
    (tmp_path / "tools").mkdir()
    make_tool(tmp_path / "tools", "node", "v20.1.0")
    make_tool(tmp_path / "tools", "npm", "must not run")
    monkeypatch.setenv("PATH", str(tmp_path / "tools"))
    dev = tmp_path / "dev"
    for folder in (dev / "node_modules", tmp_path / ".venv" / "bin"):
        folder.mkdir(parents=True)
    for source in ("requirements.txt", "dev/requirements.txt", "dev/package.json"):
        (tmp_path / source).write_text("{}")
    (dev / "package-lock.json").write_text("{}")
    environment = Environment(root=tmp_path)
    environment.python.write_text("#!/bin/sh\necho there is no network >&2\nexit 1\n")
    environment.python.chmod(0o755)
    environment._venv_stamp.write()
    environment._node_stamp.write()
    return environment


def test_a_finished_environment_is_left_alone(
    tmp_path: Path, finished: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither pip nor npm runs: the second time needs no network, and says nothing."""
    finished.prepare()

    assert not (tmp_path / ".dev").exists()
    assert capsys.readouterr().out == ""


def test_an_update_that_fails_says_why_and_is_made_anew(
    tmp_path: Path, finished: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who knows which half of it was done?"""
    (tmp_path / "requirements.txt").write_text("another==2")

    with pytest.raises(SetUpError) as caught:
        finished.prepare()

    first, command, *_, last = str(caught.value).splitlines()
    assert capsys.readouterr().out == "Bringing .venv up to date ...\n"
    assert first == "This failed:"
    assert command.startswith(f"  {finished.python} -m pip install -qq ")
    assert last == "there is no network"
    assert not finished._venv_stamp.exists()


def test_only_one_sets_up_at_a_time(tmp_path: Path) -> None:
    """Another process waits until the first is done, or gone."""
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
