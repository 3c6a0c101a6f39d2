"""The way to WhatsApp's servers: a TCP connection, through the company's proxy or the host's where there is one, and TLS."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

import trio

from actors.linker.wire.socks import SocksFailed, connect_by_socks

MAX_HEAD_BYTES: Final = 16 * 1024

Secured: TypeAlias = "trio.SSLStream[Any]"


class DialFailed(Exception):
    """WhatsApp's servers were not reached; the text says at which step it failed."""


def proxy_of_host(environment: Mapping[str, str], host: str) -> str | None:
    """Return the proxy that the host's environment names for https, as Go's clients read it."""
    excluded = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    for entry in (part.strip().lower().lstrip(".") for part in excluded.split(",")):
        if entry == "*" or (entry and (host == entry or host.endswith("." + entry))):
            return None
    return environment.get("HTTPS_PROXY") or environment.get("https_proxy") or None


async def dial(host: str, port: int, proxy: str | None, tls: ssl.SSLContext) -> Secured:
    """Return a TLS stream to ``host``; ``proxy`` as ``http://``, ``https://`` or ``socks5://``, with user and password if it needs them.

    Raise `DialFailed` when there is none. The caller bounds the time.
    """
    stream = await _open(host, port) if proxy is None else await _through(urlsplit(proxy), host, port)
    return await _secured(stream, host, tls, f"tls: {host}")


async def _open(host: str, port: int) -> trio.abc.Stream:
    try:
        return await trio.open_tcp_stream(host, port)
    except OSError as error:
        raise DialFailed(f"dial {host}: {_why(error)}") from error


async def _secured(stream: trio.abc.Stream, host: str, tls: ssl.SSLContext, what: str) -> Secured:
    secured: Secured = trio.SSLStream(stream, tls, server_hostname=host, https_compatible=True)
    try:
        await secured.do_handshake()
    except (trio.BrokenResourceError, ssl.SSLError) as error:
        await trio.aclose_forcefully(stream)
        raise DialFailed(f"{what}: {_why(error)}") from error
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return secured


async def _through(proxy: SplitResult, host: str, port: int) -> trio.abc.Stream:
    assert proxy.hostname is not None, "parse_proxy checks that"
    try:
        stream: trio.abc.Stream = await _open(proxy.hostname, proxy.port or 443)
        if proxy.scheme == "https":
            stream = await _secured(stream, proxy.hostname, ssl.create_default_context(), "tls")
    except DialFailed as error:
        raise DialFailed(f"proxyconnect: {error}") from error
    try:
        if proxy.scheme == "socks5":
            await connect_by_socks(stream, host, port, _credentials(proxy))
        else:
            await _connect_by_http(stream, host, port, _credentials(proxy))
    except (SocksFailed, trio.BrokenResourceError) as error:
        await trio.aclose_forcefully(stream)
        raise DialFailed(f"proxyconnect: {_why(error)}") from error
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return stream


def _credentials(proxy: SplitResult) -> tuple[str, str] | None:
    return None if proxy.username is None else (unquote(proxy.username), unquote(proxy.password or ""))


async def _connect_by_http(stream: trio.abc.Stream, host: str, port: int, credentials: tuple[str, str] | None) -> None:
    """CONNECT (RFC 9110, 9.3.6). The tunnel follows the head of a 2xx response; in it the server never speaks first."""
    lines = [f"CONNECT {host}:{port} HTTP/1.1", f"Host: {host}:{port}"]
    if credentials is not None:
        lines.append("Proxy-Authorization: Basic " + base64.b64encode(":".join(credentials).encode()).decode())
    await stream.send_all("\r\n".join([*lines, "", ""]).encode())
    head = bytearray()
    while b"\r\n\r\n" not in head:
        received = await stream.receive_some(4096)
        if not received or len(head) + len(received) > MAX_HEAD_BYTES:
            raise DialFailed("proxyconnect: the proxy ended the connection without an answer")
        head += received
    status = bytes(head).split(b"\r\n", 1)[0].split(b" ")
    if len(status) < 2 or not status[1].startswith(b"2"):
        raise DialFailed(f"proxyconnect: the proxy answered {b' '.join(status[1:]).decode('ascii', 'replace')[:80]}")


def _why(error: BaseException) -> str:
    """Return the innermost cause: trio wraps errors of the system and of OpenSSL."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__
