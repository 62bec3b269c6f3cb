"""The short lists of requirements are exactly the imports."""

import ast
import sys
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
OWN = {"shared", "dev", *sys.stdlib_module_names}


def required(name: str) -> set[str]:
    """Give the packages of a short list, without those of the list that it continues."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {
        line.partition("[")[0].strip().lower()
        for line in lines
        if line and not line.startswith(("#", "-"))
    }


def pins(name: str) -> set[str]:
    """Give the packages of a long list, each with its version."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {line for line in lines if "==" in line}


def imported_modules(paths: Iterable[Path]) -> set[str]:
    """Give what modules import from elsewhere, wherever in them they do."""
    names: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module or "")
    return {name for name in names if name.partition(".")[0] not in OWN}


def distribution(module: str) -> str:
    """Name the package that a module comes with."""
    if module.startswith("azure."):  # which many packages share: each is named after its modules
        names = required("requirements.in")
        found = {name for name in names if f"{module}.".startswith(name.replace("-", ".") + ".")}
        return found.pop() if found else module
    (name,) = set(packages_distributions()[module.partition(".")[0]])
    return name.lower()


def test_the_apps_requirements_are_its_imports() -> None:
    """What only came with another package could leave with its next version."""
    deployed = [ROOT / "function_app.py", *(ROOT / "shared").rglob("*.py")]

    assert {distribution(module) for module in imported_modules(deployed)} == required(
        "requirements.in"
    )


def test_the_local_runs_requirements_are_its_imports() -> None:
    """A demo, the first time, waits for each package."""
    tools = {"layers.py", "demo_picture.py"}  # need the checks' packages
    local_run = [
        path
        for path in (ROOT / "dev").rglob("*.py")
        if path.name not in tools and "node_modules" not in path.parts
    ]

    names = {distribution(module) for module in imported_modules(local_run)}

    assert names - required("requirements.in") == required("dev/requirements-run.in")


def test_each_list_has_the_versions_of_the_one_that_it_continues() -> None:
    """The checks' list includes the local run's, and that the app's."""
    app, run, checks = map(
        pins, ("requirements.txt", "dev/requirements-run.txt", "dev/requirements.txt")
    )

    assert app < run < checks
