"""This app, but each wait for Graph has the whole call's time: what an exact deadline costs."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))
spec = importlib.util.spec_from_file_location("this_app", ROOT / "function_app.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

from shared.core import http_client

for name in ("send", "read"):
    delattr(http_client._Socket, name)  # noqa: SLF001 - taken out on purpose
app = module.app
