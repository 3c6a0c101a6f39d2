"""Readers of the live events: raw WebSockets that count frames and, one of them, look into each."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import msgspec
import trio

from tests.support.api import EVENTS
from tests.support.daemon import Daemon

_TEXT: Final = 1
_PING: Final = 9
_PONG: Final = b"\x8a\x80\0\0\0\0"


@dataclass(slots=True)
class Heard:
    """What the readers got."""

    frames: int = 0
    last_at: float = 0.0
    lag_s: list[float] = field(default_factory=list[float])
    """Of each event to the first reader: from its making in the daemon (before it is stored) to here."""


@asynccontextmanager
async def listening(daemon: Daemon, readers: int) -> AsyncGenerator[Heard]:
    """Within this block so many readers follow all events."""
    heard = Heard()
    async with trio.open_nursery() as nursery:
        streams = [await _subscribe(daemon) for _ in range(readers)]
        for number, stream in enumerate(streams):
            nursery.start_soon(_read, stream, heard, number == 0)
        try:
            yield heard
        finally:
            nursery.cancel_scope.cancel()
            for stream in streams:
                stream.socket.close()


async def _subscribe(daemon: Daemon) -> trio.SocketStream:
    found = urlsplit(daemon.url)
    assert found.hostname is not None
    assert found.port is not None
    stream = await trio.open_tcp_stream(found.hostname, found.port)
    key = base64.b64encode(b"0123456789abcdef").decode()
    await stream.send_all(
        (
            f"GET {EVENTS} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nX-Api-Key: {daemon.key}\r\n\r\n"
        ).encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += await stream.receive_some(4096)
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    return stream


async def _read(stream: trio.SocketStream, heard: Heard, looks: bool) -> None:
    buffered = b""
    while data := await stream.receive_some(262144):
        buffered += data
        while (frame := _frame(buffered)) is not None:
            kind, payload, buffered = frame
            if kind == _PING:
                await stream.send_all(_PONG)
            if kind == _TEXT:
                heard.frames += 1
                heard.last_at = time.perf_counter()
                if looks:
                    heard.lag_s.append(time.time() - msgspec.json.decode(payload)["timestamp"])


def _frame(data: bytes) -> tuple[int, bytes, bytes] | None:
    """The kind and payload of the first frame, and what follows it."""
    if len(data) < 2:
        return None
    length, start = data[1] & 0x7F, 2
    if length >= 126 and len(data) < 10:
        return None
    if length == 126:
        length, start = int.from_bytes(data[2:4], "big"), 4
    elif length == 127:
        length, start = int.from_bytes(data[2:10], "big"), 10
    end = start + length
    return (data[0] & 0x0F, data[start:end], data[end:]) if len(data) >= end else None
