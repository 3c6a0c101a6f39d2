"""A stream of nodes to WhatsApp: WebSocket, Noise, frames and binary XML in one."""

from __future__ import annotations

import os
import ssl
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, final

import trio
import trio_websocket

from actors.linker.wire import certificate
from actors.linker.wire.binary import BadNodeError, decode, encode
from actors.linker.wire.certificate import BadCertificate, check_chain
from actors.linker.wire.dial import DialFailed, Secured, dial, proxy_of_host
from actors.linker.wire.frames import MAX_FRAME_BYTES, BadFrame, FrameReader, frame, header
from actors.linker.wire.keys import KeyPair
from actors.linker.wire.messages import Messages
from actors.linker.wire.nodes import Node
from actors.linker.wire.noise import Initiator, NoiseError, Transport
from actors.linker.wire.tokens import dictionary

HOST: Final = "web.whatsapp.com"
PATH: Final = "/ws/chat"
ORIGIN: Final = "https://web.whatsapp.com"
DIAL_S: Final = 20.0
"""The limit for everything up to the first node, as in other clients."""
SEND_S: Final = 20.0

_LOST = (trio_websocket.ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError)


class StreamLost(Exception):
    """The stream ended, or the server said what cannot be read."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What a client begins a stream with."""

    static: KeyPair
    """The device's Noise key."""
    payload: bytes
    """A serialised ``ClientPayload``."""
    proxy: str | None


@final
class NodeStream:
    """An open stream. One task may receive while others send."""

    def __init__(self, socket: trio_websocket.WebSocketConnection) -> None:
        self._socket = socket
        self._reader = FrameReader()
        self._frames: deque[bytes] = deque()
        self._transport: Transport | None = None
        self._sending = trio.Lock()

    async def send(self, node: Node) -> None:
        """Send a node. Raise `StreamLost` when the stream has ended or takes nothing any more."""
        async with self._sending:
            assert self._transport is not None
            await self._write(frame(self._transport.encrypt(encode(node, dictionary()))))

    async def receive(self) -> Node:
        """Return the next node. Raise `StreamLost`."""
        assert self._transport is not None
        try:
            return decode(self._transport.decrypt(await self._read()), dictionary())
        except (NoiseError, BadNodeError) as error:
            raise StreamLost(f"WhatsApp said what cannot be read: {error}") from error

    async def shake_hands(self, hello: Hello, messages: Messages) -> None:
        """Do the Noise handshake. Raise NoiseError, BadCertificate or StreamLost."""
        check = partial(_check, messages)
        initiator = Initiator(header(), hello.static, messages.handshake, check)
        await self._write(header() + frame(initiator.hello()))
        finish, self._transport = initiator.finish(await self._read(), hello.payload)
        await self._write(frame(finish))

    async def _write(self, data: bytes) -> None:
        try:
            with trio.fail_after(SEND_S):
                await self._socket.send_message(data)
        except (*_LOST, trio.TooSlowError) as error:
            raise StreamLost("the connection to WhatsApp was lost") from error

    async def _read(self) -> bytes:
        try:
            while not self._frames:
                data = await self._socket.get_message()
                self._frames.extend(self._reader.feed(data if isinstance(data, bytes) else data.encode()))
        except _LOST as error:
            raise StreamLost("the connection to WhatsApp was lost") from error
        except BadFrame as error:
            raise StreamLost(f"WhatsApp said what cannot be read: {error}") from error
        return self._frames.popleft()


def _check(messages: Messages, chain: bytes, static: bytes) -> None:
    check_chain(messages.certificate, certificate.ROOT_KEY, chain, static, time.time())


@asynccontextmanager
async def open_stream(hello: Hello, messages: Messages, tls: ssl.SSLContext) -> AsyncGenerator[NodeStream]:
    """Connect and shake hands. Raise `DialFailed`, which says why that failed. Leaving the block closes the connection."""
    raw: Secured | None = None
    failure: Exception | None = None
    try:
        async with trio.open_nursery() as nursery:
            try:
                with trio.fail_after(DIAL_S):
                    raw = await dial(HOST, 443, hello.proxy or proxy_of_host(os.environ, HOST), tls)
                    stream = NodeStream(await _websocket(nursery, raw))
                    await stream.shake_hands(hello, messages)
            except (DialFailed, NoiseError, BadCertificate, StreamLost) as error:
                failure = error
            except trio.TooSlowError:
                failure = DialFailed(f"WhatsApp's servers did not answer within {DIAL_S:.0f} s: timeout")
            else:
                yield stream
            nursery.cancel_scope.cancel()
    finally:
        if raw is not None:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(raw)
    if failure is not None:
        raise failure if isinstance(failure, DialFailed) else DialFailed(_in_words(failure)) from failure


def _in_words(failure: Exception) -> str:
    return f"certificate: {failure}" if isinstance(failure, BadCertificate) else f"websocket: {failure}"


async def _websocket(nursery: trio.Nursery, raw: Secured) -> trio_websocket.WebSocketConnection:
    try:
        return await trio_websocket.wrap_client_stream(
            nursery,
            raw,
            HOST,
            PATH,
            extra_headers=[(b"Origin", ORIGIN.encode()), (b"Cache-Control", b"no-cache"), (b"Pragma", b"no-cache")],
            message_queue_size=1,
            max_message_size=MAX_FRAME_BYTES,
        )
    except (trio_websocket.HandshakeError, *_LOST) as error:
        raise DialFailed(f"websocket: WhatsApp refused the connection ({type(error).__name__})") from error
