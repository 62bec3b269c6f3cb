"""One instance of an app, in a process of its own.

`python -m bench.host_process` runs the host that its standard input describes as JSON, says on its
standard output that it is up, and ends with its standard input.
"""

import json
import secrets
import signal
import sys
from pathlib import Path

from dev.host.host import Host


def main() -> None:
    """Run the host."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it says when it ends
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
