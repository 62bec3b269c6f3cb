"""This app, but it logs no event: what that one record costs."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))
spec = importlib.util.spec_from_file_location("this_app", ROOT / "function_app.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.telemetry.emit = lambda _: None
app = module.app
