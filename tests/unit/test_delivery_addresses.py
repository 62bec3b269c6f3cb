"""Which addresses a delivery may go to: public ones, and private ones for private destinations."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.deliveries.addresses import AddressNotAllowed, check_address, is_loopback

PUBLIC = ["93.184.215.14", "20.50.60.70", "2606:4700::6810:84e5", "64:ff9b::5db8:d70e"]
PRIVATE = [
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.8.8.8",
    "::1",
    "fd12:3456::1",
    "::ffff:10.1.2.3",
    "::ffff:127.0.0.1",
    "64:ff9b::10.1.2.3",
    "2002:a01:203::1",  # 6to4 of 10.1.2.3
    "::10.1.2.3",
]
NEVER = [
    "168.63.129.16",
    "169.254.169.254",
    "169.254.130.2",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "0.0.0.0",  # noqa: S104 - refused
    "::",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "ff02::1",
    "192.88.99.1",
    "::ffff:169.254.169.254",
    "::ffff:168.63.129.16",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:a9fe:a9fe::1",
    "::168.63.129.16",
    "2001:0:53aa:64c::1",  # Teredo
    "192.0.2.1",
    "198.18.0.1",
    "2001:db8::1",
    "localhost",
    "",
]


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed(address: str, private: bool) -> None:
    """By itself, or inside the address of a translator such as NAT64."""
    check_address(address, private=private)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_allowed_only_for_a_private_destination(address: str) -> None:
    """In each form that an IPv4 address has inside IPv6 as well."""
    check_address(address, private=True)

    with pytest.raises(AddressNotAllowed):
        check_address(address, private=False)


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_never_allowed(address: str, private: bool) -> None:
    """Azure's agents and token endpoints, multicast, reserved addresses, and other texts."""
    with pytest.raises(AddressNotAllowed) as refused:
        check_address(address, private=private)

    assert not address or address not in str(refused.value)


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_nothing_is_public_that_the_standard_library_calls_private(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """An address that is allowed without `private` is global, or stands for a global one."""
    try:
        check_address(str(address), private=False)
    except AddressNotAllowed:
        return
    assert address.is_global or str(address).startswith(("64:ff9b::", "::", "2002:"))
    assert not address.is_multicast
    assert not address.is_link_local


@pytest.mark.parametrize(
    ("address", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False)],
)
def test_a_loopback_address_is_recognized(address: str, loopback: bool) -> None:
    """Only these need no TLS."""
    assert is_loopback(address) is loopback
