"""Sends a device file's journal and event spool to the daemon, in the order that durability needs.

Changed keys go before anything that depends on them: an `OutboxEvent` follows the deltas up to its position. Code that answers a call
or reports a pairing calls `ship` first and names the position it returned. Keys that are reserved in the record are not sent again
(actors/engine/device/reservations.py): the daemon never hears of their positions.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, final

import trio

from actors.engine.device.event_spool import Item
from actors.engine.device.file import DeviceFile
from actors.engine.device.journal import Batch
from actors.engine.device.reservations import Reservation, Reservations
from actors.engine.errors import WriteFault
from actors.engine.logs import EngineLog
from actors.engine.protocol.messages import FromEngine, JournalDelta, KeyRow, OutboxEvent

SWEEP_S: Final = 10.0
"""The journal is read at least this often, since the library may write without an event of ours."""

DELTAS_AHEAD: Final = 64
"""The most uncommitted deltas on their way; beyond this, changes wait in the journal, where they cost nothing."""

EVENTS_AHEAD: Final = 500

CUT_AGAIN_S: Final = 5.0
"""The pause after a cut that the file system refused."""

CUT_EVERY_S: Final = 0.5
"""The least time between two cuts: cutting takes the file's write lock, which the library needs for its messages."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one read of the file found."""

    batch: Batch | None
    """The changed keys without those that are reserved already."""
    reserved: dict[str, Reservation]
    """The reservations that the batch makes."""
    position: int
    """The journal was read beyond this position."""
    number: int
    """The event spool was read beyond this number."""
    events: list[Item]


@final
class Shipper:
    """Ships one open device file; `run` is its task."""

    def __init__(
        self,
        file: DeviceFile,
        send: Callable[[FromEngine], Awaitable[None]],
        log: EngineLog,
        *,
        position: int,
        base: bool,
    ) -> None:
        self._file = file
        self._send = send
        self._log = log
        self._turn = trio.Lock()
        self._wanted = trio.Event()
        self._acknowledged = trio.Event()
        self._base = base
        self._reservations = Reservations()
        self._position = self._sent = self._committed = position
        self._advancing = threading.Lock()
        self._number = 0
        self._underway: list[int] = []
        self._events_underway: list[int] = []
        self._to_cut: int | None = None
        self._may_cut_at = -math.inf
        self._stored: int | None = None
        self._has_changed = True
        self._holds_events_back = False
        self._write_failed: Callable[[WriteFault], None] = lambda fault: None

    async def run(self, write_failed: Callable[[WriteFault], None] = lambda fault: None) -> None:
        """Ship whenever `wake` is called, and every `SWEEP_S`; cut what was acknowledged.

        A cut that the file system refuses is reported to ``write_failed`` and tried again; shipping goes on meanwhile.
        """
        self._write_failed = write_failed
        while True:
            self._has_changed = False
            await self.ship()
            await self._tidy()
            sweep_at = trio.current_time() + SWEEP_S
            while not self._has_changed and trio.current_time() < sweep_at:
                with trio.move_on_at(sweep_at if self._to_cut is None else min(sweep_at, self._may_cut_at)):
                    await self._wanted.wait()
                    self._wanted = trio.Event()
                await self._tidy()

    def wake(self) -> None:
        """Have `run` look for changes."""
        self._has_changed = True
        self._wanted.set()

    async def ship(self, seen: Load | None = None) -> int:
        """Send everything written so far. Return the journal position of the last delta sent; everything beyond it is reserved.

        ``seen`` is what `look` found: then later changes may be left for the next time.
        """
        async with self._turn:
            await self._ship_base()
            while True:
                is_fresh = seen is not None and (seen.position, seen.number) == (self._position, self._number)
                load = seen if seen is not None and is_fresh else await trio.to_thread.run_sync(self.look)
                seen = None
                if load.batch is not None and load.batch.is_needed and len(self._underway) >= DELTAS_AHEAD:
                    await self._acknowledged.wait()  # then read again: all changes since become one delta
                    continue
                if load.batch is not None:
                    await self._ship_batch(load.batch, load.reserved)
                is_incomplete = load.batch is not None and load.batch.has_more
                if not (await self._ship_events(load) or is_incomplete):
                    return self._sent

    async def ship_to(self, position: int) -> int:
        """Send the journal up to ``position`` unless that is done already. Return the journal position of the last delta sent."""
        return self._sent if self._position >= position else await self.ship()

    def pass_reserved(self, seen: Load) -> bool:
        """Whether everything the library had written when ``seen`` was read only used keys that Postgres has reserved; on any thread.

        Then nothing need be waited for. False while any delta is uncommitted, since that delta may hold the reservation.
        """
        if self._base or (seen.batch is not None and seen.batch.is_needed) or self._committed < self._sent:
            return False
        if seen.batch is not None:
            self._advance(seen.batch.position)
        return True

    async def wait_committed(self, position: int) -> None:
        """Return when Postgres has everything up to ``position``."""
        while self._committed < position:
            await self._acknowledged.wait()

    def committed(self, position: int) -> None:
        """Note that Postgres has everything up to ``position``."""
        self._committed = max(self._committed, position)
        is_known = self._to_cut is not None
        self._to_cut = max(self._to_cut or 0, position)
        self._underway = [waiting for waiting in self._underway if waiting > position]
        self._acknowledge()
        if not is_known:
            self._wanted.set()

    def events_stored(self, number: int) -> None:
        """Note that the event log has everything up to ``number``."""
        self._stored = max(self._stored or 0, number)
        self._events_underway = [waiting for waiting in self._events_underway if waiting > number]
        if self._holds_events_back:
            self.wake()
        self._acknowledge()
        self._wanted.set()

    def _acknowledge(self) -> None:
        self._acknowledged.set()
        self._acknowledged = trio.Event()

    def look(self) -> Load:
        """Read what there is to send; on any thread but trio's, since it reads the file."""
        # Events are read before the batch, so that a complete batch has every key they depend on.
        position, number = self._position, self._number
        events = self._file.event_spool.read(number)
        batch = self._file.journal.read(position)
        reserved = {} if batch is None else self._reservations.reserve(batch)
        return Load(batch, reserved, position, number, events)

    async def _ship_base(self) -> None:
        if self._base:
            self._base = False
            await self._send(JournalDelta(position=self._position, creds=None, keys=(), base=True))
            self._underway.append(self._position)

    async def _ship_batch(self, batch: Batch, reserved: dict[str, Reservation]) -> None:
        if batch.oversized:
            self._log.failure(f"{batch.oversized} keys are too large to be shipped; they stay in the device file only")
        if batch.is_needed:
            await self._tell(batch)
            self._reservations.note(reserved)
        self._advance(batch.position)

    async def _tell(self, batch: Batch) -> None:
        keys = tuple(KeyRow(*change) for change in batch.changes)
        before, self._sent = self._sent, batch.position  # before sending: `pass_reserved` must wait for it
        try:
            await self._send(JournalDelta(position=batch.position, creds=batch.creds, keys=keys))
        except BaseException:
            self._sent = before
            raise
        self._underway.append(batch.position)

    def _advance(self, position: int) -> None:
        with self._advancing:
            self._position = max(self._position, position)

    async def _ship_events(self, load: Load) -> bool:
        """Send the events that depend on nothing unshipped; return True when the file should be read again at once."""
        self._holds_events_back = False
        for item in load.events:
            if len(self._events_underway) >= EVENTS_AHEAD:
                self._holds_events_back = True
                return False
            if item.position > self._position and await self._is_live():
                return True
            position = min(item.position, self._sent)
            await self._send(OutboxEvent(number=item.number, type=item.type, payload=item.payload, position=position))
            self._events_underway.append(item.number)
            self._number = item.number
        return bool(load.events)

    async def _is_live(self) -> bool:
        """Whether the journal can still be shipped: after a log-out it cannot, and events must not wait for it."""
        return await trio.to_thread.run_sync(self._file.identity) is not None

    async def _tidy(self) -> None:
        position = self._take_cut()
        number, self._stored = self._stored, None
        # With no delta under way, the journal has nothing left to compact.
        if position is not None or number is not None or self._underway:
            try:
                await trio.to_thread.run_sync(self._tidy_now, position, number, bool(self._underway))
            except WriteFault as fault:
                self._cut_again(position, number)
                self._write_failed(fault)

    def _cut_again(self, position: int | None, number: int | None) -> None:
        if position is not None:
            self._to_cut = max(self._to_cut or 0, position)
        if number is not None:
            self._stored = max(self._stored or 0, number)
        self._may_cut_at = trio.current_time() + CUT_AGAIN_S

    def _take_cut(self) -> int | None:
        """Return the position up to which to cut the journal now; None for no cut."""
        now = trio.current_time()
        if self._to_cut is None or now < self._may_cut_at:
            return None
        position, self._to_cut = self._to_cut, None
        self._may_cut_at = now + CUT_EVERY_S
        return position

    def _tidy_now(self, position: int | None, number: int | None, compact: bool) -> None:
        """Do all of it in one call on a worker thread: each change of threads costs as much as the work itself."""
        if position is not None:
            self._file.cut(position)
        if number is not None:
            self._file.event_spool.cut(number)
        if compact:
            self._file.journal.compact()
        self._file.shorten_log()
