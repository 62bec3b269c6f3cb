"""What every measurement needs: the far end, the subjects' environments, their settings."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

import certifi

from dev.local_run import sample_settings
from dev.stand_ins.certificates import make_certificates
from dev.tool_environment import prepare

ROOT = Path(__file__).resolve().parents[1]
OURS = "this app"
BESIDE = "the version beside it"
RIVAL = "msgraph-sdk"
FLOOR = "raw socket"
NOTHING = "a function that calls nobody"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An app to measure.

    Args:
        name: as tables show it.
        app: its folder.
        environment: its list of packages, `requirements-NAME.txt`.
        tree: where that list is.
    """

    name: str
    app: Path
    environment: str
    tree: Path = ROOT


def _rival(name: str, folder: str, environment: str = "requests") -> Subject:
    return Subject(name=name, app=ROOT / "bench" / "rivals" / folder, environment=environment)


SUBJECTS = (
    Subject(name=OURS, app=ROOT, environment="ours"),
    _rival(RIVAL, "msgraph_sdk", "msgraph"),
    _rival("requests, plainly", "requests_plain"),
    _rival("http.client by hand", "http_client"),
    _rival(FLOOR, "raw_socket"),
    _rival(NOTHING, "empty"),
)
PARTS = (
    _rival("without its event", "without_event", "ours"),
    _rival("without its deadline", "without_deadline", "ours"),
)
"""This app with something left out, to see what that costs."""


def in_turns[Item](items: Sequence[Item], number: int) -> Sequence[Item]:
    """Let another one begin each round: what the machine does meanwhile must not favour any."""
    first = number % len(items)
    return (*items[first:], *items[:first])


@dataclass(frozen=True)
class Counts:
    """What the far end has been asked for."""

    graph: int
    connections: int
    tokens: int
    delay: float

    def __sub__(self, before: "Counts") -> "Counts":
        return Counts(
            graph=self.graph - before.graph,
            connections=self.connections - before.connections,
            tokens=self.tokens - before.tokens,
            delay=self.delay,
        )


class World:
    """The far end and everything that leads there. A context manager.

    Args:
        beside: another version of this app, checked out there, to compare with.

    Attributes:
        subjects: what is compared.
    """

    def __init__(self, *, beside: Path | None = None) -> None:
        self.subjects: Sequence[Subject] = SUBJECTS
        if beside is not None:
            other = Subject(name=BESIDE, app=beside, environment="ours", tree=beside)
            self.subjects = (*SUBJECTS, other)
        self._parts = ExitStack()
        self._control = ""
        self._settings: Mapping[str, str] = {}
        self._trust: Mapping[str, Mapping[str, str]] = {}
        self._pythons: dict[str, Path] = {}

    def __enter__(self) -> Self:
        with ExitStack() as parts:
            folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            tls = make_certificates("127.0.0.1", folder=folder)
            # As long as the bundle that a deployed app reads, or TLS would cost nothing to set up.
            bundle = folder / "bundle.pem"
            bundle.write_bytes(Path(certifi.where()).read_bytes() + tls.ca.read_bytes())
            server = parts.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "bench.server", str(tls.certificate)],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            assert server.stdout  # noqa: S101 - for the type checker; it is a pipe
            graph, control = json.loads(server.stdout.readline())
            self._control = f"http://127.0.0.1:{control}"
            # Each finds its authorities where it looks by itself: this app and the standard library
            # in the platform's folder, the others in a bundle.
            folder_of_authorities = {"SSL_CERT_DIR": str(tls.authorities)}
            self._trust = {
                "ours": folder_of_authorities,
                "requests": folder_of_authorities | {"REQUESTS_CA_BUNDLE": str(bundle)},
                "msgraph": {"SSL_CERT_FILE": str(bundle)},
            }
            self._settings = {
                **sample_settings(),
                "GRAPH_ROOT": f"https://127.0.0.1:{graph}",
                "IDENTITY_ENDPOINT": f"{self._control}/msi/token",
                "IDENTITY_HEADER": "bench",
                "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            }
            self._parts = parts.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    def python(self, subject: Subject) -> Path:
        """Give a subject's interpreter; its environment is made when it is first asked for.

        Raises:
            ToolError: it could not be installed.
        """
        name = subject.environment if subject.tree == ROOT else "beside"
        if name not in self._pythons:
            requirements = subject.tree / "bench" / f"requirements-{subject.environment}.txt"
            self._pythons[name] = prepare(f"bench-{name}", requirements=requirements) / "python"
        return self._pythons[name]

    def settings(self, subject: Subject) -> dict[str, str]:
        """Give a subject's app settings."""
        return {
            **self._settings,
            **self._trust[subject.environment],
        }

    def delay(self, seconds: float) -> None:
        """Let Graph think for so long about each call from now on."""
        self._ask(f"/delay?seconds={seconds}")

    def counts(self) -> Counts:
        """Ask the far end what it has been asked for."""
        return Counts(**self._ask("/counts"))

    def _ask(self, target: str) -> Any:  # noqa: ANN401 - JSON
        with urlopen(self._control + target) as answer:  # noqa: S310 - our own server
            return json.load(answer)
