"""The control connection to an engine process: hello, statistics, shutdown. When it is lost, the process ends itself."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import final

import msgspec
import trio
import trio_websocket

from actors.engine.protocol import messages as protocol

CONNECT_EVERY_S = 0.02


class ControlLost(Exception):
    """The process did not accept, closed, or did not answer in time."""


@final
class ControlLink:
    """An open control connection."""

    def __init__(self, socket: trio_websocket.WebSocketConnection, hello: protocol.EngineHello) -> None:
        self.hello = hello
        self._socket = socket
        self._last_call = 0

    async def tell(self, message: protocol.Message) -> None:
        """Send one message. Raise ControlLost when the connection is gone."""
        try:
            await self._socket.send_message(protocol.encode(message))
        except (trio_websocket.ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ControlLost("the control connection is closed") from error

    async def statistics(self, *, timeout_s: float) -> protocol.EngineStatistics:
        """Return the process's statistics. Raise ControlLost when they do not come in time. One caller at a time."""
        self._last_call += 1
        with trio.move_on_after(timeout_s):
            await self.tell(protocol.EngineStatisticsRequest(call=self._last_call))
            while True:
                answer = await _receive(self._socket)
                if isinstance(answer, protocol.EngineStatistics) and answer.call == self._last_call:
                    return answer
        raise ControlLost(f"the engine process did not answer within {timeout_s:.0f} s")


@asynccontextmanager
async def open_control(socket_path: str, *, timeout_s: float) -> AsyncGenerator[ControlLink, None]:
    """Connect as soon as the process listens and wait for its hello. Raise ControlLost after ``timeout_s``."""
    stream: trio.SocketStream | None = None
    link: ControlLink | None = None
    try:
        async with trio.open_nursery() as nursery:
            with trio.move_on_after(timeout_s):
                stream = await _connect(socket_path)
                socket = await trio_websocket.wrap_client_stream(
                    nursery, stream, "engine", "/control", max_message_size=protocol.MAX_CONTROL_BYTES
                )
                link = ControlLink(socket, await _hello(socket))
            if link is None:
                raise ControlLost(f"the engine process did not accept a connection within {timeout_s:.0f} s")
            try:
                yield link
            finally:
                nursery.cancel_scope.cancel()
    finally:
        if stream is not None:
            await trio.aclose_forcefully(stream)


async def _hello(socket: trio_websocket.WebSocketConnection) -> protocol.EngineHello:
    hello = await _receive(socket)
    if not isinstance(hello, protocol.EngineHello):
        raise ControlLost(f"the engine process began with {type(hello).__name__}")
    return hello


async def _connect(socket_path: str) -> trio.SocketStream:
    while True:
        with contextlib.suppress(OSError):
            return await trio.open_unix_socket(socket_path)
        await trio.sleep(CONNECT_EVERY_S)


async def _receive(socket: trio_websocket.WebSocketConnection) -> protocol.FromEngine:
    try:
        frame = await socket.get_message()
        return protocol.decode_from_engine(frame if isinstance(frame, bytes) else frame.encode())
    except (trio_websocket.ConnectionClosed, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ControlLost(f"the control connection ended: {error}") from error
