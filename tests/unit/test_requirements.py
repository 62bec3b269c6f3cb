"""The short list of what the deployed app needs says neither more nor less than it imports."""

import ast
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOYED = [ROOT / "function_app.py", *sorted((ROOT / "shared").rglob("*.py"))]
REQUIRED = {
    line.partition("[")[0].strip()
    for line in (ROOT / "requirements.in").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
}


def imported_modules() -> set[str]:
    """Give what the deployed modules import from elsewhere, wherever in them they do."""
    names: set[str] = set()
    for path in DEPLOYED:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module or "")
    own = {"shared", *sys.stdlib_module_names}
    return {name for name in names if name.partition(".")[0] not in own}


def distribution(module: str) -> str:
    """Name the package that a module comes with."""
    if module.startswith("azure."):  # which many packages share: each is named after its modules
        names = {name for name in REQUIRED if f"{module}.".startswith(name.replace("-", ".") + ".")}
        return names.pop() if names else module
    (name,) = set(packages_distributions()[module.partition(".")[0]])
    return name


def test_what_is_imported_is_required_and_nothing_else_is() -> None:
    """What only came with another package could leave with its next version."""
    assert {distribution(module) for module in imported_modules()} == REQUIRED
