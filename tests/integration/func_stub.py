"""Stands in for `func` of Azure Functions Core Tools: writes down its arguments, and runs the app.

FUNC_RECORD names the file for the arguments. With FUNC_EXIT it ends at once, with that code.
"""

import json
import os
import sys
import threading
from pathlib import Path

given = {
    "arguments": sys.argv[1:],
    "folder": str(Path.cwd()),
    "prefix": sys.prefix,
    "pid": os.getpid(),
    "environment": dict(os.environ),
}
Path(os.environ["FUNC_RECORD"]).write_text(json.dumps(given), encoding="utf-8")
print("func says: hello", flush=True)  # noqa: T201 - as the real one does
if code := os.environ.get("FUNC_EXIT"):
    sys.exit(int(code))

sys.path.insert(0, str(Path.cwd()))
from dev.host.host import Host  # noqa: E402 - not before the path is known
from dev.local_run import DIAGNOSTICS_KEY, FUNCTION_KEY, MASTER_KEY  # noqa: E402

try:
    with Host(
        app=Path.cwd(),
        environment=os.environ,
        port=int(sys.argv[3]),
        function_key=FUNCTION_KEY,  # func checks none
        master_key=MASTER_KEY,
        function_keys={"diagnostics": DIAGNOSTICS_KEY},
    ):
        threading.Event().wait()
except KeyboardInterrupt:
    print("func says: goodbye", flush=True)  # noqa: T201 - as above
