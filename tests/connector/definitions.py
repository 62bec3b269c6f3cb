"""The connector's files, and iterators over them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "connector"


def read(name: str) -> Any:  # noqa: ANN401 - JSON is anything
    """Read one of the files."""
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def operations(definition: Any) -> Iterator[tuple[str, str, Any]]:  # noqa: ANN401
    """Give each operation with its path and method."""
    for path, methods in definition["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def nodes(value: Any) -> Iterator[Any]:  # noqa: ANN401
    """Give all objects and lists in a value, and the value itself."""
    yield value
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from nodes(inner)


def named_properties(definition: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Give all properties of all schemas with their names."""
    for node in nodes(definition):
        if isinstance(node, dict) and isinstance(node.get("properties"), dict):
            yield from node["properties"].items()


def resolved(definition: Any, schema: Any) -> Any:  # noqa: ANN401
    """Give the target of a reference, or the schema itself."""
    reference: str | None = schema.get("$ref")
    return schema if reference is None else definition["definitions"][reference.split("/")[-1]]


def success_schema(definition: Any, operation: Any) -> Any:  # noqa: ANN401
    """Give the schema of an operation's success."""
    return resolved(definition, operation["responses"]["200"]["schema"])
