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

from urllib3.connection import HTTPConnection

from shared.core import connections

connect = connections.PlainPool._connect  # noqa: SLF001 - taken out on purpose


def connect_and_block(
    self: connections.PlainPool, connection: HTTPConnection, deadline: float
) -> socket.socket:
    """Let each read and write last as long as it takes."""
    if connection.sock is None:
        connect(self, connection, deadline).settimeout(None)
    return connection.sock


connections.PlainPool._connect = connect_and_block  # noqa: SLF001 - as above
connections._wait = lambda *_: None  # noqa: SLF001 - as above
connections._never_blocks = lambda _: True  # noqa: SLF001 - as above
app = module.app
