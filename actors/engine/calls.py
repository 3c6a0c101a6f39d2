"""The daemon's calls on a company: each is answered with exactly one message."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar, final

import msgspec
import trio

from actors.engine.device.session_guard import STALE
from actors.engine.errors import CallRefused, EngineError, WriteFault
from actors.engine.host import Host
from actors.engine.logs import EngineLog
from actors.engine.protocol import orders as q
from actors.engine.protocol.contents import Edit, Poll
from actors.engine.protocol.messages import (
    Committed,
    Connect,
    Disconnect,
    Done,
    EventsStored,
    Failed,
    FromEngine,
    Logout,
    PairingCode,
    Ping,
    RequestPairingCode,
    SendContent,
    SendText,
    Sent,
    ToEngine,
)  # fmt: skip
from actors.engine.queries import Asking, Inquiry
from actors.engine.session import Session
from actors.engine.whatsmeow.addressing import build
from actors.engine.whatsmeow.client import Client
from actors.engine.whatsmeow.error_texts import group_code_of
from actors.engine.whatsmeow.naming import Naming, number_of

LOGOUT_S: Final = 20.0
PAIRING_CODE_S: Final = 20.0

CALLS_AT_ONCE: Final = 16
SENDS_WAITING: Final = 64
SEND_ATTEMPTS: Final = 10
"""How often a send is tried that the session guard refuses because a message of the same Signal session was received meanwhile."""

ANSWERS_WAITING: Final = 16
"""The most messages that WhatsApp has acknowledged and the daemon has not yet heard of."""

M = TypeVar("M")
R = TypeVar("R")
Message = SendText | SendContent
Call = Connect | RequestPairingCode | Ping | Logout | Disconnect | Inquiry


@dataclass(frozen=True, slots=True)
class Handed:
    """A message that WhatsApp has acknowledged."""

    call: int
    answer: Any
    """The library's answer."""
    reached: int
    """The journal position after the send."""


@final
class Calls:
    """Handles the daemon's calls: sends one after another in the order they came, all others concurrently."""

    def __init__(
        self, host: Host, session: Session, send: Callable[[FromEngine], Awaitable[None]], log: EngineLog
    ) -> None:
        self._host = host
        self._session = session
        self._send = send
        self._log = log
        self._running = 0
        self._naming = Naming(host.library, session.file.named)
        self._asking = Asking(host.library, self._naming)
        self._messages, self._messages_waiting = trio.open_memory_channel[Message](SENDS_WAITING)
        self._answering = trio.Semaphore(ANSWERS_WAITING)
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Work until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            async for request in self._messages_waiting:
                outcome = await self._outcome(request.call, self._send_message, request)
                await self._answering.acquire()  # bounded: the daemon may not be reading
                # Answering does not use the library, so the next message need not wait.
                nursery.start_soon(self._tell, outcome)

    async def take(self, message: ToEngine) -> None:
        """Take one message of the daemon; return without waiting for the work."""
        match message:
            case Committed(position=position):
                self._session.shipper.committed(position)
            case EventsStored(number=number):
                self._session.shipper.events_stored(number)
            case SendText() | SendContent():
                await self._take_message(message)
            case Connect() | RequestPairingCode() | Ping() | Logout() | Disconnect():
                await self._take_call(message)
            case (
                q.Upload()
                | q.Download()
                | q.CheckNumber()
                | q.ListGroups()
                | q.GetGroup()
                | q.MarkRead()
                | q.SetTyping()
            ):
                await self._take_call(message)
            case _:
                self._log.caution(f"a {type(message).__name__} has no place on a company's connection")

    async def _take_message(self, message: Message) -> None:
        try:
            self._messages.send_nowait(message)
        except trio.WouldBlock:
            await self._send(
                Failed(call=message.call, code="engine_error", text=f"{SENDS_WAITING} messages are waiting already")
            )

    async def _take_call(self, message: Call) -> None:
        if self._nursery is None or self._running >= CALLS_AT_ONCE:
            await self._send(
                Failed(call=message.call, code="engine_error", text=f"{CALLS_AT_ONCE} calls are under way already")
            )
            return
        self._running += 1
        self._nursery.start_soon(self._run_call, message)

    async def _run_call(self, message: Call) -> None:
        try:
            await self._send(await self._outcome(message.call, self._do, message))
        finally:
            self._running -= 1

    async def _tell(self, outcome: Handed | Failed) -> None:
        try:
            await self._send(await self._sent(outcome) if isinstance(outcome, Handed) else outcome)
        finally:
            self._answering.release()

    async def _sent(self, handed: Handed) -> Sent:
        position = await self._session.shipper.ship_to(handed.reached)
        answer = handed.answer
        return Sent(call=handed.call, message_id=str(answer.ID), timestamp=float(answer.Timestamp), position=position)

    async def _outcome(self, call: int, work: Callable[[M], Awaitable[R]], message: M) -> R | Failed:
        try:
            return await work(message)
        except CallRefused as refused:
            return Failed(call=call, code=refused.code, text=refused.text)
        except WriteFault as fault:
            self._session.write_failed(fault)
            return Failed(call=call, code="storage_full", text=await self._session.words_for(fault))
        except EngineError as error:
            self._log.failure(f"call failed: {error}")
            return Failed(call=call, code="engine_error", text=str(error))

    def _logged_in_client(self) -> Client:
        client = self._session.client()
        if not self._session.is_logged_in:
            raise CallRefused("not_connected", "this device is not logged in to WhatsApp")
        return client

    async def _do(self, message: Call) -> FromEngine:
        match message:
            case Connect():
                await self._session.connect()
            case Disconnect():
                await self._session.disconnect()
            case Ping(timeout_s=timeout_s):
                await self._ping(timeout_s)
            case Logout():
                await self._logout()
            case RequestPairingCode():
                return PairingCode(call=message.call, code=await self._pairing_code(message.phone))
            case _:
                return await self._asking.answer(self._logged_in_client(), message)
        return Done(call=message.call)

    async def _ping(self, timeout_s: float) -> None:
        client = self._logged_in_client()
        await client.call(self._host.library.round_trip, deadline_s=timeout_s)
        await self._session.note_round_trip()

    async def _logout(self) -> None:
        if not await self._session.is_linked():
            raise CallRefused("not_linked", "no device is linked")
        await self._logged_in_client().call(self._host.library.logout, deadline_s=LOGOUT_S)
        await self._session.logged_out()

    async def _pairing_code(self, phone: str) -> str:
        if await self._session.is_linked():
            raise CallRefused("already_linked", "a device is linked already")
        if not phone.isdecimal():
            raise CallRefused("rejected", "the phone number must be digits only, in international form")
        return await self._session.client().call(self._host.library.pair_phone, phone, deadline_s=PAIRING_CODE_S)

    async def _send_message(self, request: Message) -> Handed:
        client = self._logged_in_client()
        if isinstance(request, SendContent) and isinstance(request.content, Edit):
            await self._require_own(request.content.message_id)
        deadline = trio.current_time() + request.timeout_s
        to, number = self._naming.known(request.to), number_of(request.to)
        try:
            return await self._send_to(client, to, request, deadline)
        except CallRefused as refused:
            if to != request.to and number:
                self._naming.forget(number)
            if not number or refused.code != "no_such_recipient":
                raise
        # Nothing was sent. The number may be another form of an account's number: WhatsApp names the account.
        account = await self._naming.require(client, number, deadline_s=deadline - trio.current_time())
        return await self._send_to(client, account.jid, request, deadline)

    async def _send_to(self, client: Client, to: str, request: Message, deadline: float) -> Handed:
        library = self._host.library
        wanted = request if to == request.to else msgspec.structs.replace(request, to=to)
        timer = self._session.file.timers.chosen(to, request.expiration)
        jid, message = build(library.protobufs, library.messages, wanted, timer)
        try:
            answer, reached = await self._hand_over(client, jid, message, deadline=deadline)
        except CallRefused as refused:
            raise _refused_by_group(refused) if to.endswith("@g.us") else refused from refused
        if isinstance(request, SendContent) and isinstance(request.content, Poll):
            options = request.content.options
            await trio.to_thread.run_sync(self._session.file.polls.keep, (to,), str(answer.ID), options)
        return Handed(request.call, answer, reached)

    async def _hand_over(self, client: Client, to: bytes, message: bytes, *, deadline: float) -> tuple[Any, int]:
        """Have the library send; repeat a send that the session guard refused, since nothing has left this machine then.

        Return the library's answer and the journal position after the send.
        """
        attempts = SEND_ATTEMPTS
        while True:
            attempts -= 1
            try:
                left_s = max(0.0, deadline - trio.current_time())
                return await client.call(self._send_and_look, to, message, deadline_s=left_s)
            except CallRefused as refused:
                if STALE not in refused.text or not attempts:
                    raise

    def _send_and_look(self, client: str, to: bytes, message: bytes) -> tuple[Any, int]:
        """On a thread."""
        answer = self._host.library.send_message(client, to, message)
        return answer, self._session.file.journal.position()

    async def _require_own(self, message_id: str) -> None:
        if not await trio.to_thread.run_sync(self._session.file.has_sent, message_id):
            raise CallRefused("no_such_message", "this company has sent no message with this id, or too long ago")


def _refused_by_group(refused: CallRefused) -> CallRefused:
    """Return the refusal of a send to a group, with the group's own code where WhatsApp's status has one."""
    if refused.code == "rejected" and (code := group_code_of(refused.text)) is not None:
        return CallRefused(code, refused.text)
    return refused
