"""Readers of the live events: raw WebSockets that count frames. One of them also parses each."""

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
    """What the readers received."""

    frames: int = 0
    last_at: float = 0.0
    lag_s: list[float] = field(default_factory=list[float])
    """For each event to the first reader, the seconds from its making in the daemon (before it is stored) to its arrival."""
    last_seq: int = 0
    """The ``seq`` of the newest event to the first reader."""


@asynccontextmanager
async def listening(daemon: Daemon, readers: int, *, after: int | None = None) -> AsyncGenerator[Heard]:
    """Within this block ``readers`` readers follow all events: those from now on, or all after ``after``."""
    heard = Heard()
    async with trio.open_nursery() as nursery:
        streams = [await _subscribe(daemon, after) for _ in range(readers)]
        for number, (stream, first) in enumerate(streams):
            nursery.start_soon(_read, stream, first, heard, number == 0)
        try:
            yield heard
        finally:
            nursery.cancel_scope.cancel()
            for stream, _ in streams:
                stream.socket.close()


async def _subscribe(daemon: Daemon, after: int | None) -> tuple[trio.SocketStream, bytes]:
    """Return a connection that follows the events, and the bytes that came after the response to its handshake."""
    found = urlsplit(daemon.url)
    assert found.hostname is not None
    assert found.port is not None
    stream = await trio.open_tcp_stream(found.hostname, found.port)
    target = EVENTS if after is None else f"{EVENTS}?after={after}"
    key = base64.b64encode(b"0123456789abcdef").decode()
    await stream.send_all(
        (
            f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nX-Api-Key: {daemon.key}\r\n\r\n"
        ).encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += await stream.receive_some(4096)
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    return stream, answer.partition(b"\r\n\r\n")[2]


async def _read(stream: trio.SocketStream, first: bytes, heard: Heard, looks: bool) -> None:
    buffered = bytearray(first)
    while True:
        taken = 0
        while (frame := _frame(buffered, taken)) is not None:
            kind, start, taken = frame
            if kind == _PING:
                await stream.send_all(_PONG)
            if kind == _TEXT:
                _note(heard, bytes(buffered[start:taken]) if looks else None)
        del buffered[:taken]
        if not (data := await stream.receive_some(262144)):
            return
        buffered += data


def _note(heard: Heard, payload: bytes | None) -> None:
    heard.frames += 1
    heard.last_at = time.perf_counter()
    if payload is not None:
        event = msgspec.json.decode(payload)
        heard.last_seq = event["seq"]
        heard.lag_s.append(time.time() - event["timestamp"])


def _frame(data: bytearray, at: int) -> tuple[int, int, int] | None:
    """Return the kind of the frame at ``at``, and where its payload begins and ends; None when it has not arrived in full."""
    left = len(data) - at
    if left < 2:
        return None
    length, start = data[at + 1] & 0x7F, at + 2
    if length >= 126 and left < 10:
        return None
    if length == 126:
        length, start = int.from_bytes(data[start : start + 2], "big"), start + 2
    elif length == 127:
        length, start = int.from_bytes(data[start : start + 8], "big"), start + 8
    end = start + length
    return (data[at] & 0x0F, start, end) if len(data) >= end else None
