"""The environment that the commands run in: .venv, and Azurite in dev/node_modules.

Made once, brought up to date when the pinned versions change, made anew when it was
interrupted. Standard library only: nothing else is there yet.
"""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST_NODE = 20
LINES_SHOWN = 20  # of an installation that failed


class SetUpError(Exception):
    """The environment cannot be made; the text says what to do."""


class Stamp:
    """A file that is there only when a folder was finished, and says what was put into it.

    Args:
        folder: What is stamped.
        sources: The files that decide what goes into it.
    """

    def __init__(self, *, folder: Path, sources: Sequence[Path]) -> None:
        self._file = folder / ".complete"
        self._sources = sources

    def exists(self) -> bool:
        """Tell whether the folder was finished once, from whichever sources."""
        return self._file.exists()

    def is_current(self) -> bool:
        """Tell whether the folder was finished from the sources as they are now."""
        return self.exists() and self._file.read_text(encoding="ascii") == self._digest()

    def write(self) -> None:
        """Say that the folder is finished."""
        self._file.write_text(self._digest(), encoding="ascii")

    def _digest(self) -> str:
        digests = (hashlib.sha256(source.read_bytes()).hexdigest() for source in self._sources)
        return "\n".join(digests)


class Environment:
    """The environment of one checkout.

    Args:
        root: The checkout.
    """

    def __init__(self, *, root: Path) -> None:
        self._root = root
        self._venv = root / ".venv"
        self._dev = root / "dev"
        self._requirements = [root / "requirements.txt", self._dev / "requirements.txt"]
        self._venv_stamp = Stamp(folder=self._venv, sources=self._requirements)
        self._node_stamp = Stamp(
            folder=self._dev / "node_modules",
            sources=[self._dev / "package.json", self._dev / "package-lock.json"],
        )

    @property
    def python(self) -> Path:
        """The environment's Python."""
        windows = os.name == "nt"
        return self._venv / ("Scripts/python.exe" if windows else "bin/python")

    def prepare(self) -> None:
        """Make what is missing or out of date; quick and silent when nothing is.

        Raises:
            SetUpError: Node is missing or too old, or an installation failed.
        """
        npm = _find_npm()
        if self._is_ready():
            return
        # Somebody else may be at it in the same checkout, and be done before us.
        with _only_one(self._root / ".dev" / "environment.lock"):
            if not self._python_is_ready():
                self._install_python_packages()
            if not self._node_stamp.is_current():
                self._install_azurite(npm)

    def _is_ready(self) -> bool:
        return self._python_is_ready() and self._node_stamp.is_current()

    def _python_is_ready(self) -> bool:
        # The Python that it was made from may have gone since.
        return self._venv_stamp.is_current() and self.python.exists()

    def _install_python_packages(self) -> None:
        if not self._venv_stamp.exists() or not self.python.exists():
            _say("Setting up .venv (first time: about a minute) ...")
            shutil.rmtree(self._venv, ignore_errors=True)
            try:
                venv.create(self._venv, with_pip=True, symlinks=os.name != "nt")
            except (OSError, subprocess.CalledProcessError) as error:
                raise SetUpError(f"{sys.executable} could not make .venv: {error}") from error
        else:
            _say("Bringing .venv up to date ...")
        options = ["--quiet", "--disable-pip-version-check", "--no-input"]
        files = [word for path in self._requirements for word in ("-r", str(path))]
        _run([str(self.python), "-m", "pip", "install", *options, *files], folder=self._root)
        self._venv_stamp.write()

    def _install_azurite(self, npm: str) -> None:
        _say("Setting up Azurite, the storage emulator (first time: about half a minute) ...")
        _run([npm, "ci", "--no-progress", "--loglevel=error"], folder=self._dev)
        self._node_stamp.write()


def _find_npm() -> str:
    node, npm = shutil.which("node"), shutil.which("npm")
    advice = f"Install Node {OLDEST_NODE} or newer from nodejs.org."
    if not node or not npm:
        raise SetUpError(f"Azurite, the storage emulator, needs Node and npm. {advice}")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    major = re.match(r"v(\d+)\.", version.stdout)
    if not major or int(major[1]) < OLDEST_NODE:
        found = version.stdout.strip() or "one that does not start"
        raise SetUpError(f"Azurite needs a newer Node than the one here ({found}). {advice}")
    return npm


def _run(command: Sequence[str], *, folder: Path) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode:
        end = "\n".join(done.stdout.splitlines()[-LINES_SHOWN:])
        raise SetUpError(f"{end}\nThat was the end of: {' '.join(command)}")


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold a lock that ends with this process, however it ends."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - only there on Windows

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl  # noqa: PLC0415 - and only there elsewhere

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    """Prepare the environment, then run `python -m dev` in it with the same arguments."""
    environment = Environment(root=ROOT)
    try:
        environment.prepare()
    except SetUpError as error:
        print(error, file=sys.stderr)
        return 1
    command = [str(environment.python), "-m", "dev", *sys.argv[1:]]
    if os.name != "nt":
        os.execv(command[0], command)  # noqa: S606 - this process has nothing left to do
    # On Windows the caller would not wait for a process that replaces this one.
    return subprocess.call(command)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
