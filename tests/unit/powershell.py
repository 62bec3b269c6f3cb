"""Reads PowerShell, which is on few of the machines that run these tests.

What the script does is Pester's to try: scripts/grant-teams-access-policy.Tests.ps1, in CI.
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
        """Where it is not PowerShell."""
        return [
            f"line {node.start_point.row + 1}: {text(node)[:60]}"
            for node in nodes(self.tree)
            if node.type == "ERROR" or node.is_missing
        ]

    def commands(self) -> Iterator[tuple[str, set[str]]]:
        """Every call of a command: its name and its parameters."""
        for node in nodes(self.tree):
            name = node.child_by_field_name("command_name") if node.type == "command" else None
            if name is not None:
                inside = nodes(node)
                yield text(name), {text(one) for one in inside if one.type == "command_parameter"}


def nodes(node: Node) -> Iterator[Node]:
    """A node and all that is beneath it."""
    yield node
    for child in node.children:
        yield from nodes(child)


def text(node: Node) -> str:
    """What stands there."""
    return (node.text or b"").decode()
