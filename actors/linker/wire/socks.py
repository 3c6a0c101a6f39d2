"""SOCKS 5 (RFC 1928, RFC 1929), as far as a client that connects by name needs it."""

from __future__ import annotations

from typing import Final

import trio

_VERSION: Final = 5
_NO_AUTHENTICATION, _PASSWORD = 0, 2
_CONNECT: Final = 1
_DOMAIN: Final = 3
_ADDRESS_BYTES: Final = {1: 4, 4: 16}
_REPLIES: Final = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network is unreachable",
    4: "no route to host",
    5: "connection refused",
    6: "timeout",
}


class SocksFailed(Exception):
    """The proxy does not connect; the text says why."""


async def connect_by_socks(stream: trio.abc.Stream, host: str, port: int, credentials: tuple[str, str] | None) -> None:
    """Have the proxy on ``stream`` connect to ``host``, which it looks up itself. Raise SocksFailed or BrokenResourceError."""
    methods = bytes((_NO_AUTHENTICATION,)) if credentials is None else bytes((_NO_AUTHENTICATION, _PASSWORD))
    await stream.send_all(bytes((_VERSION, len(methods))) + methods)
    version, method = await _take(stream, 2)
    if version != _VERSION or method not in methods:
        raise SocksFailed("socks: the proxy wants another way to log in")
    if method == _PASSWORD and credentials is not None:
        await _log_in(stream, *(part.encode() for part in credentials))
    name = host.encode("idna")
    head = bytes((_VERSION, _CONNECT, 0, _DOMAIN, len(name)))
    await stream.send_all(head + name + port.to_bytes(2, "big"))
    version, reply, _, kind = await _take(stream, 4)
    if version != _VERSION or reply != 0:
        raise SocksFailed(f"socks: {_REPLIES.get(reply, f'reply {reply}')}")
    size = (await _take(stream, 1))[0] if kind == _DOMAIN else _ADDRESS_BYTES.get(kind, 0)
    await _take(stream, size + 2)


async def _log_in(stream: trio.abc.Stream, user: bytes, password: bytes) -> None:
    if not 0 < len(user) < 256 or len(password) > 255:
        raise SocksFailed("socks: user or password is longer than 255 bytes")
    await stream.send_all(bytes((1, len(user))) + user + bytes((len(password),)) + password)
    if (await _take(stream, 2))[1] != 0:
        raise SocksFailed("socks: user or password is wrong")


async def _take(stream: trio.abc.Stream, size: int) -> bytes:
    """Read exactly ``size`` bytes: those after the last reply belong to the tunnel."""
    taken = bytearray()
    while len(taken) < size:
        received = await stream.receive_some(size - len(taken))
        if not received:
            raise SocksFailed("socks: the proxy ended the connection")
        taken += received
    return bytes(taken)
