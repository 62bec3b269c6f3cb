"""This app, but a wait for Graph may last for ever: what its deadline costs."""

import importlib.util
import socket
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))
spec = importlib.util.spec_from_file_location("this_app", ROOT / "function_app.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

from shared import connections  # noqa: E402 - found beside the app


def wait_for_ever(sock: socket.socket, _: float) -> None:
    """Take the timeout off, once."""
    if sock.gettimeout() is not None:
        sock.settimeout(None)


connections._limit = wait_for_ever  # noqa: SLF001 - taken out on purpose
app = module.app
