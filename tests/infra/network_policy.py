"""The hardened variant's network: large enough for all instances, and it can be deployed again."""

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path

from tests.infra.snapshots import NETWORK, SITE, Resource, Snapshot

SUBNET = f"{NETWORK}/subnets"
# Azure keeps the first four addresses of a subnet and its last.
RESERVED = 5


def function_groups() -> int:
    """Count the groups that Flex Consumption scales: all HTTP routes, and each queue trigger."""
    app = (Path(__file__).parents[2] / "function_app.py").read_text(encoding="utf-8")
    return 1 + len(re.findall(r"@app\.queue_trigger\(", app))


def subnets_suit_flex_consumption(snapshot: Snapshot) -> Iterator[str]:
    """The app's subnet is delegated to it and reaches Microsoft Graph. Its name is allowed."""
    for subnet in _subnets(snapshot):
        if "_" in subnet["name"]:
            yield f"Flex Consumption refuses the underscore of {subnet['name']}"
    for subnet in _app_subnets(snapshot):
        services = [one["properties"]["serviceName"] for one in subnet["properties"]["delegations"]]
        if services != ["Microsoft.App/environments"]:
            yield f"{subnet['name']} is delegated to {services}"
        # The default of a missing value may change with the API version.
        if subnet["properties"].get("defaultOutboundAccess") is not True:
            yield f"nothing in {subnet['name']} can call Microsoft Graph"


def the_subnet_holds_every_instance(snapshot: Snapshot) -> Iterator[str]:
    """Each function group may have all its instances, and each needs an address."""
    configuration = snapshot.one(SITE)["properties"]["functionAppConfig"]
    instances = configuration["scaleAndConcurrency"]["maximumInstanceCount"] * function_groups()
    for subnet in _app_subnets(snapshot):
        prefix = ipaddress.IPv4Network(subnet["properties"]["addressPrefix"])
        if prefix.num_addresses - RESERVED < instances:
            yield f"{subnet['name']} has too few addresses for {instances} instances"


def subnets_are_written_in_their_network(snapshot: Snapshot) -> Iterator[str]:
    """Otherwise a second deployment would ask Azure to remove subnets that are in use."""
    for subnet in snapshot.of_type(SUBNET):
        yield f"{subnet['name']} is a separate resource"
    for network in snapshot.of_type(NETWORK):
        spaces = map(
            ipaddress.IPv4Network, network["properties"]["addressSpace"]["addressPrefixes"]
        )
        taken = [
            ipaddress.IPv4Network(subnet["properties"]["addressPrefix"])
            for subnet in network["properties"]["subnets"]
        ]
        (space,) = spaces
        if any(not one.subnet_of(space) for one in taken):
            yield f"a subnet lies outside {space}"
        if len(list(ipaddress.collapse_addresses(taken))) != len(taken):
            yield "two subnets overlap"


def _subnets(snapshot: Snapshot) -> list[Resource]:
    return [
        subnet
        for network in snapshot.of_type(NETWORK)
        for subnet in network["properties"].get("subnets", ())
    ]


def _app_subnets(snapshot: Snapshot) -> list[Resource]:
    chosen = snapshot.one(SITE)["properties"].get("virtualNetworkSubnetId") or ""
    return [one for one in _subnets(snapshot) if one["name"] == chosen.rpartition("/")[2]]
