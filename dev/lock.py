"""Pins the requirements: short lists in, every package with its version out."""

import subprocess
import sys

from dev.local_run import ROOT

_LISTS = ("requirements", "dev/requirements")


def lock() -> int:
    """Pin both lists to the newest versions that fit together, and return an exit code."""
    for name in _LISTS:
        print(f"Pinning {name}.in ...", flush=True)
        command = [sys.executable, "-m", "uv", "pip", "compile", "--upgrade", "--quiet"]
        # For every platform; and without the address of wherever packages come from.
        command += ["--universal", "--python-version", "3.13"]
        command += ["--no-emit-index-url", "--no-emit-find-links", "--no-header"]
        command += [f"{name}.in", "--output-file", f"{name}.txt"]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        if code:
            return code
    return 0
