"""Networks that the app cannot use, that are too small, or that a second deployment removes."""

from tests.infra import network_policy as policy
from tests.infra.breaks import Break, put, repeat
from tests.infra.snapshots import NETWORK, SITE

BREAKS = (
    Break(
        policy.subnets_suit_flex_consumption,
        "an underscore in a subnet's name",
        put(NETWORK, "properties.subnets.1.name", "private_endpoints"),
        "vnet",
    ),
    Break(
        policy.subnets_suit_flex_consumption,
        "delegated to another service",
        put(
            NETWORK,
            "properties.subnets.0.properties.delegations.0.properties.serviceName",
            "Microsoft.Web/serverFarms",
        ),
        "vnet",
    ),
    *(
        Break(
            policy.subnets_suit_flex_consumption,
            f"defaultOutboundAccess {value}",
            put(NETWORK, "properties.subnets.0.properties.defaultOutboundAccess", value),
            "vnet",
        )
        for value in (None, False)
    ),
    Break(
        policy.the_subnet_holds_every_instance,
        "a small subnet",
        put(NETWORK, "properties.subnets.0.properties.addressPrefix", "10.20.0.0/26"),
        "vnet",
    ),
    Break(
        policy.the_subnet_holds_every_instance,
        "more instances",
        put(
            SITE,
            "properties.functionAppConfig.scaleAndConcurrency.maximumInstanceCount",
            8188,
        ),
        "everything",
    ),
    Break(
        policy.subnets_are_written_in_their_network,
        "a subnet as a separate resource",
        repeat(NETWORK, type=policy.SUBNET, name="vnet/app"),
        "vnet",
    ),
    Break(
        policy.subnets_are_written_in_their_network,
        "a subnet outside the network",
        put(NETWORK, "properties.addressSpace.addressPrefixes", ["10.99.0.0/18"]),
        "vnet",
    ),
    Break(
        policy.subnets_are_written_in_their_network,
        "one subnet within another",
        put(NETWORK, "properties.subnets.1.properties.addressPrefix", "10.20.1.0/27"),
        "vnet",
    ),
)
