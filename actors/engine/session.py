"""One company in the engine process: its device file, its client's life, and what the client reports."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, final

import msgspec
import trio

from actors.engine.device.file import DeviceFile, Ending, Identity
from actors.engine.errors import CallRefused, SqliteError, WriteFault
from actors.engine.host import Host
from actors.engine.logs import EngineLog
from actors.engine.protocol.messages import Closed, Connected, FromEngine, KeepAlive, Open, Paired, Qr
from actors.engine.shipping import Load, Shipper
from actors.engine.whatsmeow import events, payloads
from actors.engine.whatsmeow.client import Client, ClientSettings, OfferEnded, QrOffered, RunEnded, Signal, Stored
from actors.engine.whatsmeow.disconnects import Closing, Hint
from actors.engine.whatsmeow.error_texts import closing_from_login_status
from actors.engine.whatsmeow.redelivery import Redelivery
from actors.engine.whatsmeow.unsealing import note_secrets
from actors.engine.whatsmeow.write_faults import reason_of, words_for

FIRST_CODE_S: Final = 60.0
NEXT_CODE_S: Final = 20.0

OFFER_WITHIN_S: Final = 30.0
LOGIN_WITHIN_S: Final = 50.0
LOGIN_AFTER_PAIRING_S: Final = 30.0
"""After linking, the library restarts its socket by itself; when that fails it never reports it."""

KEEP_ALIVE_LOST_S: Final = 100.0
"""A connection whose keep-alives stay unanswered this long counts as lost, before the library reconnects by itself at 180 s."""

_KEPT_WHILE_UNLINKED: Final = frozenset({"outdated", "temporary_ban", "storage_full"})


@final
class Session:
    """`run` is its task; the methods for the daemon's calls (actors/engine/calls.py) may be used while it runs."""

    def __init__(
        self,
        host: Host,
        request: Open,
        file: DeviceFile,
        send: Callable[[FromEngine], Awaitable[None]],
        shipper: Shipper,
        log: EngineLog,
    ) -> None:
        self.file = file
        self.shipper = shipper
        self.is_logged_in = False
        self._host = host
        self._request = request
        self._send = send
        self._log = log
        self._life = trio.Lock()
        self._client: Client | None = None
        self._nursery: trio.Nursery | None = None
        self._pumping = trio.CancelScope()
        self._deadline = float("inf")
        self._ending: Closing | None = None
        self._hint: Hint | None = None
        self._codes = 0
        self._code_until = 0.0
        self._keep_alive_failed = False
        self._unsaved: list[events.Incoming] = []
        """Events that could not be written when they came."""
        self._redelivery = Redelivery(file, self._store, log)
        self._token = trio.lowlevel.current_trio_token()

    async def run(self) -> None:
        """Ship, and keep the client; when cancelled, stop the client and close the file."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self.shipper.run, self.write_failed)
                ending = await trio.to_thread.run_sync(self.file.ending)
                if ending is not None:
                    await self._send(Closed(kind=ending.kind, code=ending.code, text=ending.text))
        finally:
            with trio.CancelScope(shield=True):
                await self._close()

    # --- for the calls ------------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Start a client unless one runs. Raise `CallRefused` when an earlier client is stuck in the library."""
        async with self._life:
            if self._client is not None:
                return
            if self._host.has_stuck_client(self._request.company_id):
                raise CallRefused("engine_error", "an earlier client of this company is still stuck in a dial")
            if await trio.to_thread.run_sync(self.file.ending) is not None:
                raise CallRefused("not_linked", "this device was logged out: open the company with discard_file first")
            await self._require_room()
            await self._start_client()

    async def disconnect(self) -> None:
        """Stop the client, if one runs, and ship what remains."""
        async with self._life:
            await self._stop_client()
        await self.shipper.ship()

    async def logged_out(self) -> None:
        """Note that this device was unlinked on request: nothing of the file is shipped any more."""
        async with self._life:
            await self._stop_client()
            await self._end_file(Ending("logged_out", 401, "logged out on request"))

    def write_failed(self, fault: WriteFault) -> None:
        """Have the client leave WhatsApp, if it is connected, because a write of ours to the file failed."""
        if self._client is not None and self._nursery is not None:
            self._nursery.start_soon(trio.to_thread.run_sync, self._client.write_failed, str(fault))

    def client(self) -> Client:
        """Return the running client. Raise `CallRefused` with `not_connected` when there is none."""
        if self._client is None or self._ending is not None:
            raise CallRefused("not_connected", "there is no connection to WhatsApp")
        return self._client

    async def is_linked(self) -> bool:
        return await trio.to_thread.run_sync(self.file.identity) is not None

    async def note_round_trip(self) -> None:
        """Count whatsmeow's own keep-alives as working again, because a ping came back."""
        if self._keep_alive_failed:
            self._keep_alive_failed = False
            await self._send(KeepAlive(ok=True))

    async def words_for(self, fault: WriteFault) -> str:
        """Return in plain words why the file system took no write."""
        return await trio.to_thread.run_sync(words_for, str(fault), self._host.devices)

    async def _require_room(self) -> None:
        """Write the unsaved events and check that the file takes writes. Raise `CallRefused` with `storage_full` when it does not."""
        try:
            await trio.to_thread.run_sync(self._save)
            await trio.to_thread.run_sync(self.file.require_writable)
        except (WriteFault, OSError) as error:
            reason = await trio.to_thread.run_sync(reason_of, error, self._host.devices)
            raise CallRefused("storage_full", reason or str(error)) from error
        self.shipper.wake()

    def _save(self) -> None:
        while self._unsaved:
            self._store(self._unsaved[0])
            del self._unsaved[0]

    async def _end_file(self, ending: Ending) -> None:
        """Note in the file that the device is gone. When the disk is full, only the daemon's archived record shows it."""
        with contextlib.suppress(WriteFault):
            await trio.to_thread.run_sync(self.file.end, ending)

    # --- the client's life --------------------------------------------------------------------------------------------

    async def _start_client(self) -> None:
        assert self._nursery is not None
        linked = await self.is_linked()
        settings = ClientSettings(
            self._host.next_client_name(self._request.company_id),
            self.file.path,
            self._request.proxy,
            self._request.device_name,
            linked,
        )
        client = Client(
            self._host.library,
            self._host.client_map_lock,
            settings,
            self._store,
            self._log,
            self._redelivery.is_lost,
            self._make_room,
            self._make_durable,
        )
        self._ending = self._hint = None
        self._codes = 0
        self._deadline = trio.current_time() + (LOGIN_WITHIN_S if linked else OFFER_WITHIN_S)
        self._client = client
        self._pumping = trio.CancelScope()
        self._nursery.start_soon(self._pump, client, self._pumping)
        await client.start()

    async def _stop_client(self) -> None:
        client = self._client
        if client is None:
            return
        self.is_logged_in = self._keep_alive_failed = False
        if not await client.stop():
            self._log.failure("the library does not let go of a client: it is stuck in a dial")
        self._pumping.cancel()
        self._client = None
        self._unsaved += client.unsaved
        self._host.note_ended(self._request.company_id, client)
        while (signal := client.signals.get_nowait()) is not None:
            self._note_ending(signal)

    async def _close(self) -> None:
        await self._stop_client()
        if self._unsaved:
            # When this fails, WhatsApp delivers the events again, since they were never acknowledged.
            with contextlib.suppress(WriteFault, OSError):
                await trio.to_thread.run_sync(self._save)
        if not self._host.has_stuck_client(self._request.company_id):  # a stuck client may still write its events
            await trio.to_thread.run_sync(self.file.close)

    def _store(self, event: events.Incoming) -> None:
        """On the library's thread."""
        for name in ("chat", "sender"):
            self.file.complete(event.payload[name])
        if event.type == "message":
            self.file.timers.note(event.payload)
            note_secrets(self._host.library.messages, self.file, event)
        media = None if event.media is None else msgspec.json.encode(event.media)
        message_id = event.payload["messageId"] if event.type == "message" else None
        self.file.event_spool.put(event.type, payloads.encode(event.payload), media=media, message_id=message_id)

    def _make_room(self, said: str) -> str:
        """On the library's thread."""
        reason = words_for(said, self._host.devices)
        self._host.reserve.release()
        return reason

    def _make_durable(self, durable: threading.Event) -> None:
        """Runs on the library's thread, which waits for ``durable`` only until its client is stopped."""
        seen: Load | None = None
        with contextlib.suppress(SqliteError):  # `ship` reads the file again
            # On this thread, which may block: changing threads costs more than the read.
            seen = self.shipper.look()
            if self.shipper.pass_reserved(seen):
                durable.set()
                return
        with contextlib.suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._start_making_durable, durable, seen)

    def _start_making_durable(self, durable: threading.Event, seen: Load | None) -> None:
        assert self._nursery is not None
        with contextlib.suppress(RuntimeError):  # the session has ended: nothing becomes durable any more
            self._nursery.start_soon(self._ship_and_tell, durable, seen)

    async def _ship_and_tell(self, durable: threading.Event, seen: Load | None) -> None:
        await self.shipper.wait_committed(await self.shipper.ship(seen))
        durable.set()

    # --- what it reports ----------------------------------------------------------------------------------------------

    async def _pump(self, client: Client, scope: trio.CancelScope) -> None:
        with scope:
            while True:
                signal = await self._next_signal(client)
                self.shipper.wake()
                if not self._note_ending(signal):
                    await self._handle(signal)
                elif self._ending is not None:
                    self._finish_soon(client)

    async def _next_signal(self, client: Client) -> Signal:
        """Return the client's next signal, or a `Closing` when none has come by the deadline."""
        with trio.move_on_at(self._deadline):
            return await client.signals.get()
        self._deadline = float("inf")
        return Closing("disconnected", self._hint_code(), "WhatsApp did not log this device in, in time")

    def _hint_code(self) -> int:
        return self._hint.code if self._hint is not None else 0

    def _note_ending(self, signal: Signal) -> bool:
        """Whether the signal is about the connection's end; if so, the more specific of it and the earlier ones is kept."""
        closing: Closing | None
        match signal:
            case Hint():
                self._hint = signal
                return True
            case RunEnded(error):
                closing = Closing("connect_failure" if not self.is_logged_in else "disconnected", text=error)
            case OfferEnded(status):
                closing = closing_from_login_status(status, used_up=time.monotonic() >= self._code_until - 1.0)
            case Closing():
                closing = signal
            case _:
                closing = None
        if closing is None:
            return False
        self._ending = closing if self._ending is None else self._ending.or_better(closing)
        return True

    async def _handle(self, signal: Signal) -> None:
        match signal:
            case QrOffered(code):
                await self._offer(code)
            case events.PairSucceeded(platform):
                await self._paired(platform)
            case events.LoggedIn():
                await self._logged_in()
            case events.KeepAliveFailed(errors, last_success):
                await self._keep_alive(errors, last_success)
            case events.KeepAliveRestored():
                await self.note_round_trip()
            case events.GroupTimerSet(group, timer):
                await trio.to_thread.run_sync(self.file.timers.set, {group}, timer)
            case Stored() | _:
                pass

    async def _offer(self, code: str) -> None:
        self._codes += 1
        valid_s = FIRST_CODE_S if self._codes == 1 else NEXT_CODE_S
        self._code_until = time.monotonic() + valid_s
        self._deadline = trio.current_time() + valid_s + OFFER_WITHIN_S
        await self._send(Qr(codes=(code,), valid_s=valid_s))

    async def _paired(self, platform: str) -> None:
        self._deadline = trio.current_time() + LOGIN_AFTER_PAIRING_S
        self._hint = Hint(515, "not logged in after linking")
        position = await self.shipper.ship()
        identity = await self._identity()
        if identity is not None:
            await self._send(Paired(jid=identity.jid, lid=identity.lid, platform=platform, position=position))

    async def _logged_in(self) -> None:
        self._deadline = float("inf")
        self._hint = None
        await self.shipper.ship()
        identity = await self._identity()
        if identity is not None:
            self.is_logged_in = True
            await self._send(Connected(jid=identity.jid, lid=identity.lid, push_name=identity.push_name))

    async def _keep_alive(self, errors: int, last_success: int) -> None:
        self._keep_alive_failed = True
        await self._send(KeepAlive(ok=False, errors=errors))
        if time.time() - last_success > KEEP_ALIVE_LOST_S and self._client is not None:
            self._ending = Closing("disconnected", text="WhatsApp does not answer keep-alives")
            self._finish_soon(self._client)

    async def _identity(self) -> Identity | None:
        return await trio.to_thread.run_sync(self.file.identity)

    def _finish_soon(self, client: Client) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(partial(self._finish, client))

    async def _finish(self, client: Client) -> None:
        """Stop the client before the library reconnects by itself, and report the most specific reason for the connection's end."""
        async with self._life:
            if self._client is not client or self._ending is None:
                return
            await self._stop_client()
            ending = self._ending
            closed = self._closed(ending, linked=await trio.to_thread.run_sync(self.file.was_linked))
            if closed.kind == "logged_out":
                await self._end_file(Ending(closed.kind, closed.code, closed.text))
        await self.shipper.ship()
        await self._send(closed)

    def _closed(self, ending: Closing, *, linked: bool) -> Closed:
        code = ending.code or self._hint_code()
        kind = ending.kind if linked or ending.kind in _KEPT_WHILE_UNLINKED else "pairing_failed"
        text = ending.text or (self._hint.text if self._hint is not None else "")
        return Closed(kind=kind, code=code, text=text, expires_in_s=ending.expires_in_s)
