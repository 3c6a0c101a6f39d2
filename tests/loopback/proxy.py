"""The listeners: an HTTP CONNECT proxy with TLS behind it (neonize), and plain WebSockets (Baileys)."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import Final

import trio
from h11 import RemoteProtocolError
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, wrap_server_stream

from tests.loopback.page import answer_page

MAX_HEAD: Final = 16 * 1024
OPENING_TIMEOUT_S: Final = 20.0
MAX_MESSAGE: Final = 1 << 24
CHAT_PATH: Final = "/ws/chat"
CHAT_HOST: Final = "web.whatsapp.com"

Serve = Callable[[WebSocketConnection], Awaitable[None]]


ServeMedia = Callable[[trio.abc.Stream], Awaitable[None]]


async def serve_proxied(
    stream: trio.SocketStream, context: ssl.SSLContext, serve: Serve, serve_media: ServeMedia, page: Callable[[], bytes]
) -> None:
    """One connection to the proxy, until it ends: the chat server by its name, the media host by any other."""
    async with stream:
        try:
            with trio.fail_after(OPENING_TIMEOUT_S):
                host = await _accept_connect(stream)
            tls = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
            if host == CHAT_HOST:
                await serve_plain(tls, serve, page)
            elif host:
                await serve_media(tls)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, ssl.SSLError):
            return


async def serve_plain(stream: trio.abc.Stream, serve: Serve, page: Callable[[], bytes]) -> None:
    """One WebSocket connection until it ends, or one request for the page."""
    try:
        async with trio.open_nursery() as nursery:
            with trio.fail_after(OPENING_TIMEOUT_S):
                opened = await answer_page(stream, page)
                if opened is None:
                    return
                request = await wrap_server_stream(nursery, opened, max_message_size=MAX_MESSAGE)
                if request.path.partition("?")[0] != CHAT_PATH:
                    await request.reject(404)
                    return
                websocket = await request.accept()
            await serve(websocket)
            nursery.cancel_scope.cancel(reason="served")
    except* (
        ConnectionClosed,
        HandshakeError,
        RemoteProtocolError,
        trio.BrokenResourceError,
        trio.ClosedResourceError,
        trio.TooSlowError,
    ):
        pass
    finally:
        await trio.aclose_forcefully(stream)


async def _accept_connect(stream: trio.SocketStream) -> str:
    """The host that a client wants to be connected with; empty for any other request."""
    head = bytearray()
    while b"\r\n\r\n" not in head:
        received = await stream.receive_some(4096)
        if not received or len(head) + len(received) > MAX_HEAD:
            return ""
        head += received
    if not head.startswith(b"CONNECT "):
        await stream.send_all(b"HTTP/1.1 405 Method Not Allowed\r\nAllow: CONNECT\r\nContent-Length: 0\r\n\r\n")
        return ""
    await stream.send_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
    return head.split(b" ")[1].decode("ascii", "replace").rpartition(":")[0]
