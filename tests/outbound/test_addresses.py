"""Which addresses are public."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.outbound.addresses import is_allowed, is_public, read_address

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "192.0.1.1",
    "100.128.0.1",
    "172.32.0.1",
    "2606:4700:4700::1111",
    "2a00:1450::1",
    "::ffff:8.8.8.8",
]

NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.8",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:0808:0808::1",
    "3ffe::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700:4700::1111%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses(text: str) -> None:
    """Addresses that everyone can reach."""
    address = read_address(text)

    assert address is not None
    assert is_public(address)


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_addresses_that_are_not_public(text: str) -> None:
    """Also those for which the standard library's `is_global` says otherwise."""
    address = read_address(text)

    assert address is not None
    assert not is_public(address)
    assert not is_allowed(address, ())


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_never_more_than_the_standard_library_allows(address: object) -> None:
    """Our lists only ever remove addresses."""
    read = read_address(str(address))

    assert read is not None
    assert not is_public(read) or (ip_address(str(read)).is_global and not read.is_multicast)


def test_an_operator_allows_networks() -> None:
    """An address in one of them is allowed, also as an IPv4-mapped one; its neighbours are not."""
    networks = (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))

    allowed = [
        t
        for t in ("10.1.2.3", "::ffff:10.1.2.3", "10.2.0.1", "fd00::5", "fe80::1", "127.0.0.1")
        if (a := read_address(t)) is not None and is_allowed(a, networks)
    ]

    assert allowed == ["10.1.2.3", "::ffff:10.1.2.3", "fd00::5"]


@pytest.mark.parametrize(
    "text",
    ["", "localhost", "127.1", "0x7f.0.0.1", "0177.0.0.1", "2130706433", "127.0.0.1 ", "\uff11\uff12\uff17.0.0.1"],
)
def test_only_the_usual_form_is_an_address(text: str) -> None:
    """Everything else is a name, or nothing."""
    assert read_address(text) is None
