"""The local host around the sample app of host_app/, for the tests of the host itself."""

import json
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dev.host.host import Host
from dev.host.logs import LogLine

APP = Path(__file__).parent / "host_app"
HOST_KEY, MASTER_KEY, OWN_KEY = "the-host-key", "the-master-key", "the-own-key"
NO_QUEUES = {"AzureWebJobs.work.Disabled": "true", "AzureWebJobs.poisoned.Disabled": "1"}


def make_host(
    settings: Mapping[str, str] | None = None,
    *,
    app: Path = APP,
    port: int = 0,
    lease: float = 600.0,
    start_limit: float = 30.0,
    on_log: Callable[[LogLine], None] | None = None,
) -> Host:
    """Make a host. The sample app's queue functions are disabled by default."""
    return Host(
        app=app,
        environment={**NO_QUEUES, **(settings or {})},
        port=port,
        lease=lease,
        function_key=HOST_KEY,
        master_key=MASTER_KEY,
        function_keys={"locked": OWN_KEY},
        on_log=on_log,
        start_limit=start_limit,
    )


def eventually(condition: Callable[[], object], *, within: float = 10.0) -> None:
    """Wait until a condition holds, for at most `within` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.02)


def events(host: Host, queue: str = "work") -> list[dict[str, Any]]:
    """Return the events in which the sample app logs its messages."""
    lines = [json.loads(line.message) for line in host.logs if line.logger == "app.event"]
    return [event for event in lines if event["queue"] == queue]


def exchange(host: Host, request: bytes) -> bytes:
    """Send bytes and read until the server closes the connection."""
    port = int(host.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(request)
        answer = b""
        while piece := client.recv(65_536):
            answer += piece
    return answer
