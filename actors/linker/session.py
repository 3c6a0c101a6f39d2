"""A company in the linker: the daemon's calls, and at most one attempt to link at a time."""

from __future__ import annotations

import contextlib
import ssl
import uuid
from collections.abc import Awaitable, Callable
from typing import Final, final

import trio

from actors.engine.logs import EngineLog
from actors.engine.protocol.messages import (
    Closed,
    Committed,
    Connect,
    Disconnect,
    Done,
    Failed,
    FromEngine,
    JournalDelta,
    KeyRow,
    Open,
    Opened,
    PairingCode,
    RequestPairingCode,
    ToEngine,
)
from actors.linker.asking import NotAnswered
from actors.linker.attempt import Attempt, Daemon
from actors.linker.device import Acceptance, NewDevice, creds_of, keys_of, new_device, registration_payload
from actors.linker.protocol import AnswerPasskey, ConfirmPasskey
from actors.linker.walk import StepRefused
from actors.linker.wire.dial import DialFailed
from actors.linker.wire.messages import Messages
from actors.linker.wire.stream import Hello, open_stream

CALLS: Final = 8
"""The most calls of one company under way at once."""


@final
class LinkSession:
    """One company's connection to the linker; `run` is its task."""

    def __init__(
        self,
        request: Open,
        send: Callable[[FromEngine], Awaitable[None]],
        messages: Messages,
        tls: ssl.SSLContext,
        log: EngineLog,
        commit_within_s: float,
        version: str,
    ) -> None:
        self._request = request
        self._send = send
        self._messages = messages
        self._tls = tls
        self._log = log
        self._commit_within_s = commit_within_s
        self._version = version
        self._attempt: Attempt | None = None
        self._scope: trio.CancelScope | None = None
        self._over = trio.Event()
        self._shipped = False
        self._committed = trio.Event()
        self._calls = trio.CapacityLimiter(CALLS)
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Work until cancelled."""
        await self._send(Opened(file_id=f"linker-{uuid.uuid4()}", rebuilt=False, position=0, jid=None, lid=None))
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await trio.sleep_forever()

    def take(self, message: ToEngine) -> None:
        """Take one message of the daemon, after `run` has begun."""
        if isinstance(message, Committed):
            self._committed.set()
            return
        call = getattr(message, "call", None)
        if call is not None and self._nursery is not None:
            self._nursery.start_soon(self._answer, message, call)

    async def _answer(self, message: ToEngine, call: int) -> None:
        try:
            async with self._calls:
                answer = await self._do(message, call)
        except StepRefused as refused:
            answer = Failed(call=call, code=refused.code, text=str(refused))
        except NotAnswered as error:
            answer = Failed(call=call, code="rejected", text=str(error))
        await self._send(answer)

    async def _do(self, message: ToEngine, call: int) -> FromEngine:
        match message:
            case Connect():
                return self._connect(call)
            case Disconnect():
                await self._stop()
            case RequestPairingCode(phone=phone):
                return PairingCode(call=call, code=await self._running().request_code(phone))
            case AnswerPasskey(response=response):
                await self._running().walk.answer(response)
            case ConfirmPasskey():
                await self._running().walk.confirm()
            case _:
                return Failed(call=call, code="not_connected", text="this process links devices and does nothing else")
        return Done(call=call)

    def _running(self) -> Attempt:
        if self._attempt is None:
            raise StepRefused("not_connected", "no attempt to link is under way")
        return self._attempt

    def _connect(self, call: int) -> FromEngine:
        if self._shipped:
            return Failed(call=call, code="already_linked", text="a device has been linked here already")
        if self._scope is None:
            assert self._nursery is not None
            self._over, self._scope = trio.Event(), trio.CancelScope()
            self._nursery.start_soon(self._link, self._scope)
        return Done(call=call)

    async def _stop(self) -> None:
        """End the attempt; if it is between commit and answer, wait until it has answered."""
        if self._scope is not None:
            if self._attempt is not None:
                await self._attempt.settled.wait()
            self._scope.cancel()
            await self._over.wait()

    async def _link(self, scope: trio.CancelScope) -> None:
        ending: FromEngine | None = None
        try:
            with scope:
                ending = await self._link_once()
        finally:
            self._attempt = self._scope = None
            self._over.set()
        if ending is not None:
            with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._send(ending)

    async def _link_once(self) -> FromEngine:
        device = new_device()
        payload = registration_payload(device, self._request.device_name, self._version, self._messages)
        hello = Hello(device.noise, payload, self._request.proxy)
        try:
            async with open_stream(hello, self._messages, self._tls) as stream:
                self._attempt = Attempt(stream, device, self._messages, Daemon(self._send, self._commit))
                return await self._attempt.run()
        except DialFailed as error:
            return Closed(kind="connect_failure", text=str(error))

    async def _commit(self, device: NewDevice, accepted: Acceptance) -> bool:
        """Commit the credentials as one delta in one transaction under the lease's epoch; return whether `Committed` came."""
        self._shipped = True
        rows = tuple(KeyRow(*row) for row in keys_of(accepted))
        await self._send(JournalDelta(position=1, creds=creds_of(device, accepted), keys=rows, base=True))
        with trio.move_on_after(self._commit_within_s):
            await self._committed.wait()
            return True
        self._log.failure(
            "the credentials of a new device were not stored in time: the phone is told that nothing was linked"
        )
        return False
