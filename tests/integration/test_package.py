"""The deployed package: by .funcignore, as azd reads it, and as docs/deploy.md zips it."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import requests
from pathspec import GitIgnoreSpec

from tests.integration.sample_host import make_host
from tests.integration.script_runs import ROOT

APP_FILES = {"function_app.py", "host.json", "requirements.txt"}
# No user's configuration, and only the folder's repository (git sets GIT_DIR in a hook).
GIT = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
GIT |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that would be uploaded."""
    folder = tmp_path_factory.mktemp("package")
    rules = (ROOT / ".funcignore").read_text(encoding="utf-8").splitlines()
    ignored = GitIgnoreSpec.from_lines(rules).match_file
    for path, folders, files in ROOT.walk():
        place = path.relative_to(ROOT)
        # Not into node_modules and the like: they hold a hundred thousand files.
        folders[:] = [name for name in folders if not ignored(f"{place / name}/")]
        for name in files:
            if not ignored(place / name):
                (folder / place).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path / name, folder / place / name)
    return folder


def names(package: Path) -> set[str]:
    """The names of those files."""
    return {
        str(path.relative_to(package))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts  # left by a test that runs it
    }


def test_holds_the_app_and_nothing_else(package: Path) -> None:
    """No tests, tools, infrastructure or local settings."""
    beside = {name for name in names(package) if not name.startswith("shared/")}

    assert beside == APP_FILES


def test_holds_every_module_and_page_of_the_app(package: Path) -> None:
    """No pattern excludes one of them."""
    expected = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "shared").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert {name for name in names(package) if name.startswith("shared/")} == expected


def test_is_small(package: Path) -> None:
    """Only source is uploaded. The remote build installs the libraries."""
    assert sum((package / name).stat().st_size for name in names(package)) < 1_000_000


def test_compiles(package: Path) -> None:
    """With the Python version of Azure."""
    compiling = [sys.executable, "-m", "compileall", "-q", str(package)]
    done = subprocess.run(compiling, capture_output=True, text=True, check=False)  # noqa: S603 - ours

    assert (done.returncode, done.stdout) == (0, "")


def test_loads_in_the_worker(package: Path) -> None:
    """Away from the checkout, so all that it needs is in the package."""
    source = (ROOT / "function_app.py").read_text(encoding="utf-8")
    every = set(re.findall(r'@app\.function_name\("(\w+)"\)', source))
    queues = {
        name for name in every if name.startswith(("join_link_requests", "join_link_deliveries"))
    }

    # Without a connection the settings are invalid, so the queues' functions are not registered.
    with make_host({"AzureWebJobsStorage": ""}, app=package) as host:
        answer = requests.get(f"{host.url}/api/health", timeout=10)

    assert answer.status_code == 503
    assert answer.json()["code"] == "settings_invalid"
    assert set(host.functions) == every - queues


def committed(folder: Path) -> Path:
    """A repository with one commit of this checkout's files, also of uncommitted changes."""
    for name in (".gitignore", ".gitattributes", *APP_FILES):
        shutil.copyfile(ROOT / name, folder / name)
    shutil.copytree(ROOT / "shared", folder / "shared")
    author = ("-c", "user.name=somebody", "-c", "user.email=somebody@clinic.example")
    for command in (("init",), ("add", "."), (*author, "commit", "-m", "the app")):
        subprocess.run(["git", *command], cwd=folder, env=GIT, check=True, capture_output=True)  # noqa: S603, S607 - on a folder of our own
    return folder


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_the_zip_of_the_documentation_holds_the_same(package: Path, tmp_path: Path) -> None:
    """For a deployment with `az`, which does not read .funcignore."""
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^git archive (.+)$", text, re.MULTILINE)
    archive = tmp_path / "app.zip"
    arguments = [str(archive) if word == "~/app.zip" else word for word in line.split()]
    checkout = tmp_path / "checkout"
    checkout.mkdir()

    subprocess.run(["git", "archive", *arguments], cwd=committed(checkout), env=GIT, check=True)  # noqa: S603, S607 - the documentation's own line

    with zipfile.ZipFile(archive) as content:
        files = {name for name in content.namelist() if not name.endswith("/")}
    assert files == names(package)
