"""A proxy in front of a server that makes the network between client and server bad: slow, narrow, chopped, torn, silent."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, final

import trio

CHUNK: Final = 64 * 1024
LOOK_AGAIN_S: Final = 0.02
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Toxics:
    """The faults of the network now. Changes also affect open connections."""

    latency_s: float = 0.0
    """Each chunk, in each direction, is delayed by this."""
    bytes_per_s: float | None = None
    slice_bytes: int | None = None
    """Chunks are no larger than this."""
    is_black_hole: bool = False
    """Nothing gets through, and nothing is refused."""
    reset_after_bytes: int | None = None
    """A connection is reset once the server has sent this much on it."""

    def heal(self) -> None:
        """A good network again."""
        self.latency_s, self.bytes_per_s, self.slice_bytes = 0.0, None, None
        self.is_black_hole, self.reset_after_bytes = False, None


@final
class ToxicProxy:
    """Listens on a port of loopback and passes everything on, as its `toxics` allow."""

    def __init__(self, upstream: str) -> None:
        self.toxics = Toxics()
        self.port = 0
        self._upstream = upstream

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Until it is cancelled."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._pass_on, listeners)

    async def _pass_on(self, client: trio.SocketStream) -> None:
        with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            async with client, await trio.open_unix_socket(self._upstream) as server, trio.open_nursery() as nursery:
                nursery.start_soon(self._pump, client, server, client, False, nursery.cancel_scope)
                nursery.start_soon(self._pump, server, client, client, True, nursery.cancel_scope)

    async def _pump(
        self, source: trio.SocketStream, sink: trio.SocketStream, client: trio.SocketStream, from_server: bool,
        end: trio.CancelScope,
    ) -> None:  # fmt: skip
        passed = 0
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await source.receive_some(self.toxics.slice_bytes or CHUNK):
                await self._hold_up(len(data))
                limit = self.toxics.reset_after_bytes
                if from_server and limit is not None and passed + len(data) > limit:
                    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                    break
                await sink.send_all(data)
                passed += len(data)
        end.cancel()

    async def _hold_up(self, size: int) -> None:
        toxics = self.toxics
        if toxics.latency_s or toxics.bytes_per_s:
            await trio.sleep(toxics.latency_s + (size / toxics.bytes_per_s if toxics.bytes_per_s else 0.0))
        while toxics.is_black_hole:
            await trio.sleep(LOOK_AGAIN_S)


@asynccontextmanager
async def toxic_proxy(upstream: str) -> AsyncGenerator[ToxicProxy]:
    """A proxy to a Unix socket, while the block runs."""
    proxy = ToxicProxy(upstream)
    async with trio.open_nursery() as nursery:
        await nursery.start(proxy.serve)
        yield proxy
        nursery.cancel_scope.cancel()
