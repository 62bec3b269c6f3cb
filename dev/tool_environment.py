"""Environments for tools that bring many packages which nothing else here needs.

Each is made once under .dev/, with the versions of its list. Then no network is needed.
"""

from pathlib import Path

from dev.environment import ROOT, Stamp, make_venv, programs
from dev.terminal import working


def prepare(name: str, *, requirements: Path) -> Path:
    """Make a tool's environment, unless it is there, and return its folder of programs.

    Args:
        name: The tool's, and its folder's under .dev/.
        requirements: What goes in, every package with its version.

    Raises:
        SetUpError: The installation failed.
    """
    folder = ROOT / ".dev" / name
    stamp = Stamp(folder=folder, sources=[requirements])
    if not stamp.is_current():
        with working(f"Setting up {name} in .dev/{name} (once: a minute or two)"):
            make_venv(folder, requirements)
        stamp.write()
    return programs(folder)
