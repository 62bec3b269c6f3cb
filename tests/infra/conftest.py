"""The tests that need a Bicep compiler are skipped without one."""

from pathlib import Path

import pytest

from tests.infra import compiler
from tests.infra.graph_snapshots import copy_with_extension

MISSING = pytest.mark.skip(
    reason="No Bicep compiler (put `bicep` on PATH, or run `az bicep install`), so not checked:"
    " that infra/ builds, lints and is formatted, and that its snapshots are fresh."
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that need a compiler, all with one message."""
    if compiler.find() is None:
        for item in items:
            if "bicep" in getattr(item, "fixturenames", ()):
                item.add_marker(MISSING)


@pytest.fixture(scope="session")
def bicep() -> compiler.Compiler:
    """The compiler."""
    found = compiler.find()
    assert found is not None
    return found


@pytest.fixture
def graph_folder(bicep: compiler.Compiler, tmp_path: Path) -> Path:
    """A copy of infra/graph with the Graph extension."""
    folder = copy_with_extension(tmp_path)
    bicep.run("restore", folder / "main.bicep")
    if "BCP190" in bicep.run("lint", folder / "main.bicep", "--no-restore").complaints:
        pytest.skip(
            "The Graph extension cannot be downloaded (go online once, or set"
            " BICEP_GRAPH_EXTENSION to its package), so not checked: that"
            " infra/graph builds and lints."
        )
    return folder
