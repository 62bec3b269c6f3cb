"""Pins the requirements: short lists in, every package with its version out."""

import sys

from dev import processes
from dev.environment import ROOT
from dev.terminal import working

_LISTS = (
    "requirements",
    "dev/requirements-run",
    "dev/requirements",  # after what it takes over the pins of
    *(f"bench/requirements-{name}" for name in ("ours", "requests", "msgraph")),
)


def lock() -> int:
    """Pin the lists to the newest versions that fit together, and return an exit code."""
    for name in _LISTS:
        command = [sys.executable, "-m", "uv", "pip", "compile", "--upgrade", "--quiet"]
        # For every platform; and without the address of wherever packages come from.
        command += ["--universal", "--python-version", "3.13"]
        command += ["--no-emit-index-url", "--no-emit-find-links", "--no-header"]
        command += [f"{name}.in", "--output-file", f"{name}.txt"]
        with working(f"Pinning {name}.in"):
            done = processes.run_quietly(command, folder=ROOT)
        if done.returncode:
            print(done.stdout + done.stderr)
            return 1
    return 0
