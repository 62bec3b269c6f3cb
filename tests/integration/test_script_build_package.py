"""The package built by the script: the app and its libraries, for Azure's Linux and Python 3.13."""

import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from dev.environment import Stamp, _only_one
from scripts.build_package import LIBRARIES, TARGET
from tests.integration.script_runs import ROOT, SCRIPTS, bare_python

VERSIONS = ("3.10", "3.11", "3.12", "3.13")
REQUIREMENTS = ROOT / "requirements.txt"


@pytest.fixture(scope="module")
def wheels() -> Path:
    """The libraries, downloaded once. Later no network is needed."""
    folder = ROOT / ".dev" / "wheels"
    stamp = Stamp(folder=folder, sources=[REQUIREMENTS, SCRIPTS / "build_package.py"])
    with _only_one(ROOT / ".dev" / "wheels.lock"):
        if not stamp.is_current():
            shutil.rmtree(folder, ignore_errors=True)
            target = [option for option in TARGET if option != "--no-compile"]
            command = [sys.executable, "-m", "pip", "download", "--quiet", f"--dest={folder}"]
            subprocess.run([*command, *target, "-r", REQUIREMENTS], check=True, timeout=300)  # noqa: S603 - pip
            stamp.write()
    return folder


def run(version: str, package: Path, wheels: Path) -> subprocess.CompletedProcess[str]:
    """Build it with that Python version and its pip, from these wheels only."""
    pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    return subprocess.run(  # noqa: S603 - our own
        [bare_python(version), SCRIPTS / "build_package.py", package],
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **pip},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=180,
    )


def content(package: Path) -> Mapping[str, int]:
    """The files of a package with their checksums."""
    with zipfile.ZipFile(package) as archive:
        assert archive.testzip() is None
        return {entry.filename: entry.CRC for entry in archive.infolist()}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    """One built by the newest Python."""
    package = tmp_path_factory.mktemp("built") / "app.zip"
    done = run("3.13", package, wheels)
    assert done.returncode == 0, done.stderr
    return package


def test_holds_the_app_without_tests_and_tools(package: Path) -> None:
    """With the files that .funcignore lets through, and the libraries in the folder of the host."""
    app = {name for name in content(package) if not name.startswith(LIBRARIES.as_posix() + "/")}
    modules = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "shared").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert app == {"function_app.py", "host.json", "requirements.txt", *modules}


def test_holds_each_library_at_its_version(package: Path) -> None:
    """Each line of requirements.txt, and no other."""
    listed = re.findall(
        r"^([\w.-]+)(?:\[\w,]+)?==(\S+)", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE
    )
    folders = re.findall(
        rf"^{re.escape(LIBRARIES.as_posix())}/([^/]+)\.dist-info/METADATA$",
        "\n".join(content(package)),
        re.MULTILINE,
    )

    wanted = {f"{re.sub(r'[-_.]+', '-', name).lower()} {version}" for name, version in listed}
    found = {
        re.sub(r"[-_.]+", "-", name).lower() + f" {version}"
        for name, version in (folder.rsplit("-", 1) for folder in folders)
    }
    assert len(wanted) > 15
    assert found == wanted


def test_compiled_libraries_are_for_the_python_of_azure(package: Path) -> None:
    """Linux on x86-64, and Python 3.13 or the stable ABI. No commands of another machine."""
    names = list(content(package))
    compiled = [name for name in names if re.search(r"\.(?:so|pyd|dylib)$", name)]

    assert any("cryptography" in name for name in compiled)
    for name in compiled:
        assert re.search(r"\.(?:cpython-313-x86_64-linux-gnu|abi3)\.so$", name), name
    assert not [name for name in names if f"{LIBRARIES.as_posix()}/bin/" in name]
    assert not [name for name in names if name.endswith(".pyc")]


@pytest.mark.parametrize("version", VERSIONS)
def test_each_python_builds_the_same(
    version: str, package: Path, wheels: Path, tmp_path: Path
) -> None:
    """With its bundled pip, because versions of pip differ in how they treat Python versions."""
    done = run(version, tmp_path / "app.zip", wheels)

    assert done.returncode == 0, done.stderr
    assert re.search(r"^Built .*app\.zip \(\d+\.\d MB\)\.$", done.stdout, re.MULTILINE)
    ignored = re.compile(r"\.dist-info/(?:RECORD|INSTALLER|REQUESTED|direct_url\.json)$")
    theirs, ours = content(tmp_path / "app.zip"), content(package)
    assert {name: crc for name, crc in theirs.items() if not ignored.search(name)} == {
        name: crc for name, crc in ours.items() if not ignored.search(name)
    }


def test_the_package_loads_without_other_libraries(package: Path, tmp_path: Path) -> None:
    """In a Python 3.13 without installed libraries, as in Azure."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("the libraries are for Linux on x86-64")
    with zipfile.ZipFile(package) as archive:
        archive.extractall(tmp_path)
    program = "import function_app; print(len(function_app.app.get_functions()))"

    done = subprocess.run(  # noqa: S603 - our own
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path[:0] = {[str(tmp_path), str(tmp_path / LIBRARIES)]!r}; {program}",
        ],
        env={},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 5


def test_the_first_failure_ends_it(tmp_path: Path) -> None:
    """Here a library cannot be installed. An earlier package stays as it is."""
    package = tmp_path / "app.zip"
    package.write_bytes(b"the one before")
    nothing = tmp_path / "nothing"
    nothing.mkdir()

    done = run("3.13", package, nothing)

    assert done.returncode == 1
    assert "There is no package: pip could not install the libraries" in done.stderr
    assert "Built" not in done.stdout
    assert package.read_bytes() == b"the one before"
    assert [path.name for path in tmp_path.iterdir() if path != nothing] == ["app.zip"]
