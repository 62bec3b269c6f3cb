"""The part of Power Automate's expression language that docs/power-automate.md uses.

It is as strict as the platform: a function refuses an argument of another type, and a
member of null is an error unless `?` stands before it. Source:
https://learn.microsoft.com/azure/logic-apps/expression-functions-reference
"""

import ast
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

_SAFE = "_safe"
RUN = "08584620957189579629541919368CU00"
"""A run's name: digits and capital letters."""


class ExpressionFailed(Exception):
    """The platform would end the step with an error."""


def evaluate(
    expression: str,
    *,
    trigger: Any = None,  # noqa: ANN401 - JSON is anything
    item: Any = None,  # noqa: ANN401
    bodies: Mapping[str, Any] | None = None,
    outputs: Mapping[str, Any] | None = None,
) -> Any:  # noqa: ANN401
    """Give the expression's value.

    Args:
        expression: the text to paste.
        trigger: the trigger's body.
        item: the element of the list that Select or Apply to each has come to.
        bodies: each step's body, by the step's name.
        outputs: each step's outputs, such as those of Compose.

    Raises:
        ExpressionFailed: if the platform would refuse to evaluate it.
        SyntaxError: if it is no expression.
    """
    functions: dict[str, Callable[..., Any]] = {
        **_FUNCTIONS,
        "triggerBody": lambda: trigger,
        "triggerOutputs": lambda: {"body": trigger},
        "item": lambda: item,
        "workflow": lambda: {"run": {"name": RUN}},
        "body": lambda name: (bodies or {})[name],
        "outputs": lambda name: (outputs or {})[name],
    }
    text = re.sub(r"\b(and|not)\(", r"\1_(", expression.strip()).replace("?[", f"[{_SAFE}, ")
    return _value(ast.parse(text, mode="eval").body, functions)


def _value(node: ast.expr, functions: Mapping[str, Callable[..., Any]]) -> Any:  # noqa: ANN401
    match node:
        case ast.Constant(value=str() | int() as value):
            return value
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            if name not in functions:
                message = f"no function {name}"
                raise ExpressionFailed(message)
            return functions[name](*(_value(argument, functions) for argument in arguments))
        case ast.Subscript(value=of, slice=ast.Tuple(elts=[ast.Name(id=marker), key])):
            assert marker == _SAFE
            value = _value(of, functions)
            return None if value is None else _member(value, _value(key, functions))
        case ast.Subscript(value=of, slice=key):
            return _member(_value(of, functions), _value(key, functions))
    raise SyntaxError(ast.dump(node))


def _member(value: Any, key: object) -> Any:  # noqa: ANN401
    if isinstance(value, dict) and isinstance(key, str):
        name, _, rest = key.partition("/")  # as in triggerOutputs()?['body/Id']
        inner = value.get(name)
        return _member(inner, rest) if rest and inner is not None else inner
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    message = f"{key!r} of {type(value).__name__}"
    raise ExpressionFailed(message)


def _of(types: type | tuple[type, ...], *values: object) -> None:
    for value in values:
        if not isinstance(value, types):
            message = f"an argument is {type(value).__name__}"
            raise ExpressionFailed(message)


def _first(values: Any) -> Any:  # noqa: ANN401
    _of((list, str), values)
    return values[0] if values else None


def _ends_with(text: Any, end: Any) -> bool:  # noqa: ANN401
    _of(str, text, end)
    return bool(text.lower().endswith(end.lower()))


def _and(*values: Any) -> bool:  # noqa: ANN401
    _of(bool, *values)
    return all(values)


def _not(value: Any) -> bool:  # noqa: ANN401
    _of(bool, value)
    return not value


def _empty(value: Any) -> bool:  # noqa: ANN401
    _of((str, list, dict, type(None)), value)
    return not value


def _set_property(of: Any, name: Any, value: Any) -> Any:  # noqa: ANN401
    _of(dict, of)
    return {**of, name: value}


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and_": _and,
    "coalesce": lambda *values: next((value for value in values if value is not None), None),
    "empty": _empty,
    "endsWith": _ends_with,
    "equals": lambda one, other: one == other,
    "first": _first,
    "json": json.loads,
    "not_": _not,
    "setProperty": _set_property,
    "string": lambda value: value if isinstance(value, str) else json.dumps(value),
}
