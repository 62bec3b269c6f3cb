#!/usr/bin/env python3
"""Builds the app with its libraries into a zip file, for a deployment without a build in Azure.

Needs no role; Python 3.10 or newer with pip, and the network.

    python scripts/build_package.py app.zip

pip takes the libraries for Azure's Linux and Python 3.13, whatever this machine is, at the versions
of requirements.txt. The deployment is a line of its own (docs/deploy.md, Building it here).
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from command_line import Parser

ROOT = Path(__file__).resolve().parents[1]
APP = ("function_app.py", "host.json", "requirements.txt", "shared")
LIBRARIES = Path(".python_packages", "lib", "site-packages")
"""The folder where the Functions host looks for libraries."""

TARGET = (
    "--platform=manylinux_2_28_x86_64",
    "--platform=manylinux2014_x86_64",
    "--python-version=3.13",
    "--implementation=cp",
    "--only-binary=:all:",
    # The list is complete. pip would resolve it for the Python that runs pip.
    "--no-deps",
    # pip before 25 also checks the Python that runs it, and azure-functions requires 3.13.
    "--ignore-requires-python",
    "--no-compile",
)


class BuildError(Exception):
    """The package cannot be built. The text tells the operator why."""


def build(package: Path) -> None:
    """Write the package. An existing file stays until the new one is complete.

    Raises:
        BuildError: pip failed, and has printed why.
    """
    with tempfile.TemporaryDirectory(prefix="package-") as name:
        folder = Path(name)
        for part in APP:
            _copy(ROOT / part, folder / part)
        _install(folder / LIBRARIES)
        partial = package.with_name(f"{package.name}.partial")
        try:
            _zip(folder, partial)
            partial.replace(package)
        finally:
            partial.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    else:
        shutil.copyfile(source, target)


def _install(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    command += [f"--target={folder}", *TARGET, "-r", str(ROOT / "requirements.txt")]
    done = subprocess.run(command, check=False)  # noqa: S603 - pip, with our own list
    if done.returncode:
        raise BuildError("pip could not install the libraries; the lines above say why.")
    # The libraries' commands hold the path of this machine's Python.
    shutil.rmtree(folder / "bin", ignore_errors=True)


def _zip(folder: Path, package: Path) -> None:
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as content:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            content.write(file, file.relative_to(folder).as_posix())


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__)
    parser.add_argument("--what-if", action="store_true", help="build nothing, say what would be")
    parser.add_argument("package", metavar="PACKAGE", type=Path, help="the zip file to write")
    return parser


def main() -> int:
    """Run the command."""
    options = _parser().parse_args()
    if options.what_if:
        print(f"Would build {options.package} of {', '.join(APP)} and the libraries.")
        return 0
    try:
        build(options.package)
    except (BuildError, OSError) as error:
        print(f"There is no package: {error}", file=sys.stderr)
        return 1
    size = options.package.stat().st_size / 1_000_000
    print(f"Built {options.package} ({size:.1f} MB).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
