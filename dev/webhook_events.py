"""Events for a user's own source, made from its mapping.

A mapping is JMESPath, which says where things stand in an event. For expressions of the usual kind
an event can be made from that, also for one item of a list; for others (functions) it cannot.
"""

import time
from collections.abc import Mapping
from typing import Any

import jmespath

_MADE_UP = ("sentAt", "deliveryId", "context")
"""What an event can do without. Where it says nothing about it, something is made up."""
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
        for condition in _conditions(mapping):
            event = _true(_parsed(condition), event)
        if not _lets_through(mapping, event):
            return None
    except _TooHard:
        return None
    for name in _MADE_UP:
        event = _with_made_up(name, mapping, event)
    return event if isinstance(event, dict) else None


def _with_made_up(name: str, mapping: Mapping[str, Any], event: Any) -> Any:  # noqa: ANN401 - JSON
    """Make up what an expression finds, unless that is too hard, or the event's `when` changes."""
    expression = mapping.get(name)
    if not isinstance(expression, str):
        return event
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) if name == "sentAt" else None
    try:
        filled = _filled(_parsed(expression), event, now)
    except _TooHard:
        return event
    return filled if _lets_through(mapping, filled) else event


def _conditions(mapping: Mapping[str, Any]) -> list[str]:
    """Give the conditions of `when`, which may be one or several with names."""
    when = mapping.get("when")
    several = when.values() if isinstance(when, Mapping) else (when,)
    return [condition for condition in several if isinstance(condition, str)]


def _lets_through(mapping: Mapping[str, Any], event: Any) -> bool:  # noqa: ANN401 - JSON
    return all(jmespath.search(condition, event) for condition in _conditions(mapping))


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
            if others:
                _refuse_list(first)
                value = _with({**node, "children": others}, _found(first, event), value)
            return _with(first, event, value)
        case "or_expression" | "flatten":
            return _with(children[0], event, value)
        case "identity":
            return value
        case "projection" | "filter_projection":
            return _with_in_list(node, event, value)
    raise ValueError(node["type"])


def _refuse_list(node: Any) -> None:  # noqa: ANN401 - as above
    """Refuse an expression that finds a whole list, where the next one may look at any item."""
    if node["type"] in ("projection", "filter_projection"):
        raise ValueError(node["type"])


def _with_in_list(node: Any, event: Any, value: object) -> Any:  # noqa: ANN401 - as above
    """Give the event in which a projection finds a value, in the first item that it looks at."""
    among, rest, *conditions = node["children"]
    found = _found(among, event)
    items = found if isinstance(found, list) else []
    fits = [all(_found(condition, item) for condition in conditions) for item in items]
    place = fits.index(True) if True in fits else len(items)
    item = _with(rest, items[place] if place < len(items) else None, value)
    for condition in conditions:
        item = _true(condition, item)
    return _with(among, event, [*items[:place], item, *items[place + 1 :]])


def _filled(node: Any, event: Any, value: str | None) -> Any:  # noqa: ANN401 - as above
    """Give the event in which an expression finds something in each place that it names.

    Args:
        node: The expression.
        event: What the event holds already stays.
        value: What it finds elsewhere; of the place's name by default.
    """
    match node["type"]:
        case "multi_select_list" | "multi_select_dict" | "key_val_pair":
            for child in node["children"]:
                event = _filled(child, event, value)
            return event
        case "subexpression" | "pipe":
            first, *others = node["children"]
            inner = _found(first, event)
            for other in others:
                inner = _filled(other, inner, value)
            return _with(first, event, inner)
        case "field" if _found(node, event) is None:
            return _with(node, event, value or f"{node['value']}-1")
        case "field" | "literal":
            return event
    raise ValueError(node["type"])


def _true(node: Any, event: Any) -> Any:  # noqa: ANN401 - as above
    """Give the event for which a condition holds."""
    return event if _found(node, event) else _changed(node, event)


def _changed(node: Any, event: Any) -> Any:  # noqa: ANN401 - as above
    """Change an event for which a condition does not hold, so that it does."""
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
            return event  # most are true for a missing value
        case "function_expression" if node["value"] == "contains":
            among, place = children
            return _with(place, event, among["value"][0])
    return _with(node, event, value=True)


def _found(node: Any, event: Any) -> Any:  # noqa: ANN401 - as above
    return jmespath.parser.ParsedResult("", node).search(event)
