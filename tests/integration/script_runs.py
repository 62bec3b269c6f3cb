"""Runs the administrators' scripts as an administrator does: as a process, and with `az`.

`az` is a stand-in that gives a token, so that the scripts' own code signs in.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dev.environment import Stamp, _only_one

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
VERSIONS = ("3.11", "3.13")
"""The oldest and the newest Python that the scripts support and most machines have."""

_NOT_SIGNED_IN = "#!/bin/sh\necho \"ERROR: Please run 'az login' to setup account.\" >&2\nexit 1\n"


@dataclass(frozen=True)
class Done:
    """A script that has ended."""

    code: int
    said: str
    complained: str


@cache
def python(version: str) -> Path:
    """Find a Python with the libraries that the scripts need, or skip the test."""
    if version == "3.13":
        return Path(sys.executable)
    folder = ROOT / ".dev" / f"scripts-{version}"
    interpreter = folder / "bin" / "python"
    stamp = Stamp(folder=folder, sources=[SCRIPTS / "requirements.txt"])
    with _only_one(ROOT / ".dev" / f"scripts-{version}.lock"):
        if stamp.is_current() and interpreter.exists():
            return interpreter
        found = _find(version)
        if found is None:
            pytest.skip(f"no Python {version} on this machine")
        shutil.rmtree(folder, ignore_errors=True)
        _run(found, "-m", "venv", folder).check_returncode()
        options = ["--quiet", "--disable-pip-version-check", "--no-input"]
        requirements = SCRIPTS / "requirements.txt"
        _run(interpreter, "-m", "pip", "install", *options, "-r", requirements).check_returncode()
        stamp.write()
    return interpreter


def bare_python(version: str) -> str:
    """Find a Python with pip and no other library, or skip the test."""
    found = _find(version)
    if found is None or _run(found, "-m", "pip", "--version").returncode:
        pytest.skip(f"no Python {version} with pip on this machine")
    return found


def _find(version: str) -> str | None:
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    places = [shutil.which(f"python{version}") or ""]
    places += [str(path) for path in pyenv.glob(f"{version}.*/bin/python{version}")]
    for place in filter(None, places):
        if _run(place, "-c", "import ensurepip, venv").returncode == 0:
            return place
    return None


def _run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401 - as run
    return subprocess.run(  # noqa: S603 - our own scripts, and the Python that runs them
        command, capture_output=True, encoding="utf-8", timeout=180, check=False, **options
    )


class Administrator:
    """An administrator at a terminal, with `az` and other commands of the test on the path.

    Args:
        folder: An empty folder for those commands.
        tokens: What `az` gives: resource → token. Empty if nobody is signed in.
    """

    def __init__(self, folder: Path, tokens: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment: dict[str, str] = {}
        if not tokens:
            self.command("az", _NOT_SIGNED_IN)
            return
        cases = []
        for number, (resource, token) in enumerate(tokens.items()):
            answer = folder / f"token-{number}.json"
            expires = int(time.time()) + 3600
            content = {"accessToken": token, "expires_on": expires, "tokenType": "Bearer"}
            answer.write_text(json.dumps(content), encoding="ascii")
            cases.append(f'  *"{resource}"*) cat "{answer}" ;;')
        body = "\n".join(cases)
        self.command("az", f'#!/bin/sh\ncase "$*" in\n{body}\n  *) exit 1 ;;\nesac\n')

    def command(self, name: str, content: str) -> None:
        """Put a command on the path."""
        path = self.folder / name
        path.write_text(content, encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(
        self,
        script: str,
        *arguments: str,
        version: str = "3.13",
        typed: str | None = None,
        scripts: Path = SCRIPTS,
    ) -> Done:
        """Run a script of scripts/ to its end. A warning of Python ends it.

        Args:
            script: Its file name.
            *arguments: Its arguments.
            version: Which Python runs it.
            typed: Its standard input.
            scripts: The script's folder.
        """
        environment = {
            "PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONWARNINGS": "error",
            **self.environment,
        }
        program = [python(version), scripts / script]
        done = _run(*program, *arguments, env=environment, input=typed or "")
        return Done(done.returncode, done.stdout, done.stderr)
