"""Finds the function for a request, by ASP.NET's route templates as the Functions host reads them.

Source: "Routing in ASP.NET Core", route templates, constraints and precedence.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from dev.host.errors import HostError
from dev.host.functions import HTTP_TRIGGER, Function

PARAMETER = re.compile(r"\{(?P<rest>\*{0,2})(?P<name>\w+)(?::(?P<rule>\w+))?(?P<optional>\?)?\}")
CONSTRAINTS = {
    None: r"[^/]+",
    "alpha": r"[a-z]+",
    "bool": r"true|false",
    "guid": r"\{?[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\}?",
    "int": r"-?[0-9]{1,10}",
    "long": r"-?[0-9]{1,19}",
}
LITERAL, CONSTRAINED, FREE, REST = range(4)


@dataclass(frozen=True, kw_only=True)
class Route:
    """The route of one function.

    Attributes:
        function: The function.
        template: The whole template, including the prefix.
        pattern: The pattern of a decoded path.
        methods: The HTTP methods in capitals; empty for all methods.
        precedence: Routes with a smaller value are tried first.
    """

    function: Function
    template: str
    pattern: re.Pattern[str]
    methods: frozenset[str]
    precedence: tuple[int, ...]


class RouteTable:
    """The routes of an app, most specific first."""

    def __init__(self, *, functions: Sequence[Function], prefix: str) -> None:
        """Read the routes of all functions that have one.

        Raises:
            HostError: A template has a part that this host does not support.
        """
        routes = [
            _route(function, prefix)
            for function in functions
            if function.trigger_type == HTTP_TRIGGER
        ]
        self.routes: Sequence[Route] = sorted(routes, key=lambda route: route.precedence)

    def find(self, *, method: str, path: str) -> tuple[Function, Mapping[str, str]] | None:
        """Find the function for a request, and the parameters in its path.

        Args:
            method: The method, in capitals.
            path: The path as it was sent, still percent-encoded.
        """
        decoded = _decode(path)
        for route in self.routes:
            match = route.pattern.fullmatch(decoded)
            if match and (not route.methods or method in route.methods):
                return route.function, {k: v for k, v in match.groupdict().items() if v}
        return None


def _decode(path: str) -> str:
    """Undo percent-encoding as Kestrel does: an encoded slash stays encoded."""
    parts = re.split("(%2f)", path, flags=re.IGNORECASE)
    return "".join(part if part.lower() == "%2f" else unquote(part) for part in parts)


def _route(function: Function, prefix: str) -> Route:
    binding = function.trigger
    template = "/".join(
        part.strip("/") for part in (prefix, binding.get("route") or function.name) if part
    )
    pattern, precedence = "", []
    for segment in template.split("/"):
        expression, rank = _segment(segment, template)
        # With an optional parameter, the slash before it is optional as well.
        optional = segment.endswith("?}") or rank == REST
        pattern += f"(?:/{expression})?" if optional else f"/{expression}"
        precedence.append(rank)
    return Route(
        function=function,
        template=template,
        pattern=re.compile(f"{pattern}/?", re.IGNORECASE | re.DOTALL),
        methods=frozenset(str(method).upper() for method in binding.get("methods") or ()),
        precedence=tuple(precedence),
    )


def _segment(segment: str, template: str) -> tuple[str, int]:
    expression, rank, end = "", LITERAL, 0
    for match in PARAMETER.finditer(segment):
        literal, end = segment[end : match.start()], match.end()
        rule = match["rule"]
        if rule not in CONSTRAINTS:
            raise HostError(f"Route {template!r}: this host does not know the constraint {rule!r}.")
        value = ".*" if match["rest"] else CONSTRAINTS[rule]
        expression += f"{re.escape(literal)}(?P<{match['name']}>{value})"
        rank = max(rank, REST if match["rest"] else CONSTRAINED if rule else FREE)
    if "{" in segment[end:]:
        raise HostError(f"Route {template!r}: this host cannot read {segment[end:]!r}.")
    return expression + re.escape(segment[end:]), rank
