"""Names that Azure accepts, and the tags that identify resources."""

import re
from collections import Counter
from collections.abc import Iterator

from tests.infra.snapshots import (
    ACTION_GROUP,
    COMPONENT,
    GROUP,
    IDENTITY,
    NETWORK,
    PLAN,
    PRIVATE_ENDPOINT,
    RULE,
    SITE,
    STORAGE,
    VAULT,
    WORKBOOK,
    WORKSPACE,
    Snapshot,
)

# https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
NAMES = {
    GROUP: r"[-\w.()]{0,89}[-\w()]",
    IDENTITY: r"[A-Za-z0-9][-\w]{2,127}",
    WORKSPACE: r"[A-Za-z0-9][-A-Za-z0-9]{2,61}[A-Za-z0-9]",
    COMPONENT: r"[-\w.()]{0,259}[-\w()]",
    STORAGE: r"[a-z0-9]{3,24}",
    VAULT: r"[A-Za-z](?!.*--)[-A-Za-z0-9]{1,22}[A-Za-z0-9]",
    NETWORK: r"[A-Za-z0-9][-\w.]{0,62}\w",
    PRIVATE_ENDPOINT: r"[A-Za-z0-9][-\w.]{0,62}\w",
    PLAN: r"[-A-Za-z0-9]{1,60}",
    SITE: r"[A-Za-z0-9][-A-Za-z0-9]{0,58}[A-Za-z0-9]",
    ACTION_GROUP: r"[^:<>+/&%\\?|]{0,259}[^:<>+/&%\\?| .]",
    RULE: r"[^*<>%{}&:\\?/#|]{0,259}[^*<>%{}&:\\?/#| .]",
    WORKBOOK: r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
}


def names_are_within_limits(snapshot: Snapshot) -> Iterator[str]:
    """Azure accepts each name, for each length of the environment's. No name is a default."""
    for resource in snapshot.resources:
        pattern = NAMES.get(resource["type"])
        if pattern and not re.fullmatch(pattern, resource["name"]):
            yield f"{resource['type']} cannot be called {resource['name']}"
    for kind in NAMES:
        names = [resource["name"] for resource in snapshot.of_type(kind)]
        if len(names) != len(set(names)):
            yield f"two {kind} have one name"


def no_id_is_defined_twice(snapshot: Snapshot) -> Iterator[str]:
    """Azure refuses a template that defines a resource twice. The compiler accepts it."""
    counts = Counter(resource["id"].lower() for resource in snapshot.resources)
    for identifier, count in counts.items():
        if count > 1:
            yield f"{identifier} is defined {count} times"


def everything_is_tagged(snapshot: Snapshot) -> Iterator[str]:
    """Each resource with tags names its environment. azd finds the app by its tag."""
    for resource in snapshot.resources:
        tags = resource.get("tags", {})
        if "location" in resource and tags.get("azd-env-name") != (
            snapshot.parameters.environment_name
        ):
            yield f"{resource['name']} does not name its environment"
    if snapshot.one(SITE)["tags"].get("azd-service-name") != "api":
        yield "azd does not find the app"
