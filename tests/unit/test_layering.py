"""Which module may import which, and what is not imported before it is needed."""

import ast
import json
import os
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = ROOT / "shared"
FILES = sorted(SHARED.rglob("*.py"))
LAYERS = {
    "resolver": 3,
    "sources": 3,
    "messages": 3,
    "diagnostics": 3,
    "graph": 2,
    "secret_store": 2,
    "queues": 2,
    "identity": 2,
    "errors": 1,
    "settings": 1,
}
"""The layers of the design; `function_app` is above them."""


def imports(file: Path) -> set[str]:
    """Give the full names of the modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def part_of(file: Path) -> str:
    """Give the module or package of `shared` that a file is, or belongs to."""
    return file.relative_to(SHARED).parts[0].removesuffix(".py")


def imports_within_shared() -> dict[str, set[str]]:
    """Give what each module or package of `shared` imports of the others."""
    found: dict[str, set[str]] = {part_of(file): set() for file in FILES}
    for file in FILES:
        names = {name.split(".")[1] for name in imports(file) if name.startswith("shared.")}
        found[part_of(file)] |= names & found.keys() - {part_of(file)}
    return found


GRAPH = imports_within_shared()


def reachable(name: str) -> set[str]:
    """Give all that a module imports, directly or by others."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        new = GRAPH[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def test_imports_go_round_in_no_circle() -> None:
    """A module can be read after those that it stands on."""
    TopologicalSorter(GRAPH).prepare()


@pytest.mark.parametrize("name", sorted(LAYERS.keys() & GRAPH.keys()))
def test_imports_point_one_way(name: str) -> None:
    """From the use cases to the ways out, from there to errors and settings."""
    layer = LAYERS[name]
    assert {other for other in reachable(name) if LAYERS.get(other, 0) > layer} == set()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_shared_imports_neither_the_triggers_nor_the_local_run(file: Path) -> None:
    """It can be used without Functions, and is deployed without `dev`."""
    tops = {name.split(".")[0] for name in imports(file)}
    assert tops.isdisjoint({"dev", "tests", "function_app"})
    assert not any(name.startswith("azure.functions") for name in imports(file))


def test_the_local_run_imports_nothing_of_shared() -> None:
    """A stand-in that shares code with what it stands in for proves nothing."""
    sources = [*(ROOT / "dev").glob("*.py"), *(ROOT / "dev").glob("[!n]*/**/*.py"), ROOT / "dev.py"]
    guilty = [
        str(file.relative_to(ROOT))
        for file in sources
        if any(name.split(".")[0] in ("shared", "function_app") for name in imports(file))
    ]
    assert len(sources) > 10
    assert guilty == []


@pytest.mark.parametrize("file", [*FILES, ROOT / "function_app.py"], ids=lambda file: file.stem)
def test_a_module_is_short_enough_to_be_read_in_one_go(file: Path) -> None:
    """Three hundred lines at most, but for the list of errors: a class for each code."""
    most = 350 if file == SHARED / "errors.py" else 300
    assert len(file.read_text().splitlines()) <= most


DEAR = (
    "azure.storage",
    "azure.keyvault",
    "jwt",
    "jmespath",
    "shared.diagnostics",
    "shared.queue_processing",
    "shared.secret_store",
    "shared.signatures",
    "shared.sources",
    "shared.webhooks",
    "dev",
)
LOAD = """
import json, sys
import function_app
print(json.dumps(sorted(sys.modules)))
"""


@cache
def loaded() -> list[str]:
    """What has been imported when the app is loaded."""
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", LOAD],
        check=True,
        capture_output=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, "AzureWebJobsStorage": "UseDevelopmentStorage=true"},
    )
    names: list[str] = json.loads(done.stdout)
    return names


def test_loading_the_app_imports_nothing_that_the_first_request_may_not_need() -> None:
    """Cold start counts: these come when they are first needed."""
    assert "shared.resolver" in loaded()
    assert [name for name in loaded() if name.startswith(DEAR)] == []


def test_loading_the_app_imports_no_more_than_it_did() -> None:
    """Of its own and in all; some room is left for the packages' next versions."""
    assert sum(name.partition(".")[0] == "shared" for name in loaded()) <= 32
    assert len(loaded()) <= 720
