"""One attempt to link a device, on one stream to WhatsApp: codes, acceptance, and every way it ends."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, final

import trio

from actors.engine.protocol.messages import Closed, FromEngine, Paired, Qr
from actors.linker import acceptance, pairing_code
from actors.linker.asking import Asking, NotAnswered
from actors.linker.device import ADV_SECRET_SIZE, Acceptance, NewDevice
from actors.linker.endings import closed_by_failure, closed_by_stream_error
from actors.linker.protocol import HandedOver
from actors.linker.walk import PASSKEY_S, Walk
from actors.linker.wire.jid import SERVER
from actors.linker.wire.messages import Messages
from actors.linker.wire.nodes import MissingPartError, Node, node
from actors.linker.wire.stream import NodeStream, StreamLost

FIRST_CODE_S: Final = 60.0
NEXT_CODE_S: Final = 20.0
FIRST_REFS: Final = 6
OFFER_WITHIN_S: Final = 30.0
KEEP_ALIVE_S: Final = 25.0
KEEP_ALIVE_LOST_S: Final = 100.0
RESTART_WITHIN_S: Final = 5.0
"""How long to wait for 515, with which WhatsApp ends the stream after linking; the device is linked without it as well."""
LOST: Final = "the connection was lost while a code was on offer"


@dataclass(frozen=True, slots=True)
class Daemon:
    """The daemon's part in an attempt."""

    tell: Callable[[FromEngine], Awaitable[None]]
    commit: Callable[[NewDevice, Acceptance], Awaitable[bool]]
    """Store the credentials; return whether they are in Postgres."""


@final
class Attempt:
    """One attempt; `run` is its task, and the other methods may be called while it runs."""

    def __init__(self, stream: NodeStream, device: NewDevice, messages: Messages, daemon: Daemon) -> None:
        self.device = device
        self.settled = trio.Event()
        """Set unless an acceptance is between its commit and its answer."""
        self.settled.set()
        self._stream = stream
        self._messages = messages
        self._daemon = daemon
        self._asking = Asking(stream)
        self._walk = Walk(self, self._asking, messages)
        self._code: pairing_code.CodeExchange | None = None
        self._linked: Acceptance | None = None
        self._offering = trio.CancelScope()
        self._ended = trio.Event()
        self._ending: FromEngine = Closed(kind="pairing_failed", text=LOST)
        self._offered = trio.Event()
        self._nursery: trio.Nursery | None = None

    async def run(self) -> FromEngine:
        """Run until the attempt has ended; return `HandedOver` on success, else `Closed`."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._read)
            nursery.start_soon(self._keep_alive)
            nursery.start_soon(self._expect_offer)
            await self._ended.wait()
            await self.settled.wait()
            nursery.cancel_scope.cancel()
        return self._ending

    # --- for the daemon's calls ---------------------------------------------------------------------------------------

    async def request_code(self, phone: str) -> str:
        """Return a pairing code for ``phone`` (digits), in the form the phone asks for. Raise NotAnswered."""
        exchange = await trio.to_thread.run_sync(pairing_code.begin, phone)
        answer = await self._asking.ask(pairing_code.hello(exchange, self.device))
        try:
            ref = pairing_code.ref_of(answer)
        except MissingPartError as error:
            raise NotAnswered(f"WhatsApp's answer is incomplete: {error}") from error
        self._code = pairing_code.CodeExchange(exchange.phone, exchange.code, exchange.ephemeral, exchange.wrapped, ref)
        return pairing_code.with_hyphen(exchange.code)

    @property
    def walk(self) -> Walk:
        """The attempt's passkey steps."""
        return self._walk

    async def tell(self, message: FromEngine) -> None:
        """Send a message to the daemon."""
        await self._daemon.tell(message)

    def renew_secret(self) -> None:
        """Replace the secret, since the shown code is used up: the phone's acceptance is checked under the new one."""
        self.device = self.device.with_secret(secrets.token_bytes(ADV_SECRET_SIZE))
        self._offering.cancel()
        assert self._nursery is not None
        self._nursery.start_soon(self._give_up_passkey)

    # --- what WhatsApp says -------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            while True:
                await self._take(await self._stream.receive())
        except StreamLost as error:
            self._end(None if self._linked else Closed(kind="pairing_failed", text=f"{LOST} ({error})"))
        except MissingPartError as error:
            self._end(Closed(kind="pairing_failed", text=f"WhatsApp said what is incomplete: {error}"))

    async def _take(self, said: Node) -> None:
        match said.tag:
            case "iq":
                await self._take_iq(said)
            case "notification":
                await self._take_notification(said)
            case "failure":
                self._end(closed_by_failure(said))
            case "stream:error":
                self._end(None if self._linked else closed_by_stream_error(said))
            case _:
                return  # meant for linked devices

    async def _take_iq(self, said: Node) -> None:
        if self._asking.take(said) or said.text("type", "") != "set" or str(said.attrs.get("from")) != str(SERVER):
            return
        offer, success = said.find("pair-device"), said.find("pair-success")
        if offer is not None:
            await self._stream.send(node("iq", to=SERVER, type_="result", id=said.text("id", "")))
            self._offered.set()
            self._spawn(self._offer, tuple(ref.data for ref in offer.all("ref")))
        elif success is not None and self._linked is None and self.settled.is_set():
            self.settled = trio.Event()
            self._spawn(self._accept, said, success)

    async def _take_notification(self, said: Node) -> None:
        kind = said.text("type", "")
        ack = {"class": "notification", "id": said.text("id", ""), "type": kind, "to": said.attrs.get("from", SERVER)}
        await self._stream.send(Node("ack", ack))
        if str(said.attrs.get("from")) != str(SERVER):
            return
        match kind:
            case "link_code_companion_reg":
                self._spawn(self._finish_code, said)
            case "passkey_prologue_request":
                self._spawn(self._walk.begin, said)
            case "crsc_continuation":
                self._spawn(self._walk.go_on, said)
            case _:
                return

    def _spawn(self, step: Callable[..., Awaitable[None]], *arguments: object) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(self._guarded, step, *arguments)

    async def _guarded(self, step: Callable[..., Awaitable[None]], *arguments: object) -> None:
        try:
            await step(*arguments)
        except StreamLost as error:
            self._end(Closed(kind="pairing_failed", text=f"{LOST} ({error})"))
        except MissingPartError as error:
            self._end(Closed(kind="pairing_failed", text=f"WhatsApp said what is incomplete: {error}"))

    def _end(self, ending: FromEngine | None) -> None:
        """End the attempt with ``ending``, or with the present ending when that is None."""
        if not self._ended.is_set():
            self._ending = ending or self._ending
            self._ended.set()

    # --- codes --------------------------------------------------------------------------------------------------------

    async def _expect_offer(self) -> None:
        with trio.move_on_after(OFFER_WITHIN_S):
            await self._offered.wait()
            return
        self._end(Closed(kind="pairing_failed", text="WhatsApp offered no code in time"))

    async def _offer(self, refs: tuple[bytes, ...]) -> None:
        self._offering.cancel()
        self._offering = trio.CancelScope()
        with self._offering as scope:
            for number, ref in enumerate(refs):
                valid_s = FIRST_CODE_S if number == 0 and len(refs) == FIRST_REFS else NEXT_CODE_S
                await self.tell(Qr(codes=(self.device.qr(ref),), valid_s=valid_s))
                await trio.sleep(valid_s)
        if not scope.cancelled_caught:
            self._end(Closed(kind="pairing_failed", text="no phone scanned a code in time"))

    async def _give_up_passkey(self) -> None:
        await trio.sleep(PASSKEY_S)
        self._end(Closed(kind="pairing_failed", text="the passkey was not given in time"))

    async def _finish_code(self, notification: Node) -> None:
        exchange = self._code
        if exchange is None:
            return  # no code was requested
        try:
            self.device, answer = await trio.to_thread.run_sync(
                pairing_code.finish, exchange, notification, self.device
            )
            await self._asking.ask(answer)
        except (pairing_code.BadExchange, NotAnswered) as error:
            self._end(Closed(kind="pairing_failed", text=str(error)))

    # --- the acceptance -----------------------------------------------------------------------------------------------

    async def _accept(self, request: Node, success: Node) -> None:
        try:
            # Shielded: once the credentials are in Postgres, WhatsApp must get the answer.
            with trio.CancelScope(shield=True):
                await self._accept_whole(request, success)
        finally:
            self.settled.set()

    async def _accept_whole(self, request: Node, success: Node) -> None:
        device = self.device
        try:
            accepted, content = acceptance.check(success, device, self._messages)
            await self._store(device, accepted)
        except acceptance.NotAccepted as why:
            await self._stream.send(acceptance.refusal_of(request, why))
            self._end(Closed(kind="pairing_failed", text=str(why)))
            return
        self._offering.cancel()
        await self._stream.send(acceptance.answer_to(request, content))
        self._linked = accepted
        jid, lid = str(accepted.jid), str(accepted.lid)
        self._ending = HandedOver(jid=jid, lid=lid)
        await self.tell(Paired(jid=jid, lid=lid, platform=accepted.platform, position=1))
        assert self._nursery is not None
        self._nursery.start_soon(self._expect_restart)

    async def _store(self, device: NewDevice, accepted: Acceptance) -> None:
        if not await self._daemon.commit(device, accepted):
            raise acceptance.NotAccepted(500, "internal-error", "the new device could not be stored")

    async def _expect_restart(self) -> None:
        await trio.sleep(RESTART_WITHIN_S)
        self._end(None)

    # --- the connection -----------------------------------------------------------------------------------------------

    async def _keep_alive(self) -> None:
        answered_at = trio.current_time()
        while trio.current_time() - answered_at < KEEP_ALIVE_LOST_S:
            await trio.sleep(KEEP_ALIVE_S)
            try:
                await self._asking.ask(None, kind="get", namespace="w:p", within_s=10.0)
                answered_at = trio.current_time()
            except NotAnswered:
                continue
        self._end(Closed(kind="pairing_failed", text="WhatsApp does not answer any more"))
