"""Parses PowerShell scripts without PowerShell, which few machines have.

Pester tests the script's behaviour in CI: scripts/grant-teams-access-policy.Tests.ps1.
"""

from collections.abc import Iterator
from pathlib import Path

import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

_LANGUAGE = Language(tree_sitter_powershell.language())


class Script:
    """A script's syntax tree."""

    def __init__(self, source: bytes) -> None:
        self.tree = Parser(_LANGUAGE).parse(source).root_node

    @classmethod
    def read(cls, path: Path) -> "Script":
        """Read a file."""
        return cls(path.read_bytes())

    def faults(self) -> list[str]:
        """The syntax errors."""
        return [
            f"line {node.start_point.row + 1}: {text(node)[:60]}"
            for node in nodes(self.tree)
            if node.type == "ERROR" or node.is_missing
        ]

    def commands(self) -> Iterator[tuple[str, set[str]]]:
        """All calls of commands: name and parameters."""
        for node in nodes(self.tree):
            name = node.child_by_field_name("command_name") if node.type == "command" else None
            if name is not None:
                inside = nodes(node)
                yield text(name), {text(one) for one in inside if one.type == "command_parameter"}


def nodes(node: Node) -> Iterator[Node]:
    """A node and all nodes below it."""
    yield node
    for child in node.children:
        yield from nodes(child)


def text(node: Node) -> str:
    """The node's text."""
    return (node.text or b"").decode()
