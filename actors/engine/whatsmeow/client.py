"""One client of the WhatsApp library: its thread in the library, what it reports, and how it is stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar, final
from urllib.parse import quote

import trio

from actors.engine.errors import CallRefused, LibraryError, WriteFault
from actors.engine.logs import EngineLog
from actors.engine.thread_queue import ThreadQueue
from actors.engine.whatsmeow import events, log_lines
from actors.engine.whatsmeow.client_map_lock import ClientMapLock
from actors.engine.whatsmeow.disconnects import Closing, Hint
from actors.engine.whatsmeow.error_texts import code_of, failed_write
from actors.engine.whatsmeow.library import Callbacks, WhatsAppLibrary
from actors.engine.whatsmeow.log_lines import Passed
from actors.engine.whatsmeow.receipts import Receipts

T = TypeVar("T")

NOTED_WITHIN_S: Final = 1.0
"""The longest that others wait until the library has a new client in its maps; it opens and reads the file first, 5 to 7 ms."""

DISCONNECT_S: Final = 8.0
RETURN_S: Final = 3.0
QUIET_S: Final = 0.05
"""Once the socket is closed and no event has come for this long, the library has delivered everything."""
DRAIN_S: Final = 2.0
CALLS_AT_ONCE: Final = 4
"""Threads one client's calls may hold, stuck ones included."""
SIGNALS_QUEUED: Final = 64
STORE_RETRY_S: Final = 0.5
UNSAVED: Final = 1_000
"""The library holds a hundred events at most for a client; WhatsApp keeps those beyond its channel."""
STOPPED_EVERY_S: Final = 0.25
"""How often a message that waits for its key to be in Postgres checks whether its client is being stopped. It waits no longer than the
company's lease lasts, which needs Postgres too."""

REDELIVER_S: Final = 1.0
"""The delay after the first lost message, so that others lost with it are noticed before the log-in that redelivers them all."""


@dataclass(frozen=True, slots=True)
class QrOffered:
    code: str


@dataclass(frozen=True, slots=True)
class OfferEnded:
    status: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The library returned by itself."""

    error: str


@dataclass(frozen=True, slots=True)
class Stored:
    """There is something new in the event spool or the journal."""


Signal = (
    QrOffered
    | OfferEnded
    | RunEnded
    | Stored
    | events.PairSucceeded
    | events.LoggedIn
    | events.KeepAliveFailed
    | events.KeepAliveRestored
    | events.GroupTimerSet
    | Closing
    | Hint
)


@dataclass(frozen=True, slots=True)
class ClientSettings:
    name: str
    """Never used again in the process: the library may still hold a stopped client of an earlier name."""
    file: Path
    proxy: str | None
    device_name: str
    linked: bool
    """The file holds a device. Without one the library waits for a scan, and never returns if none comes."""


@final
class Client:
    """A client of the library; start it once, stop it once."""

    def __init__(
        self,
        library: WhatsAppLibrary,
        client_map_lock: ClientMapLock,
        settings: ClientSettings,
        store: Callable[[events.Incoming], None],
        log: EngineLog,
        is_lost: Callable[[Passed], bool] = lambda passed: False,
        make_room: Callable[[str], str] = str,
        make_durable: Callable[[threading.Event], None] = threading.Event.set,
    ) -> None:
        """``store`` writes an event to disk; ``is_lost`` says whether a message whose key was used already has to be delivered again;
        ``make_room`` is called once when a write has failed, and turns SQLite's text into plain words;
        ``make_durable`` sets the event when everything the library has written so far is in Postgres."""
        self.settings = settings
        self.signals: ThreadQueue[Signal] = ThreadQueue(SIGNALS_QUEUED)
        self.unsaved: list[events.Incoming] = []
        """Events that could not be written before the client was stopped, at most `UNSAVED`."""
        self._library = library
        self._gate = client_map_lock
        self._store = store
        self._is_lost = is_lost
        self._make_room = make_room
        self._make_durable = make_durable
        self._receipts = Receipts()
        self._redelivery: threading.Timer | None = None
        self._log = log
        self._limiter = trio.CapacityLimiter(CALLS_AT_ONCE)
        # Not the process's own limiter: a few stuck dials would take all its threads, which every company needs.
        self._life_limiter = trio.CapacityLimiter(2)
        self._token = trio.lowlevel.current_trio_token()
        self._noted = threading.Event()
        self._seen = threading.Event()
        self._returned = trio.Event()
        self._stopping = False
        self._has_no_room = False
        self._left = False
        self._parked = False
        self._given_up = False
        self._has_device = settings.linked
        self._would_redial = settings.linked
        self._last_callback = 0.0
        self._in_callback = 0

    @property
    def is_usable(self) -> bool:
        """Whether calls are possible: the library knows the client, and the client was not stopped."""
        return self._seen.is_set() and not self._stopping

    @property
    def has_returned(self) -> bool:
        """Whether its thread has returned from the library."""
        return self._returned.is_set()

    @property
    def has_left(self) -> bool:
        """Whether its socket is closed for good."""
        return self._left or self.has_returned

    async def start(self) -> None:
        """Have the library connect; everything that follows comes as a signal."""
        await trio.to_thread.run_sync(self._make, limiter=self._life_limiter)

    async def call(self, function: Callable[..., T], *arguments: object, deadline_s: float) -> T:
        """Call the library on a thread.

        Raise `CallRefused` with `not_connected`, `timeout` (the call continues in the library), or the code for the library's error.
        """
        if not self.is_usable:
            raise CallRefused("not_connected", "there is no connection to WhatsApp")
        with trio.move_on_after(deadline_s):
            try:
                return await trio.to_thread.run_sync(
                    partial(self._enter, function, *arguments), abandon_on_cancel=True, limiter=self._limiter
                )
            except LibraryError as error:
                raise CallRefused(code_of(error.text), error.text) from error
        raise CallRefused("timeout", f"the library did not answer within {deadline_s:.0f} s")

    async def stop(self) -> bool:
        """Leave WhatsApp and have the library forget the client. Return False when it is stuck in a dial and may still log in later.

        First the socket is closed, then the events that the library still holds are taken, then the client is forgotten. Its thread may
        still remain (`has_returned`), without a socket: the library never returns from waiting for a device that no phone linked.
        """
        self._stopping = True
        self._receipts.let_go()
        try:
            return await self._stop()
        finally:
            self._receipts.close()

    async def _stop(self) -> bool:
        if self._parked:
            self._left = True
            self.signals.close()
            return True
        with trio.move_on_after(DISCONNECT_S):
            await trio.to_thread.run_sync(self._leave, abandon_on_cancel=True, limiter=self._life_limiter)
        self._given_up = not self._left
        if self._left:
            await self._forget()
        self.signals.close()
        return self._left

    async def _forget(self) -> None:
        if self._has_device:
            await self._drain()
        self.signals.close()
        await trio.to_thread.run_sync(self._unmake, limiter=self._life_limiter)
        with trio.move_on_after(RETURN_S if self._has_device else 0.0):
            await self._returned.wait()

    async def _drain(self) -> None:
        with trio.move_on_after(DRAIN_S):
            while self._in_callback or time.monotonic() - self._last_callback < QUIET_S:
                await trio.sleep(QUIET_S / 2)

    def write_failed(self, said: str) -> None:
        """Leave WhatsApp, because a write of this company failed; until then no message is acknowledged.

        May be called on any thread but trio's.
        """
        if self._has_no_room:
            return
        self._has_no_room = True
        self._receipts.hold_all()
        reason = self._make_room(said)
        self._log.failure(f"leaving WhatsApp, which keeps what is not acknowledged: {reason}")
        self.signals.put(Closing("storage_full", text=reason))

    # --- on worker threads --------------------------------------------------------------------------------------------

    def _make(self) -> None:
        with self._gate.making():
            threading.Thread(target=self._run, name=self.settings.name, daemon=True).start()
            self._noted.wait(NOTED_WITHIN_S)

    def _enter(self, function: Callable[..., T], *arguments: object) -> T:
        self._gate.begin_call()
        try:
            return function(self.settings.name, *arguments)
        except LibraryError as error:
            if (said := failed_write(error.text)) is not None:
                self.write_failed(said)
            raise

    def _leave(self) -> None:
        self._enter(self._library.disconnect)
        self._left = True
        if self._given_up:  # the dial ended after `stop` had given up waiting for it
            self._unmake()

    def _unmake(self) -> None:
        with self._gate.making():
            self._library.stop(self.settings.name)

    def _run(self) -> None:
        settings = self.settings
        callbacks = Callbacks(self._on_qr, self._on_status, self._on_event, self._on_log)
        # The library makes a URI of the name: characters with a meaning there are quoted.
        file = quote(str(settings.file))
        try:
            error = self._library.run(
                settings.name, file, settings.proxy, settings.device_name, events.SUBSCRIBED, callbacks
            )
        except Exception as failure:  # noqa: BLE001 - the thread's boundary: whatever it was, the company must hear that its client is gone
            error = type(failure).__name__
        self._noted.set()
        self.signals.put(RunEnded(error))
        try:
            self._token.run_sync_soon(self._returned.set)
        except trio.RunFinishedError:
            return

    # --- callbacks, on the library's threads; none may raise ----------------------------------------------------------

    def _on_qr(self, code: str) -> None:
        self._seen.set()
        self.signals.put(QrOffered(code))

    def _on_status(self, status: str) -> None:
        self._seen.set()
        self.signals.put(OfferEnded(status))

    def _on_event(self, number: int, data: bytes) -> None:
        self._seen.set()
        self._in_callback += 1
        try:
            self._take_event(number, data)
        except Exception as error:  # noqa: BLE001 - an exception would vanish in the library; its text may hold message contents
            self._log.failure(f"event {number} could not be read: {type(error).__name__}")
        finally:
            self._in_callback -= 1
            self._last_callback = time.monotonic()

    def _take_event(self, number: int, data: bytes) -> None:
        event = events.decode(self._library.protobufs, number, data)
        if isinstance(event, events.Incoming):
            # The library reports a message that it could not store as undecryptable; WhatsApp delivers the message again.
            if not (self._has_no_room and event.type == "undecryptable"):
                self._keep(event)
            event = None
        if (message_id := events.message_id(self._library.protobufs, number, data)) is not None:
            self._receipts.kept(message_id)
        elif isinstance(event, events.PairSucceeded | events.LoggedIn):
            self._has_device = True
            self._would_redial = self._would_redial or isinstance(event, events.LoggedIn)
        self.signals.put(Stored() if event is None else event)

    def _keep(self, event: events.Incoming) -> None:
        """Store the event, retrying until it is on disk. Meanwhile the library's channel fills, and WhatsApp waits."""
        while True:
            try:
                return self._store(event)
            except Exception as error:  # noqa: BLE001 - a full disk or a locked file: nothing else would keep the event
                self._log.failure(f"cannot write the event spool: {type(error).__name__}: {error}")
                if isinstance(error, WriteFault | OSError):
                    self.write_failed(str(error))
            if self._stopping or self.signals.is_closed:
                return self._put_aside(event)
            time.sleep(STORE_RETRY_S)

    def _put_aside(self, event: events.Incoming) -> None:
        """Hold the event in memory; it is written before the next log-in. If the process ends first, WhatsApp delivers it again."""
        if len(self.unsaved) >= UNSAVED:
            return self._log.failure(f"a {event.type} could not be written, and is lost")
        self.unsaved.append(event)
        return None

    def _on_log(self, level: str, logger: str, text: str) -> None:
        try:
            if log_lines.is_from_known_client(logger):
                self._noted.set()
            if level == "DEBUG":  # whole nodes: no other code may see them
                return self._note_node(logger, text)
            if (passed := log_lines.passed_from_log(text)) is not None:
                self._pass(passed)
            if log_lines.is_restarting(text):
                self._would_redial = False
            self._parked = self._parked or log_lines.is_fatal(text)  # before the signal, whose handler reads it
            found = log_lines.closing_from_log(text)
            if found is not None:
                self.signals.put(found)
            if level != "INFO":
                if (
                    said := failed_write(text)
                ) is not None:  # the library would acknowledge, on this thread, a message it could not store
                    self.write_failed(said)
                self._log.library(level, logger, text)
            if self._parked:
                self._park()
        except Exception as error:  # noqa: BLE001 - as above
            self._log.failure(f"a log line could not be handled: {type(error).__name__}")

    def _note_node(self, logger: str, text: str) -> None:
        self._receipts.note(logger, text)
        if log_lines.is_message_leaving(logger, text):
            self._hold_until_durable()
        elif log_lines.is_socket_lost(logger, text):
            self._hold_until_stopped()

    def _hold_until_stopped(self) -> None:
        """Return when the library would not dial by itself, or cannot any more.

        When a socket is lost, the library begins the next dial at once, and a client that dials cannot be stopped: it holds its lock
        until the dial is over. When WhatsApp drops a thousand companies together, all would dial at once, few dials end before the
        session stops its client, and a company whose client cannot be stopped gets no other (actors/engine/host.py). So this thread,
        which has seen the loss, waits while it logs the loss; meanwhile the client is stopped and has nothing left to do. After stream
        error 515, which ends linking, WhatsApp has asked the library to dial: the thread does not wait.
        """
        if self._would_redial and not self._stopping:
            # WhatsApp's last message may still be on its way through the library, and says more than the loss of the socket.
            time.sleep(QUIET_S)
            if self._would_redial and not self._stopping:
                self.signals.put(Closing("disconnected", text="the connection to WhatsApp was lost"))
                self._receipts.wait_closed()

    def _hold_until_durable(self) -> None:
        """Return when the message may leave. On any failure, wait until the socket is closed, so that it never leaves."""
        is_durable = False
        try:
            is_durable = self._is_durable()
        finally:
            if not is_durable:
                self._log.failure("a message was not sent: the key it was encrypted with could not be stored")
                self._receipts.wait_closed()

    def _is_durable(self) -> bool:
        """Wait until the message's ratchet step is in Postgres. If the message left earlier and this machine were then lost, the next
        message would be encrypted with the same key, and its recipient would drop it."""
        durable = threading.Event()
        self._make_durable(durable)
        while not durable.wait(STOPPED_EVERY_S):
            if self._stopping:
                return False
        return True

    def _pass(self, passed: Passed) -> None:
        """Have WhatsApp deliver the message again if it was lost here; that takes another log-in."""
        try:
            if not self._is_lost(passed):
                return self._receipts.kept(passed.message_id)
        except WriteFault as fault:
            self.write_failed(str(fault))
        self._receipts.refuse(passed.message_id)
        if self._redelivery is None:
            closing = Closing("disconnected", text="messages that were lost here have to be delivered again")
            self._redelivery = threading.Timer(REDELIVER_S, self.signals.put, (closing,))
            self._redelivery.daemon = True
            self._redelivery.start()
        return None

    def _park(self) -> None:
        """Block this thread of the library for ever: its next instruction would end the process, with all other companies in it.

        The thread holds the client's socket lock: the client can never connect again, and must not be asked to disconnect.
        """
        self._log.failure("the library was about to end the process over this refusal: this client stays where it is")
        threading.Event().wait()
