"""Which addresses the daemon may connect to on behalf of others: public ones, and those that the operator allows."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

from config.values import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# `is_global` alone lets NAT64, 6to4, 192.0.0.8 and multicast pass, so both lists name everything that must not be reached.
_NOT_PUBLIC_V4: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and the clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # IETF protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_PUBLIC_V6: Final = ipaddress.IPv6Network("2000::/3")
"""All global unicast. NAT64 (64:ff9b::), unique local, link-local, multicast and loopback addresses lie outside."""
_NOT_PUBLIC_V6: Final = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # IETF protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: carries any IPv4 address
        "3ffe::/16",  # the former 6bone
        "3fff::/20",  # documentation
    )
)


def read_address(text: str) -> Address | None:
    """Return the address that ``text`` is, in its usual form; an IPv4-mapped one as the IPv4 address it means. None for other text."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


def is_public(address: Address) -> bool:
    """Return whether the address means the same host everywhere on the internet."""
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not any(address in network for network in _NOT_PUBLIC_V4)
    is_unicast = address.scope_id is None and address in _PUBLIC_V6
    return is_unicast and address.is_global and not any(address in network for network in _NOT_PUBLIC_V6)


def is_allowed(address: Address, networks: Sequence[Network]) -> bool:
    """Return whether the daemon may connect to the address: it is public, or in one of the operator's ``networks``."""
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return False
    return is_public(address) or any(address in network for network in networks)
