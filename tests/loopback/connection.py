"""One client's stream after the WebSocket is open: handshake, then nodes in and out.

The server takes every decision without waiting: `Connection.send` only queues, one task per connection writes.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Final

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from actors.linker.wire.binary import decode, encode
from actors.linker.wire.nodes import Node
from actors.linker.wire.tokens import Dictionary
from tests.loopback.accounts import Device
from tests.loopback.certificates import Authority
from tests.loopback.faults import Faults
from tests.loopback.frames import BadStreamError, FrameReader, frame
from tests.loopback.noise import Finished, Responder, Transport
from tests.loopback.tokens import dictionary

MAX_INFLATED: Final = 16 * 1024 * 1024
MAX_QUEUED: Final = 50_000
"""Nodes that wait for a client that does not read, or are held back; beyond that number its stream is cut."""
HANDSHAKE_TIMEOUT_S: Final = 20.0
FAREWELL_S: Final = 0.2
"""How long a client may take to read a last node before its stream is closed: one that sees the end of the stream first
does not know why it ended, and connects again."""


class StreamEndedError(Exception):
    """The client is gone."""


class Connection:
    """A client's stream. Use `handshake` first, then `receive` in one task and `write_queued` in another."""

    def __init__(self, websocket: WebSocketConnection, authority: Authority, faults: Faults) -> None:
        self._websocket = websocket
        self._authority = authority
        self._faults = faults
        self._frames = FrameReader()
        self._arrived: deque[bytes] = deque()
        self._queue: deque[bytes | float] = deque()
        """Frames; a number means: end the stream after so many seconds."""
        self._queued = trio.Event()
        self._held: list[Node] = []
        self._ids = itertools.count(1)
        self._transport: Transport | None = None
        self._words: Dictionary | None = None
        self._expected: dict[str, Callable[[Node], None]] = {}
        self._scope = trio.CancelScope()
        self.phone: str | None = None
        """The phone number logged in on this stream; None before that."""
        self.device: Device | None = None

    @property
    def knows_lids(self) -> bool:
        """Clients of the older dictionary know no LID addresses."""
        return self._frames.dictionary_version >= 3

    @property
    def routing_info(self) -> bytes:
        """The routing data the client began with; empty when it had none."""
        return self._frames.routing_info

    async def handshake(self) -> Finished:
        """Run the Noise handshake; ValueError (of several kinds) or StreamEndedError when the client does not."""
        with trio.fail_after(HANDSHAKE_TIMEOUT_S):
            hello = await self._next_frame()
            header = self._frames.header
            if header is None:
                raise BadStreamError("no introduction")
            self._words = dictionary(header[3])
            responder = Responder(header, self._authority.static, self._authority.noise_chain)
            await self._write(frame(responder.read_hello(hello)))
            finished = responder.read_finish(await self._next_frame())
        self._transport = finished.transport
        return finished

    async def receive(self) -> Node:
        """Return the next node; StreamEndedError at the end, ValueError for garbage. What a frozen client sends is lost."""
        while True:
            data = await self._next_frame()
            transport, words = self._ready()
            payload = transport.decrypt(data)
            if not self._faults.is_frozen(self.phone):
                return decode(payload, words, max_inflated=MAX_INFLATED)

    def send(self, node: Node) -> None:
        """Queue a node; it is held back, or lost while frozen, when the faults say so. Never waits."""
        if self._faults.is_frozen(self.phone):
            return
        if self._faults.holds_back(node.tag, self.phone):
            self._hold(node)
        else:
            self._put(node)

    def release(self) -> None:
        """Send what was held back and may go now."""
        held, self._held = self._held, []
        for node in held:
            self.send(node)

    def request(self, node: Node, on_reply: Callable[[Node], None]) -> None:
        """Send an iq of the server's; ``on_reply`` is called with the client's answer."""
        self._expected[node.text("id")] = on_reply
        self.send(node)

    def take_reply(self, node: Node) -> bool:
        """Pass a client's iq result or error to the request that waits for it; False when there is none."""
        waiting = self._expected.pop(node.text("id", ""), None)
        if waiting is None:
            return False
        waiting(node)
        return True

    def next_id(self) -> str:
        """An id for an iq of the server's."""
        return f"lb-{next(self._ids)}"

    def close(self, *farewell: Node, linger_s: float = FAREWELL_S) -> None:
        """Send these last nodes and end the stream after ``linger_s``, in which the client may close it itself."""
        for node in farewell:
            self._put(node)
        self._enqueue(linger_s)

    def cut(self) -> None:
        """End the stream now, like a pulled cable."""
        self._scope.cancel(reason="cut by a fault")

    @property
    def scope(self) -> trio.CancelScope:
        """Everything that serves this stream runs inside it."""
        return self._scope

    async def write_queued(self) -> None:
        """Write what `send` queues until `close`; then end the stream. Run it once, beside `receive`."""
        while True:
            while self._queue:
                data = self._queue.popleft()
                if isinstance(data, bytes):
                    await self._write(data)
                else:
                    await trio.sleep(data)
                    self._scope.cancel(reason="closed")
                    return
            self._queued = trio.Event()
            await self._queued.wait()

    def _hold(self, node: Node) -> None:
        if len(self._held) >= MAX_QUEUED:
            self.cut()
            return
        self._held.append(node)

    def _put(self, node: Node) -> None:
        transport, words = self._ready()
        self._enqueue(frame(transport.encrypt(encode(node, words))))

    def _ready(self) -> tuple[Transport, Dictionary]:
        assert self._transport is not None, "handshake() first"
        assert self._words is not None, "handshake() first"
        return self._transport, self._words

    def _enqueue(self, item: bytes | float) -> None:
        if len(self._queue) >= MAX_QUEUED:
            self.cut()
            return
        self._queue.append(item)
        self._queued.set()

    async def _next_frame(self) -> bytes:
        while not self._arrived:
            try:
                message = await self._websocket.get_message()
            except ConnectionClosed as exc:
                raise StreamEndedError from exc
            if isinstance(message, str):
                raise BadStreamError("a text message")
            self._arrived.extend(self._frames.feed(message))
        return self._arrived.popleft()

    async def _write(self, data: bytes) -> None:
        try:
            await self._websocket.send_message(data)
        except ConnectionClosed as exc:
            raise StreamEndedError from exc
