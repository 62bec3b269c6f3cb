"""The one command of the project: `python dev.py demo`, `serve`, `test` and others.

It needs exactly Python 3.13, and Node, and installs everything else itself. Python 3.6 must be able
to read this file, so that an older `python` can find the one that is needed.
"""

import sys

try:  # this takes long enough for Ctrl-C to come meanwhile
    import os
    import shutil
    import signal
    import subprocess
    from importlib.util import find_spec
    from pathlib import Path
    from typing import Iterator, List, Optional
except KeyboardInterrupt:
    sys.exit(130)

ROOT = Path(__file__).resolve().parent
CALLED_FROM = "DEV_PY_CALLED_FROM"
VERSION = (3, 13)
MISSING = (
    "This project runs on exactly Python 3.13, not on an older or a newer one.\n"
    "This is Python %d.%d, and no complete 3.13 was found. Install it from python.org,\n"
    "or with: uv python install 3.13\n"
    "or on Debian and Ubuntu: apt install python3.13 python3.13-venv"
)
# A Python without these modules (Debian packages them separately) cannot make an environment.
NEEDED = ("ensurepip", "venv")
PROBE = "import ensurepip, sys, venv; print(sys.version_info[:2] == %r)" % (VERSION,)


def main() -> int:
    """Find Python 3.13, and run dev/environment.py with it."""
    python = find_python()
    if python is None:
        print(MISSING % sys.version_info[:2], file=sys.stderr)
        return 1
    os.environ[CALLED_FROM] = str(Path.cwd())  # relative paths among the arguments start here
    os.chdir(str(ROOT))
    command = [python, "-m", "dev.environment", *sys.argv[1:]]
    if os.name != "nt":
        # Ctrl-C waits until the other Python runs and can end without a traceback.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.execv(python, command)  # noqa: S606 - this process is replaced
    # On Windows the caller would not wait for the process that replaces this one.
    return subprocess.call(command)


def find_python() -> Optional[str]:
    """Return the path of a Python 3.13, or None."""
    if sys.version_info[:2] == VERSION and all(find_spec(name) for name in NEEDED):
        return sys.executable
    return next(filter(works, candidates()), None)


def candidates() -> Iterator[str]:
    """Yield paths where a Python 3.13 may be. Some may not exist."""
    name = "python%d.%d" % VERSION
    yield shutil.which(name) or ""
    if os.name == "nt":
        yield output(["py", "-%d.%d" % VERSION, "-c", "import sys; print(sys.executable)"])
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for found in (pyenv / "versions").glob("%d.%d*/bin/%s" % (*VERSION, name)):
        yield str(found)
    scripts, suffix = ("Scripts", ".exe") if os.name == "nt" else ("bin", "")
    yield str(ROOT / ".venv" / scripts / ("python" + suffix))
    yield output(["uv", "python", "find", "%d.%d" % VERSION])


def works(python: str) -> bool:
    """Say whether a path leads to a complete Python 3.13."""
    return bool(python) and output([python, "-c", PROBE]) == "True"


def output(command: List[str]) -> str:
    """Return what a command prints. Return nothing if it is missing or fails."""
    try:
        return subprocess.check_output(command, stderr=subprocess.DEVNULL).decode().strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
