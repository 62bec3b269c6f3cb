"""A host for any app: `python -m dev.host --app FOLDER [--port N]`.

Settings come from the app's local.settings.json. The keys are new in each run.
"""

import argparse
import json
import secrets
import sys
import threading
from pathlib import Path

from dev.host.errors import HostError
from dev.host.host import Host


def main() -> int:
    """Run the host until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m dev.host", description="Run a Functions app.")
    parser.add_argument("--app", type=Path, required=True, help="folder with function_app.py")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: any)")
    options = parser.parse_args()
    path = options.app / "local.settings.json"
    settings = json.loads(path.read_text(encoding="utf-8"))["Values"] if path.exists() else {}
    key = secrets.token_urlsafe(16)
    try:
        with Host(
            app=options.app,
            environment=settings,
            port=options.port,
            function_key=key,
            master_key=secrets.token_urlsafe(16),
            on_log=lambda line: print(line, flush=True),
        ) as host:
            print(f"{host.url} serves {', '.join(host.functions)}; x-functions-key: {key}")
            threading.Event().wait()
    except HostError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
