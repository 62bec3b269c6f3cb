"""The common parts of all measurements: the server, the subjects' environments, their settings."""

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
from dev.stand_ins.authority import Authority
from dev.stand_ins.certificates import make_certificates
from dev.tool_environment import prepare

ROOT = Path(__file__).resolve().parents[1]
OURS = "this app"
SIGNED_IN = "this app, for a person's own"
BESIDE = "the version beside it"
RIVAL = "msgraph-sdk"
PLAIN = "requests, plainly"
URLLIB3 = "urllib3's urlopen"
FLOOR = "raw socket"
NOTHING = "a function that calls nobody"
WITHOUT_EVENT = "without its event"
WITHOUT_DEADLINE = "without its deadline"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An app to measure.

    Args:
        name: Its name in tables.
        app: Its folder.
        environment: The name of its `requirements-NAME.txt`.
        tree: The folder of that file.
        signed_in: Whether a person requests their own meeting with an Entra token.
    """

    name: str
    app: Path
    environment: str
    tree: Path = ROOT
    signed_in: bool = False


def _rival(name: str, folder: str, environment: str = "requests") -> Subject:
    return Subject(name=name, app=ROOT / "bench" / "rivals" / folder, environment=environment)


SUBJECTS = (
    Subject(name=OURS, app=ROOT, environment="ours"),
    _rival(RIVAL, "msgraph_sdk", "msgraph"),
    _rival(PLAIN, "requests_plain"),
    _rival("requests, one context", "requests_one_context"),
    _rival(URLLIB3, "urllib3_urlopen"),
    _rival("http.client by hand", "http_client"),
    _rival(FLOOR, "raw_socket"),
    _rival(NOTHING, "empty"),
)
PERSON = Subject(name=SIGNED_IN, app=ROOT, environment="ours", signed_in=True)
PARTS = (
    _rival(WITHOUT_EVENT, "without_event", "ours"),
    _rival(WITHOUT_DEADLINE, "without_deadline", "ours"),
)
"""This app with one part left out, to measure that part's cost."""

USER_ID = "4e7c2a10-5d38-4c1f-9f6e-0d1b9a8c7e65"
MEETING_ID = "MSo0ZTdjMmExMC01ZDM4LTRjMWYtOWY2ZS0wZDFiOWE4YzdlNjUqMCoqMTk6bWVldGlu"
_TENANT_ID = "a796be92-0000-4000-8000-000000000001"
_CLIENT_ID = "a796be92-0000-4000-8000-000000000002"


def in_turns[Item](items: Sequence[Item], number: int) -> Sequence[Item]:
    """Start each round with another item, so that other load of the machine favours none."""
    first = number % len(items)
    return (*items[first:], *items[:first])


@dataclass(frozen=True)
class Counts:
    """The requests that the server got."""

    graph: int
    connections: int
    tokens: int
    exchanges: int
    deliveries: int
    delay: float

    def __sub__(self, before: "Counts") -> "Counts":
        return Counts(
            graph=self.graph - before.graph,
            connections=self.connections - before.connections,
            tokens=self.tokens - before.tokens,
            exchanges=self.exchanges - before.exchanges,
            deliveries=self.deliveries - before.deliveries,
            delay=self.delay,
        )


class World:
    """The server, and the environments that use it. A context manager.

    Args:
        beside: The folder of another version of this app, to compare with.

    Attributes:
        subjects: The compared apps.
        graph_url: The URL of Graph.
        authority_file: The file with the authority of Graph's certificate.
    """

    def __init__(self, *, beside: Path | None = None) -> None:
        self.subjects: Sequence[Subject] = SUBJECTS
        if beside is not None:
            other = Subject(name=BESIDE, app=beside, environment="ours", tree=beside)
            self.subjects = (*SUBJECTS, other)
        self.graph_url = ""
        self.authority_file = Path()
        self._entra = Authority(_TENANT_ID)
        self._parts = ExitStack()
        self._control = ""
        self._settings: Mapping[str, str] = {}
        self._trust: Mapping[str, Mapping[str, str]] = {}
        self._pythons: dict[str, Path] = {}

    def __enter__(self) -> Self:
        with ExitStack() as parts:
            folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            tls = make_certificates("127.0.0.1", folder=folder)
            # As long as a deployed app's bundle, because its length affects the cost of TLS.
            bundle = folder / "bundle.pem"
            bundle.write_bytes(Path(certifi.where()).read_bytes() + tls.ca.read_bytes())
            keys = folder / "keys.json"
            keys.write_text(json.dumps(self._entra.keys), encoding="ascii")
            server = parts.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "bench.server", str(tls.certificate), str(keys)],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            assert server.stdout  # noqa: S101 - for the type checker; it is a pipe
            graph, control = json.loads(server.stdout.readline())
            self._control = f"http://127.0.0.1:{control}"
            self.graph_url = f"https://127.0.0.1:{graph}"
            self.authority_file = tls.ca
            # Each reads its authorities from its default place: this app and the standard library
            # in the platform's folder, the others in a bundle.
            folder_of_authorities = {"SSL_CERT_DIR": str(tls.authorities)}
            self._trust = {
                "ours": folder_of_authorities,
                "requests": folder_of_authorities | {"REQUESTS_CA_BUNDLE": str(bundle)},
                "msgraph": {"SSL_CERT_FILE": str(bundle)},
            }
            self._settings = {
                **sample_settings(),
                "GRAPH_ROOT": self.graph_url,
                "IDENTITY_ENDPOINT": f"{self._control}/msi/token",
                "IDENTITY_HEADER": "bench",
                "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            }
            self._parts = parts.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    def python(self, subject: Subject) -> Path:
        """Give a subject's interpreter. Its environment is made at the first call.

        Raises:
            ToolError: The environment could not be installed.
        """
        name = subject.environment if subject.tree == ROOT else "beside"
        if name not in self._pythons:
            requirements = subject.tree / "bench" / f"requirements-{subject.environment}.txt"
            self._pythons[name] = prepare(f"bench-{name}", requirements=requirements) / "python"
        return self._pythons[name]

    def settings(self, subject: Subject) -> dict[str, str]:
        """Give a subject's app settings."""
        sign_in = {
            "HTTP_AUTH": "entra",
            "ENTRA_TENANT_ID": _TENANT_ID,
            "ENTRA_CLIENT_ID": _CLIENT_ID,
            "ENTRA_AUTHORITY": self._control,
        }
        return {
            **self._settings,
            **self._trust[subject.environment],
            **(sign_in if subject.signed_in else {}),
        }

    def request(self, subject: Subject) -> tuple[dict[str, str], dict[str, str]]:
        """Give the headers and members of a subject's request."""
        if not subject.signed_in:
            return {}, {"userId": USER_ID, "onlineMeetingId": MEETING_ID}
        token = self._entra.issue_to_person(audience=_CLIENT_ID, object_id=USER_ID)
        return {"authorization": f"Bearer {token}"}, {"onlineMeetingId": MEETING_ID}

    def delay(self, seconds: float) -> None:
        """Set the delay of Graph's answers."""
        self._ask(f"/delay?seconds={seconds}")

    def counts(self) -> Counts:
        """Read the server's counts."""
        return Counts(**self._ask("/counts"))

    def _ask(self, target: str) -> Any:  # noqa: ANN401 - JSON
        with urlopen(self._control + target) as answer:  # noqa: S310 - our own server
            return json.load(answer)
