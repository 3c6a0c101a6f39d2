"""Clients without rules: bytes in, bytes out."""

from __future__ import annotations

import base64
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError

from tests.http.world import ADMIN_KEY, Daemon

PATIENCE_S = 60.0
"""Longer than any deadline of the server under test."""


@asynccontextmanager
async def connected(daemon: Daemon, *, receive_buffer: int | None = None) -> AsyncGenerator[trio.SocketStream, None]:
    """A TCP connection to the daemon; ``receive_buffer`` makes the kernel take little for a reader that does not read."""
    client = trio.socket.socket()
    if receive_buffer is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    await client.connect(("127.0.0.1", daemon.port))
    stream = trio.SocketStream(client)
    try:
        yield stream
    finally:
        client.close()


async def read_to_end(stream: trio.SocketStream) -> bytes:
    """Everything until the server closes; a reset counts as an end."""
    received = bytearray()
    with trio.fail_after(PATIENCE_S):
        while True:
            try:
                data = await stream.receive_some(65536)
            except trio.BrokenResourceError:
                return bytes(received)
            if not data:
                return bytes(received)
            received += data


async def read_answer(stream: trio.SocketStream) -> bytes:
    """One response with a Content-Length."""
    received = b""
    with trio.fail_after(PATIENCE_S):
        while b"\r\n\r\n" not in received:
            received += await stream.receive_some(65536)
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += await stream.receive_some(65536)
    return head + b"\r\n\r\n" + body


async def exchange(daemon: Daemon, *pieces: bytes) -> bytes:
    """Send these bytes, then read until the server closes; bytes that can no longer be sent are dropped."""
    async with connected(daemon) as stream:
        try:
            for piece in pieces:
                await stream.send_all(piece)
        except trio.BrokenResourceError:
            pass
        return await read_to_end(stream)


def request(method: str, path: str, *headers: str, body: bytes = b"", key: str | None = ADMIN_KEY) -> bytes:
    """A plain HTTP/1.1 request that asks to close afterwards."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def reset(stream: trio.SocketStream) -> None:
    """Close with RST."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


class WebSocketRefused(Exception):
    """The handshake got a plain response."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status}: {body!r}")
        self.status = status
        self.body = body


class WebSocket:
    """A small client on wsproto, which shares no protocol state with the server."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._events: list[Event] = []

    async def open(self, target: str, key: str | None = ADMIN_KEY) -> None:
        """Shake hands. Raises WebSocketRefused."""
        headers = [] if key is None else [(b"authorization", f"Bearer {key}".encode())]
        await self.stream.send_all(self._protocol.send(Request("localhost", target, extra_headers=headers)))
        body = bytearray()
        status = 0
        while True:
            match await self.next_event():
                case AcceptConnection():
                    return
                case RejectConnection() as rejected:
                    status = rejected.status_code
                case RejectData() as data:
                    body += data.data
                    if data.body_finished:
                        raise WebSocketRefused(status, bytes(body))
                case other:
                    raise AssertionError(other)

    async def next_event(self) -> Event:
        """The next event of the protocol. It answers pings, as every client does while it reads."""
        with trio.fail_after(PATIENCE_S):
            while not self._events:
                data = await self.stream.receive_some(65536)
                self._protocol.receive_data(data or None)
                self._events += self._protocol.events()
        event = self._events.pop(0)
        if isinstance(event, Ping):
            # Perhaps the server has closed since.
            with suppress(LocalProtocolError, trio.BrokenResourceError, trio.ClosedResourceError):
                await self.send(event.response())
        return event

    async def text(self) -> str:
        """The next whole text message."""
        text = ""
        while True:
            event = await self.next_event()
            if isinstance(event, TextMessage):
                text += event.data
                if event.message_finished:
                    return text
            elif isinstance(event, CloseConnection):
                pytest.fail(f"closed: {event}")

    async def closed(self) -> CloseConnection:
        """The closing frame, after everything before it."""
        while not isinstance(event := await self.next_event(), CloseConnection):
            pass
        return event

    async def send(self, event: Event) -> None:
        """Send an event."""
        await self.stream.send_all(self._protocol.send(event))


@asynccontextmanager
async def subscribed(
    daemon: Daemon, query: str = "", *, key: str | None = ADMIN_KEY, receive_buffer: int | None = None
) -> AsyncGenerator[WebSocket, None]:
    """An open subscription to the events."""
    async with connected(daemon, receive_buffer=receive_buffer) as stream:
        websocket = WebSocket(stream)
        await websocket.open(f"/api/whatsapp/events{query}", key)
        yield websocket


def websocket_handshake(path: str = "/api/whatsapp/events", *headers: str) -> bytes:
    """The bytes of a handshake."""
    key = base64.b64encode(b"0123456789abcdef").decode()
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: localhost",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
        f"Authorization: Bearer {ADMIN_KEY}",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
