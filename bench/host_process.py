"""One instance of an app, in a separate process.

`python -m bench.host_process` runs the host described by JSON on its standard input. It prints a
line when the host has started, and ends with its standard input.
"""

import json
import secrets
import signal
import sys
from pathlib import Path

from dev.host.host import Host


def main() -> None:
    """Run the host."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started it ends it
    told = json.loads(sys.stdin.readline())
    with Host(
        app=Path(told["app"]),
        environment=told["settings"],
        python=told["python"],
        function_key=secrets.token_hex(),
        master_key=secrets.token_hex(),
    ) as host:
        print(json.dumps({"worker": host.worker_pid}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
