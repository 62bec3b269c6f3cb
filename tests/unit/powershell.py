"""Reads PowerShell, and runs functions that do nothing but decide.

PowerShell itself is on few of the machines that run these tests. A function of nothing but
`if (…) { return '…' }` over its parameters can be run from its syntax tree; whatever else stands
in it ends in an error, so that it stays as simple.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

_LANGUAGE = Language(tree_sitter_powershell.language())

type Value = str | bool | Sequence[str]


class BeyondReach(Exception):
    """Something that only PowerShell understands."""


class Script:
    """A script's syntax tree."""

    def __init__(self, path: Path) -> None:
        self.tree = Parser(_LANGUAGE).parse(path.read_bytes()).root_node

    def faults(self) -> list[str]:
        """Where it is not PowerShell."""
        return [
            f"line {node.start_point.row + 1}: {text(node)[:60]}"
            for node in nodes(self.tree)
            if node.type == "ERROR" or node.is_missing
        ]

    def function(self, name: str) -> Node:
        """Find a function by its name."""
        (found,) = [
            node
            for node in nodes(self.tree)
            if node.type == "function_statement" and text(_child(node, "function_name")) == name
        ]
        return found

    def commands(self) -> Iterator[tuple[str, Node]]:
        """Every call of a command: its name and its node."""
        for node in nodes(self.tree):
            if node.type == "command":
                name = node.child_by_field_name("command_name")
                if name is not None:
                    yield text(name), node

    def decide(self, name: str, arguments: Mapping[str, Value]) -> str:
        """Run a function that only decides.

        Raises:
            BeyondReach: It does something else as well.
        """
        body = _child(_child(self.function(name), "script_block"), "script_block_body")
        result = _run(_child(body, "statement_list"), arguments)
        if result is None:
            raise BeyondReach("the function returns nothing")
        return result


def nodes(node: Node) -> Iterator[Node]:
    """A node and all that is beneath it."""
    yield node
    for child in node.children:
        yield from nodes(child)


def text(node: Node) -> str:
    """What stands there."""
    return (node.text or b"").decode()


def _child(node: Node, kind: str) -> Node:
    return next(child for child in node.named_children if child.type == kind)


def _run(statements: Node, variables: Mapping[str, Value]) -> str | None:
    for statement in statements.named_children:
        match statement.type:
            case "if_statement":
                condition = statement.child_by_field_name("condition")
                if condition is None or len(statement.named_children) != 2:
                    raise BeyondReach(text(statement))
                block = _child(statement, "statement_block")
                if _truth(_evaluate(condition, variables)):
                    result = _run(_child(block, "statement_list"), variables)
                    if result is not None:
                        return result
            case "flow_control_statement" if text(statement).startswith("return "):
                value = _evaluate(statement.named_children[0], variables)
                if isinstance(value, str):
                    return value
                raise BeyondReach(text(statement))
            case _:
                raise BeyondReach(text(statement))
    return None


def _evaluate(node: Node, variables: Mapping[str, Value]) -> Value:
    if node.type == "variable":
        return variables[text(node).removeprefix("$")]
    if node.type == "string_literal" and text(node).startswith("'"):
        return text(node).strip("'")
    if node.type == "comparison_expression" and len(node.named_children) == 3:
        left, operator, right = node.named_children
        return _compare(_evaluate(left, variables), text(operator), _evaluate(right, variables))
    # The grammar nests every expression in one node for each precedence.
    if len(node.children) == 1:
        return _evaluate(node.children[0], variables)
    raise BeyondReach(text(node))


def _compare(left: Value, operator: str, right: Value) -> bool:
    if not isinstance(right, str):
        raise BeyondReach(operator)
    match operator, left:
        case "-eq", str():
            return left.lower() == right.lower()
        case "-contains", list() | tuple():
            return right.lower() in [one.lower() for one in left]
        case _:
            raise BeyondReach(operator)


def _truth(value: Value) -> bool:
    if isinstance(value, bool | str):
        return bool(value)
    # A list of one is true when its one is; of several, always.
    return len(value) > 1 or bool(value and value[0])
