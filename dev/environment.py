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
from collections.abc import Iterator, Sequence
from pathlib import Path

from dev import cli, processes
from dev.errors import StartError
from dev.terminal import complain, ticking, working

ROOT = Path(__file__).resolve().parents[1]
OLDEST_NODE = 20
LINES_SHOWN = 20  # of an installation that failed


class SetUpError(StartError):
    """Something cannot be installed; the text says what to do, or what the installer said."""


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

    def remove(self) -> None:
        """Say that the folder is not finished: whoever is interrupted now makes it anew."""
        self._file.unlink(missing_ok=True)

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
        return programs(self._venv) / ("python.exe" if os.name == "nt" else "python")

    def prepare(self) -> None:
        """Make what is missing or out of date; quick, and without a word, when nothing is.

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
        if self._venv_stamp.exists() and self.python.exists():
            self._venv_stamp.remove()
            with working("Bringing .venv up to date"):
                install_packages(self._venv, *self._requirements)
        else:
            with working("Setting up .venv (first time: about a minute)"):
                make_venv(self._venv, *self._requirements)
        self._venv_stamp.write()

    def _install_azurite(self, npm: str) -> None:
        with working("Setting up Azurite, the storage emulator (first time: half a minute)"):
            _install([npm, "ci", "--no-progress", "--loglevel=error"], folder=self._dev)
        self._node_stamp.write()


def programs(venv: Path) -> Path:
    """Return the folder of a virtual environment's programs."""
    return venv / ("Scripts" if os.name == "nt" else "bin")


def make_venv(folder: Path, *requirements: Path) -> None:
    """Make a virtual environment, in place of whatever is there, of some lists of requirements.

    Raises:
        SetUpError: It could not be made.
    """
    _install([sys.executable, "-m", "venv", "--clear", str(folder)])
    install_packages(folder, *requirements)


def install_packages(venv: Path, *requirements: Path) -> None:
    """Install what lists of requirements say into a virtual environment.

    Raises:
        SetUpError: An installation failed.
    """
    # Twice quiet: errors alone. Some machines are warned about each package.
    options = ["-qq", "--disable-pip-version-check", "--no-input"]
    files = [word for path in requirements for word in ("-r", str(path))]
    _install([str(programs(venv) / "python"), "-m", "pip", "install", *options, *files])


def _install(command: Sequence[str], *, folder: Path = ROOT) -> None:
    done = processes.run_quietly(command, folder=folder)
    if done.returncode:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-LINES_SHOWN:])
        raise SetUpError(f"This failed:\n  {' '.join(command)}\nIt ended with:\n{end}")


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

            with ticking("waiting until somebody else has set this up: "):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Prepare the environment, then run `python -m dev` in it with the same arguments."""
    cli.parse()  # help, and what is wrong with the arguments, need nothing to be set up
    environment = Environment(root=ROOT)
    try:
        environment.prepare()
    except SetUpError as error:
        complain(error)
        return 1
    return processes.become([str(environment.python), "-m", "dev", *sys.argv[1:]])


if __name__ == "__main__":
    processes.run_main(main)
