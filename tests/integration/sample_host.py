"""The local host around the sample app of host_app/, for the tests of the host itself."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

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
    """Make a host; the sample app's queue functions are off unless the settings say otherwise."""
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
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
