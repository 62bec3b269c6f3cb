"""docs/openapi.yaml: valid, and of the same routes and codes as the app."""

from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from openapi_spec_validator.readers import read_from_filename

from shared.core.errors import CODES, NotDelivered
from tests.worker.test_functions import ROUTES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def document() -> Any:  # noqa: ANN401 - YAML is anything
    """The document."""
    document, _ = read_from_filename(str(ROOT / "docs" / "openapi.yaml"))
    return document


def test_it_is_openapi_3_1_by_an_independent_validator(document: Any) -> None:  # noqa: ANN401
    """Structure and references."""
    assert document["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_it_tells_every_route_and_no_other(document: Any) -> None:  # noqa: ANN401
    """Those that the real worker finds in the app: tests/worker/test_functions.py."""
    told = {
        (path.strip("/"), method.upper())
        for path, item in document["paths"].items()
        for method in item
    }

    assert told == {(route, method) for route, methods, _ in ROUTES.values() for method in methods}


def test_it_says_which_routes_ask_for_no_key(document: Any) -> None:  # noqa: ANN401
    """The others ask for a function key, or for a token."""
    without = {
        (path.strip("/"), method.upper())
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if operation.get("security") == []
    }

    assert without == {
        (route, method)
        for route, methods, level in ROUTES.values()
        for method in methods
        if level == "ANONYMOUS"
    }


def test_it_tells_every_code(document: Any) -> None:  # noqa: ANN401
    """What a problem can say."""
    assert document["components"]["schemas"]["Code"]["enum"] == sorted(
        code for code, error in CODES.items() if not issubclass(error, NotDelivered)
    )
