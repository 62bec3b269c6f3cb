"""Pins the requirements: from the short lists it makes lists of all packages with versions."""

import sys

from dev import processes
from dev.environment import ROOT
from dev.terminal import working

_LISTS = (
    "requirements",
    "dev/requirements-run",
    "dev/requirements",  # after the list whose pins it uses
    *(f"bench/requirements-{name}" for name in ("ours", "requests", "msgraph")),
)


def lock() -> int:
    """Pin the lists to the newest versions that fit together. Return an exit code."""
    for name in _LISTS:
        command = [sys.executable, "-m", "uv", "pip", "compile", "--upgrade", "--quiet"]
        # For each platform, and without the address of the package index.
        command += ["--universal", "--python-version", "3.13"]
        command += ["--no-emit-index-url", "--no-emit-find-links", "--no-header"]
        command += [f"{name}.in", "--output-file", f"{name}.txt"]
        with working(f"Pinning {name}.in"):
            done = processes.run_quietly(command, folder=ROOT)
        if done.returncode:
            print(done.stdout + done.stderr)
            return 1
    return 0
