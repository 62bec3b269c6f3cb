"""What is said where no Bicep compiler is."""

import pytest

from tests.infra import compiler

MISSING = pytest.mark.skip(
    reason="No Bicep compiler (put `bicep` on PATH, or run `az bicep install`), so not checked:"
    " that infra/ builds, lints and is formatted, and that its snapshots are fresh."
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a compiler; marked here and not one by one, pytest says so in one line."""
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
