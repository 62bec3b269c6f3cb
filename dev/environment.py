"""The environment that the commands run in: .venv, and Azurite in dev/node_modules.

It is made once, updated when the pinned versions change, and made anew if that was interrupted.
The packages of the checks are most of it, and are installed when a check first runs. This module
uses only the standard library, because nothing else is installed yet.
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
from dev.terminal import complain, working

ROOT = Path(__file__).resolve().parents[1]
OLDEST_NODE = 20
LINES_SHOWN = 20  # of an installation that failed
_UNFINISHED = "unfinished"
_CHECKS = ".complete-for-checks"


class SetUpError(StartError):
    """An installation failed. The text says what to do, or what the installer printed."""


class Stamp:
    """A file in a folder that records what was installed there.

    Args:
        folder: The folder.
        sources: The files that decide what is installed.
        name: The file's name. A folder may have several stamps.
    """

    def __init__(self, *, folder: Path, sources: Sequence[Path], name: str = ".complete") -> None:
        self._file = folder / name
        self._sources = sources

    def is_current(self) -> bool:
        """Say whether everything is installed that the sources name now."""
        return self.exists() and self._text() == self._digest()

    def exists(self) -> bool:
        """Say whether this project's commands have ever installed something here."""
        return self._file.exists()

    def is_unfinished(self) -> bool:
        """Say whether an installation began and did not end, so that its state is unknown."""
        return self._text() == _UNFINISHED

    def begin(self) -> None:
        """Record that an installation begins."""
        self._file.write_text(_UNFINISHED, encoding="ascii")

    def write(self) -> None:
        """Record that everything is installed."""
        self._file.write_text(self._digest(), encoding="ascii")

    def _text(self) -> str | None:
        return self._file.read_text(encoding="ascii") if self._file.exists() else None

    def _digest(self) -> str:
        digests = (hashlib.sha256(source.read_bytes()).hexdigest() for source in self._sources)
        return "\n".join(digests)


class Environment:
    """The environment of one checkout.

    Args:
        root: The checkout.
        checks: Whether to install the packages of the checks as well.
    """

    def __init__(self, *, root: Path, checks: bool = False) -> None:
        self._root = root
        self._checks = checks
        self._venv = root / ".venv"
        self._dev = root / "dev"
        node_modules = self._dev / "node_modules"
        self._requirements = [root / "requirements.txt", self._dev / "requirements-run.txt"]
        self._packages = [self._dev / "package.json", self._dev / "package-lock.json"]
        self._venv_stamps = [Stamp(folder=self._venv, sources=self._requirements)]
        self._node_stamps = [Stamp(folder=node_modules, sources=self._packages)]
        if checks:
            self._requirements = [*self._requirements, self._dev / "requirements.txt"]
            self._venv_stamps += [
                Stamp(folder=self._venv, sources=self._requirements, name=_CHECKS)
            ]
            self._node_stamps += [Stamp(folder=node_modules, sources=self._packages, name=_CHECKS)]

    @property
    def python(self) -> Path:
        """The environment's Python."""
        return programs(self._venv) / ("python.exe" if os.name == "nt" else "python")

    def prepare(self) -> None:
        """Install what is missing or out of date. If nothing is, this is quick and prints nothing.

        Raises:
            SetUpError: Node is missing or too old, .venv was made by hand for another Python, or
                an installation failed.
        """
        npm = _find_npm()
        if self._python_is_ready() and self._node_is_ready():
            return
        # Another process may have set up the same checkout meanwhile.
        with _only_one(self._root / ".dev" / "environment.lock"):
            if not self._python_is_ready():
                self._install_python_packages()
            if not self._node_is_ready():
                self._install_node_packages(npm)

    def _python_is_ready(self) -> bool:
        # The Python that it was made with may have been removed.
        return all(stamp.is_current() for stamp in self._venv_stamps) and self.python.exists()

    def _node_is_ready(self) -> bool:
        return all(stamp.is_current() for stamp in self._node_stamps)

    def _install_python_packages(self) -> None:
        known, usable = self._venv_stamps[0].exists(), self._is_usable()
        told = "Bringing .venv up to date" if known and usable else "Setting up .venv"
        extent = ", with what the checks need" if self._checks else ""
        with working(f"{told}{extent} (at most a minute or two)"):
            if not usable:
                place = str(self._venv)
                _install([sys.executable, "-m", "venv", "--clear", "--without-pip", place])
            self._fill_venv()

    def _is_usable(self) -> bool:
        """Say whether packages can be installed into the existing .venv.

        Raises:
            SetUpError: It was made by hand, for another Python.
        """
        stamp = self._venv_stamps[0]
        if stamp.is_unfinished():
            return False
        here, found = _version(sys.executable), _version(str(self.python))
        if found not in (here, "") and not stamp.exists():
            raise SetUpError(
                f"The folder .venv here is for Python {found}, and this project runs on exactly "
                f"{here}. Remove .venv, or rename it, and run this again."
            )
        return found == here

    def _fill_venv(self) -> None:
        for stamp in self._venv_stamps:
            stamp.begin()
        # Installs pip into a .venv that was made without it.
        _install([str(self.python), "-m", "ensurepip", "--default-pip"])
        install_packages(self._venv, *self._requirements)
        for stamp in self._venv_stamps:
            stamp.write()

    def _install_node_packages(self, npm: str) -> None:
        what = "Azurite, the storage emulator (first time: half a minute)"
        command = ["ci"] if self._checks else ["ci", "--omit=dev"]
        if self._node_stamps[0].is_current() and not self._node_stamps[-1].is_unfinished():
            what = "what the checks need from npm"
            command = ["install", "--no-save"]  # keeps installed packages; `ci` would remove them
            self._node_stamps[-1].begin()
        with working(f"Setting up {what}"):
            options = ["--no-progress", "--loglevel=error", "--prefer-offline"]
            _install([npm, *command, *options], folder=self._dev)
        for stamp in self._node_stamps:
            stamp.write()


def programs(venv: Path) -> Path:
    """Return the folder of a virtual environment's programs."""
    return venv / ("Scripts" if os.name == "nt" else "bin")


def make_venv(folder: Path, *requirements: Path) -> None:
    """Make a virtual environment from lists of requirements. It replaces an existing one.

    Raises:
        SetUpError: It could not be made.
    """
    _install([sys.executable, "-m", "venv", "--clear", str(folder)])
    install_packages(folder, *requirements)


def install_packages(venv: Path, *requirements: Path) -> None:
    """Install lists of requirements into a virtual environment.

    Raises:
        SetUpError: An installation failed.
    """
    # Quiet twice, so that only errors are printed: some machines get a warning for each package.
    options = ["-qq", "--disable-pip-version-check", "--no-input"]
    files = [word for path in requirements for word in ("-r", str(path))]
    _install([str(programs(venv) / "python"), "-m", "pip", "install", *options, *files])


def _install(command: Sequence[str], *, folder: Path = ROOT) -> None:
    done = processes.run_quietly(command, folder=folder)
    if done.returncode:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-LINES_SHOWN:])
        raise SetUpError(f"This failed:\n  {' '.join(command)}\nIt ended with:\n{end}")


def _version(python: str) -> str:
    """Return a Python's version, such as 3.13. Return nothing if it does not run."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


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
    """Hold a lock that the operating system releases when this process ends."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - only there on Windows

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl  # noqa: PLC0415 - and only there elsewhere

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with working("Waiting until another process has set this up"):
                    fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Prepare the environment, then run `python -m dev` in it with the same arguments."""
    options = cli.parse()  # help and wrong arguments need no environment
    environment = Environment(root=ROOT, checks=cli.needs_checks(options))
    try:
        environment.prepare()
    except SetUpError as error:
        complain(error)
        return 1
    return processes.become([str(environment.python), "-m", "dev", *sys.argv[1:]])


if __name__ == "__main__":
    processes.run_main(main)
