"""Runs Azurite, Microsoft's storage emulator, in its own process."""

import base64
import contextlib
import os
import re
import secrets
import shutil
import subprocess
import time
from pathlib import Path
from typing import Self

from dev.errors import StartError
from dev.stand_ins.certificates import TlsFiles

PROGRAMS = Path(__file__).parent / "node_modules" / "azurite" / "dist" / "src"
ACCOUNT = "devstoreaccount1"
START_LIMIT = 30.0  # seconds
# Preloaded into the process: when this process ends, its standard input ends, and it exits.
END_WITH_PARENT = "data:text/javascript,process.stdin.resume().on('end',()=>process.exit())"
LISTENING = re.compile(r"(\w+) service (?:is )?successfully listen\w+ \w+ https?://[^\s:]+:(\d+)")


class AzuriteError(StartError):
    """Azurite did not start. The text holds the end of its log."""


class Azurite:
    """A storage service on a free loopback port. A context manager.

    Its data is in memory and is lost when it ends. The account key is random.

    Args:
        folder: The folder for its log. It is made if it does not exist.
        tls: Serve https for `localhost`, and accept tokens as well as the account key.
        every_service: Serve blobs and tables as well, each on its own port.

    Attributes:
        port: Where the queue service listens, once started.
    """

    def __init__(
        self, *, folder: Path, tls: TlsFiles | None = None, every_service: bool = False
    ) -> None:
        self._services = ("Blob", "Queue", "Table") if every_service else ("Queue",)
        self._main = PROGRAMS / ("azurite.js" if every_service else "queue/main.js")
        self._folder = folder
        self._log = folder / "azurite.log"
        self._tls = tls
        self._key = base64.b64encode(secrets.token_bytes(64)).decode("ascii")
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: dict[str, int] = {}
        self.port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id, after the start."""
        assert self._process  # noqa: S101 - for the type checker; it is started
        return self._process.pid

    @property
    def queue_service_uri(self) -> str:
        """The queue service's address, for `<connection>__queueServiceUri`."""
        return self._address(self.port)

    @property
    def connection_string(self) -> str:
        """The connection string, which holds the account key."""
        endpoints = (
            f"{service}Endpoint={self._address(port)}" for service, port in self._ports.items()
        )
        return (
            f"DefaultEndpointsProtocol={'https' if self._tls else 'http'};"
            f"AccountName={ACCOUNT};AccountKey={self._key};{';'.join(endpoints)}"
        )

    def start(self) -> None:
        """Start it and wait until it listens.

        Raises:
            AzuriteError: Node or Azurite is missing, or Azurite did not begin to listen.
        """
        node = shutil.which("node")
        if not node:
            raise AzuriteError("Node is not on the PATH. Install Node 20 or newer.")
        if not self._main.exists():
            raise AzuriteError("Azurite is not installed. Run: python dev.py prepare")
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [node, "--import", END_WITH_PARENT, str(self._main), *self._options()],
                cwd=self._folder,
                env=os.environ | {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{self._key}"},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C goes to this process. Programs that use the queues must end before it.
                start_new_session=True,
            )
        try:
            self._ports = self._wait_for_ports(self._process)
            self.port = self._ports["Queue"]
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it. This does nothing if it has ended."""
        process, self._process = self._process, None
        if not process:
            return
        if process.stdin:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _options(self) -> list[str]:
        # The newest SDKs use newer versions of the service than Azurite knows.
        options = ["--inMemoryPersistence", "--skipApiVersionCheck"]
        options += ["--disableTelemetry", "--silent"]
        for service in map(str.lower, self._services):
            options += [f"--{service}Host", "127.0.0.1", f"--{service}Port", "0"]
        if self._tls:
            # One file holds both the certificate and its key.
            pem = str(self._tls.certificate.resolve())
            options += ["--oauth", "basic", "--cert", pem, "--key", pem]
        return options

    def _address(self, port: int) -> str:
        origin = "https://localhost" if self._tls else "http://127.0.0.1"
        return f"{origin}:{port}/{ACCOUNT}"

    def _wait_for_ports(self, process: subprocess.Popen[bytes]) -> dict[str, int]:
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            ended = process.poll() is not None
            log = self._log.read_text(errors="replace")
            ports = {service: int(port) for service, port in LISTENING.findall(log)}
            if ports.keys() >= set(self._services):
                return ports
            if ended:
                raise AzuriteError(f"Azurite ended with exit code {process.returncode}:\n{log}")
            time.sleep(0.05)
        raise AzuriteError(f"Azurite did not listen within {START_LIMIT:.0f} seconds:\n{log}")
