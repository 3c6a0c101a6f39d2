"""A process that is no engine: ``python fake_engine.py KIND SOCKET`` listens there and sends what no engine sends."""

from __future__ import annotations

import os
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import trio
from trio_websocket import WebSocketConnection, WebSocketRequest, wrap_server_stream

from actors.engine.protocol import messages as protocol

PIECE: Final = b"x" * 65536
LINE_BYTES: Final = 100 * 1024 * 1024
ENDLESS_FRAME: Final = bytes([0x82, 127]) + (1 << 40).to_bytes(8, "big")


async def serve(kind: str, stream: trio.SocketStream) -> None:
    """One connection."""
    try:
        if kind == "garbage":
            await stream.send_all(bytes(range(256)) * 64)
            await trio.sleep_forever()
        if kind == "endless-head":
            await stream.send_all(b"HTTP/1.1 101 Switching Protocols\r\nX-Long: ")
            await repeat(stream)
        async with trio.open_nursery() as nursery:
            request: WebSocketRequest = await wrap_server_stream(nursery, stream)
            await converse(kind, stream, await request.accept())
    except* Exception:  # noqa: BLE001 - the daemon has hung up, as it should: only the daemon may end this process
        await trio.lowlevel.checkpoint()


async def converse(kind: str, stream: trio.SocketStream, websocket: WebSocketConnection) -> None:
    """Begin as an engine does, or nearly."""
    if kind == "no-message":
        await websocket.send_message(b"\xff\xfe")
    if kind == "wrong-message":
        await websocket.send_message(protocol.encode(protocol.Committed(position=1)))
    await websocket.send_message(protocol.encode(protocol.EngineHello(pid=os.getpid(), neonize="0")))
    if kind == "endless-frame":
        await stream.send_all(ENDLESS_FRAME)
        await repeat(stream)
    if kind == "endless-line":
        await trio.to_thread.run_sync(write_line)
    while True:
        frame = await websocket.get_message()
        assert isinstance(frame, bytes)
        asked = msgspec.msgpack.decode(frame, type=protocol.EngineStatisticsRequest)
        answer = protocol.EngineStatistics(call=asked.call, companies=(), rss_bytes=1, threads=1)
        await websocket.send_message(protocol.encode(answer))


async def repeat(stream: trio.SocketStream) -> None:
    """Send it for ever."""
    while True:
        await stream.send_all(PIECE)


def write_line() -> None:
    """Write to standard error, without a line's end."""
    for _ in range(LINE_BYTES // len(PIECE)):
        os.write(2, PIECE)


async def main(kind: str, path: Path) -> None:
    """Listen until killed."""
    listening = trio.socket.socket(socket.AF_UNIX)
    await listening.bind(str(path))
    listening.listen()
    await trio.serve_listeners(partial(serve, kind), [trio.SocketListener(listening)])


if __name__ == "__main__":
    trio.run(main, sys.argv[1], Path(sys.argv[2]))
