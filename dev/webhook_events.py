"""What a booking system of somebody's own would post: an event that its mapping understands.

A mapping is JMESPath, which says where things stand in an event. For expressions of the usual kind
an event can be made from that; for others (functions, filters, projections) it cannot.
"""

from collections.abc import Mapping
from typing import Any

import jmespath

_TooHard = (KeyError, IndexError, TypeError, ValueError)  # what an unusual expression ends in


def event_for(
    mapping: Mapping[str, Any], values: Mapping[str, str], *, base: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Make an event in which a mapping finds a meeting, and which its `when` lets through.

    Args:
        mapping: Expressions by the name of what they find, or None.
        values: What they are to find.
        base: The event of the preset that the mapping changes; empty without one.

    Returns:
        The event, or None where an expression is of a kind that cannot be worked back.
    """
    event: Any = dict(base)
    try:
        for name, value in values.items():
            if isinstance(expression := mapping.get(name), str):
                event = _with(_parsed(expression), event, value)
        if isinstance(when := mapping.get("when"), str):
            event = _true(_parsed(when), event)
            if not jmespath.search(when, event):
                return None
    except _TooHard:
        return None
    return event if isinstance(event, dict) else None


def _parsed(expression: str) -> Any:  # noqa: ANN401 - jmespath's trees are dicts of anything
    return jmespath.compile(expression).parsed


def _with(node: Any, event: Any, value: object) -> Any:  # noqa: ANN401 - as above, and JSON
    """Give the event in which an expression finds a value."""
    children = node["children"]
    match node["type"]:
        case "field":
            return {**(event or {}), node["value"]: value}
        case "index":
            return [*[None] * node["value"], value]
        case "subexpression" | "index_expression" | "pipe":
            first, *others = children
            if not others:
                return _with(first, event, value)
            inner = _found(first, event)
            rest = {**node, "children": others}
            return _with(first, event, _with(rest, inner, value))
        case "or_expression":
            return _with(children[0], event, value)
    raise ValueError(node["type"])


def _true(node: Any, event: Any) -> Any:  # noqa: ANN401 - as above
    """Give the event for which a condition holds."""
    children = node["children"]
    match node["type"]:
        case "and_expression":
            return _true(children[1], _true(children[0], event))
        case "or_expression":
            return _true(children[0], event)
        case "comparator" if node["value"] == "eq":
            place, literal = sorted(children, key=lambda child: child["type"] == "literal")
            return _with(place, event, literal["value"])
        case "comparator" | "not_expression":
            return event  # most hold for what is not there
        case "function_expression" if node["value"] == "contains":
            among, place = children
            return _with(place, event, among["value"][0])
    return event if _found(node, event) else _with(node, event, value=True)


def _found(node: Any, event: Any) -> Any:  # noqa: ANN401 - as above
    return jmespath.parser.ParsedResult("", node).search(event)
