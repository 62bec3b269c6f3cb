"""Environments for tools that bring many packages which nothing else here needs.

Each is made once under .dev/, at the versions of its own list; from then on no network is needed.
"""

import os
import subprocess
import venv
from pathlib import Path

from dev.environment import ROOT, Stamp


class ToolError(Exception):
    """A tool could not be installed; pip has said why."""


def prepare(name: str, *, requirements: Path) -> Path:
    """Make a tool's environment, unless it is there, and return its folder of programs.

    Args:
        name: The tool's, and its folder's under .dev/.
        requirements: What goes in, every package with its version.

    Raises:
        ToolError: The installation failed.
    """
    folder = ROOT / ".dev" / name
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    stamp = Stamp(folder=folder, sources=[requirements])
    if not stamp.is_current():
        print(f"Setting up {name} in .dev/{name} (once: a minute or two) ...", flush=True)
        venv.create(folder, clear=True, with_pip=True, symlinks=os.name != "nt")
        options = ["--quiet", "--disable-pip-version-check", "--no-input"]
        command = [str(programs / "python"), "-m", "pip", "install", *options]
        try:
            subprocess.run([*command, "-r", str(requirements)], check=True)
        except subprocess.CalledProcessError as error:
            raise ToolError(f"{name} could not be installed: pip says why above.") from error
        stamp.write()
    return programs
