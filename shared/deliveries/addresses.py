"""Checks the IP address that a delivery goes to.

A destination's host name may lead anywhere, and its owner can change it at any time: to the app's
own network, to the endpoint that gives out tokens, to Azure's agents. So the address is checked,
not the name.
"""

import ipaddress
from ipaddress import IPv4Address, IPv6Address

_LOOPBACK = ipaddress.ip_address("::1")
_WIRE_SERVER = ipaddress.ip_address("168.63.129.16")
"""The address of Azure's agents, which is reachable from each virtual machine.

Source: https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16"""
_EMBEDDING = tuple(
    ipaddress.ip_network(network)
    for network in (
        "::/96",  # IPv4-compatible, RFC 4291
        "64:ff9b::/96",  # NAT64, RFC 6052
        "::ffff:0:0:0/96",  # IPv4-translated, RFC 2765
    )
)
"""IPv6 networks whose addresses end with an IPv4 address."""
_NEVER = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",  # this host, RFC 1122
        "169.254.0.0/16",  # link-local: the identity endpoint and the metadata service
        "192.88.99.0/24",  # the relay of 6to4, RFC 7526
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and the broadcast address
        "fe80::/10",  # link-local
        "fec0::/10",  # site-local, RFC 3879
        "ff00::/8",  # multicast
    )
)
_PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",  # shared address space, RFC 6598: some virtual networks use it
        "127.0.0.0/8",
        "::1/128",
        "fc00::/7",
    )
)


class AddressNotAllowed(Exception):
    """No delivery may go to this address. The text does not hold the address."""


def check_address(text: str, *, private: bool) -> None:
    """Check that a delivery may go to an address.

    Args:
        text: an IPv4 or IPv6 address, as `socket.getaddrinfo` and `getpeername` give it.
        private: whether the destination may be in a private network or on this machine.

    Raises:
        AddressNotAllowed: if a delivery may not go there, or the text is not an address.
    """
    try:
        address = _unwrapped(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        raise AddressNotAllowed("The name leads to something that is no address.") from None
    if address == _WIRE_SERVER or any(address in network for network in _NEVER):
        raise AddressNotAllowed("The name leads to an address that is never allowed.")
    if any(address in network for network in _PRIVATE):
        if not private:
            raise AddressNotAllowed("The name leads to a private address.")
    elif not address.is_global:
        raise AddressNotAllowed("The name leads to an address that is not public.")


def is_loopback(text: str) -> bool:
    """Say whether an address is this machine's own."""
    return _unwrapped(ipaddress.ip_address(text.partition("%")[0])).is_loopback


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Give the IPv4 address inside an IPv6 address, if there is one."""
    if isinstance(address, IPv4Address) or address == _LOOPBACK:
        return address
    embedded = address.ipv4_mapped or address.sixtofour
    if embedded is None and any(address in network for network in _EMBEDDING):
        embedded = IPv4Address(int(address) & 0xFFFFFFFF)
    return embedded or address
