"""Addresses of clients: which may speak plain HTTP, and which client a trusted reverse proxy forwards for."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final, final

from config.values import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_HOPS: Final = 32
"""Number of entries of X-Forwarded-For that are read, from the right."""


@final
class ClientAddresses:
    """Decides by the settings about addresses of peers and clients."""

    def __init__(self, trusted_proxies: Sequence[Network], *, is_encrypted: bool) -> None:
        self._trusted = tuple(trusted_proxies)
        self._is_encrypted = is_encrypted

    def may_connect(self, host: str) -> bool:
        """Return whether this peer may connect: over TLS any; in the clear only loopback and trusted proxies, so that no key crosses a
        network.
        """
        address = read_address(host)
        return self._is_encrypted or (address is not None and (address.is_loopback or self._is_trusted(address)))

    def is_near(self, host: str) -> bool:
        """Return whether this peer is on this machine or is a trusted proxy: many clients may be behind it."""
        address = read_address(host)
        return address is not None and (address.is_loopback or self._is_trusted(address))

    def client(self, peer: tuple[str, int] | None, headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, int] | None:
        """Return who sent the request: the peer, or behind trusted proxies the last address in X-Forwarded-For that is not one of theirs.

        Entries before it can be forged.
        """
        if peer is None or not self._trusted:
            return peer
        address = read_address(peer[0])
        for entry in reversed(_forwarded_for(headers)[-MAX_HOPS:]):
            if address is None or not self._is_trusted(address):
                break
            address = read_address(entry)
        return peer if address is None else (str(address), peer[1])

    def _is_trusted(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._trusted)


def read_address(text: str) -> Address | None:
    """Return the IP address in ``text``, written with or without a port, zone or brackets, or None. An IPv4 address mapped into IPv6 is
    read as IPv4.
    """
    bare = text.strip().partition("%")[0]
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _forwarded_for(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    values = [value.decode("latin-1") for name, value in headers if name.lower() == b"x-forwarded-for"]
    return [entry for value in values for entry in value.split(",")]
