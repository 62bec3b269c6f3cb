"""Snapshots with one error each, to prove that each policy can fail."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.infra.policies import Policy
from tests.infra.snapshots import CONFIG

Resources = list[dict[str, Any]]
Change = Callable[[Resources], None]


@dataclass(frozen=True)
class Break:
    """One error of a deployment, and the policy that must find it."""

    policy: Policy
    what: str
    change: Change
    variant: str = "default"


def find(resources: Resources, kind: str, name: str = "") -> dict[str, Any]:
    """Return the first resource of a type whose name matches."""
    return next(
        resource
        for resource in resources
        if resource["type"] == kind and re.search(name, resource["name"])
    )


def put(kind: str, path: str, value: object, name: str = "") -> Change:
    """Set one value, by the dotted path to it, in one resource."""

    def change(resources: Resources) -> None:
        *folders, last = path.split(".")
        target: Any = find(resources, kind, name)
        for folder in folders:
            target = target[int(folder) if folder.isdigit() else folder]
        target[last] = value

    return change


def drop(kind: str, name: str = "") -> Change:
    """Remove one resource."""
    return lambda resources: resources.remove(find(resources, kind, name))


def repeat(kind: str, **members: object) -> Change:
    """Add a copy of a resource with some members changed."""
    return lambda resources: resources.append({**find(resources, kind), **members})


def setting(name: str, value: object = None) -> Change:
    """Change or remove an app setting."""

    def change(resources: Resources) -> None:
        properties = find(resources, CONFIG, "/appsettings")["properties"]
        properties[name] = value
        if value is None:
            del properties[name]

    return change


def replace(kind: str, old: str, new: str) -> Change:
    """Replace a text in the resources of one type."""

    def change(resources: Resources) -> None:
        for index, resource in enumerate(resources):
            if resource["type"] == kind:
                text = json.dumps(resource)
                resources[index] = json.loads(text.replace(old, new))

    return change


def quoted(text: str) -> str:
    """Quote a text as in the JSON of a snapshot's resource."""
    return json.dumps(text)[1:-1]


def quoted_twice(text: str) -> str:
    """Quote a text as in the workbook's JSON inside the snapshot's."""
    return quoted(quoted(text))
