"""A company's connection to its engine process: calls with their answers, and the messages the engine sends unasked."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Protocol, final

import msgspec
import trio
import trio_websocket

from actors.engine.protocol import messages as protocol

HANDSHAKE_S: Final = 10.0
"""How long an engine process may take to answer a new connection."""

Look = Callable[[], Awaitable[None]]


class LinkLost(Exception):
    """The connection to the engine process is gone: the process died or closed it."""


class EngineRefused(Exception):
    """The engine answered a call with `Failed`, or the opening with `OpenRefused`."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class Call(Protocol):
    """Any message to the engine that carries a call number."""

    @property
    def call(self) -> int: ...


class FrameSocket(Protocol):
    """What a link needs of a trio-websocket connection."""

    async def send_message(self, message: bytes) -> None: ...
    async def get_message(self) -> str | bytes: ...


Answer = (
    protocol.Done
    | protocol.Sent
    | protocol.PairingCode
    | protocol.Uploaded
    | protocol.NumberChecked
    | protocol.Groups
    | protocol.Failed
)


@final
class EngineLink:
    """One open connection. `run` reads it; `call` and `tell` may be used by any task of the same actor meanwhile."""

    def __init__(self, socket: FrameSocket) -> None:
        self._socket = socket
        self._calls: dict[int, trio.Event] = {}
        self._answers: dict[int, Answer] = {}
        self._last_call = 0
        self._lost = False

    async def tell(self, message: protocol.Message) -> None:
        """Send one message. Raise LinkLost when the connection is gone."""
        try:
            await self._socket.send_message(protocol.encode(message))
        except (trio_websocket.ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkLost("the engine connection is closed") from error

    async def receive(self) -> protocol.FromEngine:
        """Return the next message, answers to calls included: for the opening dialogue, before `run`."""
        try:
            frame = await self._socket.get_message()
        except (trio_websocket.ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkLost("the engine connection is closed") from error
        if isinstance(frame, str):
            raise LinkLost("the engine sent a text frame")
        try:
            return protocol.decode_from_engine(frame)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise LinkLost(f"the engine sent what is no message: {error}") from error

    async def call(
        self,
        make: Callable[[int], Call],
        *,
        timeout_s: float,
        look: Look = trio.lowlevel.checkpoint,
        look_every_s: float = math.inf,
    ) -> Answer:
        """Send the call that ``make`` builds from its number; wait for its answer.

        Raise EngineRefused (with code ``timeout`` when no answer came in time) or LinkLost. ``look`` is called every
        ``look_every_s`` until the answer comes; what it raises ends the wait.
        """
        self._last_call += 1
        number = self._last_call
        answered = self._calls[number] = trio.Event()
        message = make(number)
        assert isinstance(message, protocol.Message)
        try:
            await _wait(answered, partial(self.tell, message), look, timeout_s=timeout_s, look_every_s=look_every_s)
            return self._take_answer(number)
        finally:
            self._calls.pop(number, None)
            self._answers.pop(number, None)

    def _take_answer(self, number: int) -> Answer:
        answer = self._answers.get(number)
        if answer is None:
            if self._lost:
                raise LinkLost("the engine connection was lost before it answered")
            raise EngineRefused("timeout", "the engine did not answer in time")
        if isinstance(answer, protocol.Failed):
            raise EngineRefused(answer.code, answer.text)
        return answer

    async def run(self, handle: Callable[[protocol.FromEngine], Awaitable[None]]) -> None:
        """Read until the connection ends (then LinkLost): answers go to their callers, everything else to ``handle``, in order."""
        try:
            while True:
                # Not held in a variable: the last message would stay in memory until the next one.
                await self._handle(await self.receive(), handle)
        finally:
            self._lost = True
            for waiting in self._calls.values():
                waiting.set()

    async def _handle(
        self, message: protocol.FromEngine, handle: Callable[[protocol.FromEngine], Awaitable[None]]
    ) -> None:
        if isinstance(message, Answer):
            self._resolve(message)
        else:
            await handle(message)

    def _resolve(self, answer: Answer) -> None:
        waiting = self._calls.get(answer.call)
        if waiting is not None:  # a late answer to a call that timed out is dropped
            self._answers[answer.call] = answer
            waiting.set()


async def _wait(answered: trio.Event, begin: Look, look: Look, *, timeout_s: float, look_every_s: float) -> None:
    """Run ``begin``, then wait until ``answered``, calling ``look`` every ``look_every_s``; return after ``timeout_s`` in any case."""
    gives_up_at = trio.current_time() + timeout_s
    step = begin
    while True:
        # ``begin`` may take the whole time: a ``look`` that is due must not cut off a half-written message.
        with trio.CancelScope(deadline=gives_up_at) as limit:
            await step()
            limit.deadline = min(gives_up_at, trio.current_time() + look_every_s)
            await answered.wait()
        if answered.is_set() or trio.current_time() >= gives_up_at:
            return
        step = look


@asynccontextmanager
async def open_link(socket_path: str, company_id: str) -> AsyncGenerator[EngineLink, None]:
    """Connect to the engine process at ``socket_path``; leaving the block closes the connection and with it the WhatsApp client.

    Raise LinkLost when no process listens there.
    """
    try:
        stream = await trio.open_unix_socket(socket_path)
    except OSError as error:
        raise LinkLost(f"no engine process listens: {error.strerror}") from error
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield EngineLink(await _handshake(nursery, stream, company_id))
        except (LinkLost, EngineRefused) as error:
            failure = error  # raised again below, outside the nursery, which would wrap it in a group
        finally:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _handshake(
    nursery: trio.Nursery, stream: trio.SocketStream, company_id: str
) -> trio_websocket.WebSocketConnection:
    try:
        # trio-websocket waits for ever when the connection ends before the answer, as that of an engine which is killed
        # (tests/actors/company/test_link.py).
        with trio.move_on_after(HANDSHAKE_S):
            return await trio_websocket.wrap_client_stream(
                nursery,
                stream,
                "engine",
                f"/company/{company_id}",
                message_queue_size=1,
                max_message_size=protocol.MAX_FRAME_BYTES,
            )
    except (trio_websocket.HandshakeError, trio.BrokenResourceError, OSError) as error:
        raise LinkLost(f"the engine process refused the connection: {error}") from error
    raise LinkLost(f"the engine process did not answer within {HANDSHAKE_S:.0f} s")
