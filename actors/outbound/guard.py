"""Connections to checked addresses only: the network side of `OutboundClient`."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, cast, final

import httpcore
import trio

from actors.outbound.addresses import Address, is_allowed, read_address
from actors.outbound.errors import OutboundFailed, OutboundRefused
from actors.sharing import Turns
from config.values import Network

MAX_ADDRESSES: Final = 4
"""How many addresses of one host are tried, one after the other."""
LOOKUPS_OF_ONE: Final = 2
"""Look-ups of one holder at once: one that hangs keeps a thread until the system gives up, and no holder may take all threads."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""``(host, port)`` -> addresses as text. Raises OSError."""


@final
class Lookups:
    """The system's resolver, in at most ``limit`` threads for the daemon. Holders take turns, at most `LOOKUPS_OF_ONE` of each at once."""

    def __init__(self, limit: int) -> None:
        self._turns = Turns(limit, LOOKUPS_OF_ONE)

    def of(self, holder: str) -> Resolve:
        """Return a function that looks names up for ``holder``."""

        async def resolve(host: str, port: int) -> Sequence[str]:
            def look_up() -> list[str]:
                # As bytes: Python would put text through its own IDNA codec.
                found = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
                return [str(address[0]) for *_, address in found]

            limiter = cast("trio.CapacityLimiter", _ThreadTurn(self._turns, holder))
            return await trio.to_thread.run_sync(look_up, limiter=limiter, abandon_on_cancel=True)

        return resolve


@final
class _ThreadTurn:
    """A turn as a limiter for `trio.to_thread`. It ends when the thread does, which may be long after the caller was cancelled."""

    def __init__(self, turns: Turns, holder: str) -> None:
        self._turns = turns
        self._holder = holder

    async def acquire_on_behalf_of(self, _borrower: object) -> None:
        await self._turns.begin(self._holder)

    def release_on_behalf_of(self, _borrower: object) -> None:
        self._turns.end(self._holder)


@final
class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves once for each connection, checks every address that came back, and connects to a checked address, not to the name.

    One address that is not allowed refuses the host: a look-up that mixes public and internal addresses is taken for an attack.
    """

    def __init__(self, networks: Sequence[Network], resolve: Resolve, transport: httpcore.AsyncNetworkBackend) -> None:
        self._networks = networks
        self._resolve = resolve
        self._transport = transport

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a checked address of ``host``, within ``timeout`` seconds for everything. Raises `OutboundError`."""
        try:
            with trio.fail_after(float("inf") if timeout is None else timeout):
                addresses = await self._addresses(host, port)
                return await self._connect(addresses, port, socket_options)
        except trio.TooSlowError:
            raise OutboundFailed("timed_out", "the host did not answer in time") from None

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> list[Address]:
        literal = read_address(host)
        found: Sequence[str] = [host] if literal is not None else await self._look_up(host, port)
        addresses = [read_address(text) for text in dict.fromkeys(found)]
        allowed = [a for a in addresses if a is not None and is_allowed(a, self._networks)]
        if len(allowed) < len(addresses):
            raise OutboundRefused("address_not_allowed", "the host has an address that is not public")
        if not allowed:
            raise OutboundFailed("unresolvable", "the host has no address")
        return allowed[:MAX_ADDRESSES]

    async def _look_up(self, host: str, port: int) -> Sequence[str]:
        try:
            return await self._resolve(host, port)
        except (OSError, UnicodeError):
            raise OutboundFailed("unresolvable", "the host's name cannot be resolved") from None

    async def _connect(
        self, addresses: Sequence[Address], port: int, socket_options: Iterable[httpcore.SOCKET_OPTION] | None
    ) -> httpcore.AsyncNetworkStream:
        for address in addresses:
            try:
                stream = await self._transport.connect_tcp(str(address), port, socket_options=socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
            return _GuardedStream(stream)
        raise OutboundFailed("unreachable", "the host takes no connection")


@final
class _GuardedStream(httpcore.AsyncNetworkStream):
    """A stream that reports a failed TLS handshake as `tls_failed`, apart from a failed connection."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._is_closed = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        self._is_closed = True
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            return await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except httpcore.ConnectError as error:
            raise OutboundFailed("tls_failed", "TLS failed: is the certificate valid for this host?") from error

    def get_extra_info(self, info: str) -> Any:
        # The pool asks this of idle connections, and drops those that are readable. A closed socket cannot be asked, and has to be dropped.
        if info == "is_readable" and self._is_closed:
            return True
        return self._stream.get_extra_info(info)
