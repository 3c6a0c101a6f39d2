"""Moves one company from another program's tables into ours.

In this order: read and convert everything; take the company's lease; seal the rows there, with an archive; store them here, read them back,
commit. A failure before the commit unseals them. A process that dies leaves them sealed: there are never two owners, and the same command
goes on from there.
"""

from __future__ import annotations

import time
from typing import Final, Literal, TypeAlias, final

import trio

from actors.cli.outcome import CommandError, Exit
from actors.cli.transfer import has_landed, hold_lease
from config.company_id import is_company_id
from config.sections import StorageSettings
from storage.baileys.directory import Source
from storage.baileys.importing import Plan, plan_import
from storage.database.connection import Connection
from storage.database.pool import Database
from storage.errors import LeaseHeld, LeaseLost
from storage.imports.database import sealing
from storage.imports.database.reading import read_snapshot
from storage.imports.database.shape import ForeignError, Shape
from storage.tables import leases
from storage.tables.leases import Lease
from storage.upkeep import transfer
from storage.upkeep.transfer import Arrival, MoveRefused

Way: TypeAlias = Literal["dry run", "rehearsal", "move"]

_REHEARSAL: Final = "rehearsal/command-line"


@final
class _Undone(Exception):
    """Rolls a rehearsal back, once everything was stored and read back."""


@final
class DatabaseImport:
    """Moves companies from one database into another, one at a time."""

    def __init__(
        self, settings: StorageSettings, source: Database, shape: Shape, target: Database | None, way: Way
    ) -> None:
        self.source = source
        self.shape = shape
        self.seen: dict[str, str] = {}
        """Each company's digest before the pause, for tables that do not say when they were written to."""
        self._settings = settings
        self._target = target
        self._way = way

    async def run(self, company_id: str) -> tuple[str, Plan | None]:
        """Return what was done, and the plan of it. Raises ForeignError, BaileysError, CommandError or the source's error, with nothing
        changed."""
        if not is_company_id(company_id):
            raise ForeignError("its id cannot be one here: 1 to 64 of A-Z a-z 0-9 _ and - are")
        now_s = time.time()
        sealed = await self.source.write(sealing.find_sealed, self.shape, company_id)
        found = sealed.source if sealed else await self.source.write(read_snapshot, self.shape, company_id, now_s)
        if self._way == "move" and sealed is None:
            self._require_quiet(company_id, found)
        plan = await trio.to_thread.run_sync(plan_import, found, now_s)
        target = self._target
        if target is None:
            return ("checked" if sealed is None or not sealed.is_done else "imported before"), plan
        arrival = Arrival(company_id, found.digest, plan.identity.creds, plan.changes)
        if self._way == "rehearsal":
            return await self._rehearse(target, arrival), plan
        async with hold_lease(target, company_id, f"database {company_id}".encode(), self._settings) as lease:
            return await self._move(target, arrival, lease, found, now_s, sealed), plan

    def _require_quiet(self, company_id: str, source: Source) -> None:
        quiet_s = self._settings.import_quiet_s
        advice = f"stop the program that uses it, for good, and wait {quiet_s:.0f} s (WASUP_STORAGE_IMPORT_QUIET_S)"
        if (before := self.seen.get(company_id)) is not None:
            if before != source.digest:
                raise ForeignError(f"company {company_id} was written to there just now: {advice}")
        elif (age_s := time.time() - source_time(source)) < quiet_s:
            raise ForeignError(f"company {company_id} was written to there {max(age_s, 0):.0f} s ago: {advice}")

    async def _rehearse(self, target: Database, arrival: Arrival) -> str:
        """Store the state and read it back in a transaction that is rolled back."""

        async def work(connection: Connection) -> None:
            lease = await leases.acquire(connection, arrival.company_id, _REHEARSAL, self._settings.move_timeout_s)
            await transfer.take_in(connection, arrival, lease, lambda _stored: None)
            raise _Undone

        try:
            await target.write_slowly(self._settings.move_timeout_s, work)
        except _Undone:
            return "rehearsed"
        except (LeaseHeld, MoveRefused) as error:
            raise CommandError(Exit.REFUSED, f"{error}; it would be refused") from error
        raise AssertionError("the transaction was to be rolled back")

    async def _move(
        self,
        target: Database,
        arrival: Arrival,
        lease: Lease,
        source: Source,
        now_s: float,
        sealed: sealing.Sealed | None,
    ) -> str:
        company_id = arrival.company_id
        if await self._is_stored(target, arrival, sealed):
            if sealed is None:
                await self._seal(company_id, source, now_s)
            await self.source.write(sealing.mark_done, self.shape, company_id)
            return "imported before"
        if sealed is None:
            await self._seal(company_id, source, now_s)
        try:
            await target.write_slowly(
                self._settings.move_timeout_s, transfer.take_in, arrival, lease, lambda _stored: None
            )
        except BaseException as error:
            if not await self._has_landed(target, arrival, error):
                raise
        await self.source.write(sealing.mark_done, self.shape, company_id)
        return "imported"

    async def _is_stored(self, target: Database, arrival: Arrival, sealed: sealing.Sealed | None) -> bool:
        """Return whether an earlier run has stored the state. Raises ForeignError when the company cannot take it."""
        company_id = arrival.company_id
        elsewhere = await transfer.owner_of_source(target, arrival)
        if elsewhere is not None:
            raise ForeignError(f"this device has been imported into company {elsewhere}; one device has one company")
        found = await transfer.standing(target, arrival)
        if found == "taken":
            raise ForeignError(
                f"company {company_id} is linked to another device here; log it out first (POST /api/whatsapp/sessions/{company_id}/logout)"
            )
        if found == "moved on" and sealed is None:
            raise ForeignError(
                f"company {company_id} runs this very device here already and has used it since: what is there is an old copy, and "
                "using it again would fork the device's sessions"
            )
        if found == "free" and sealed is not None and sealed.is_done:
            raise ForeignError(
                f"company {company_id} has moved into {sealed.moved_to} already, and is not here (any more)"
            )
        return found != "free"

    async def _seal(self, company_id: str, source: Source, now_s: float) -> None:
        await self.source.write_slowly(
            self._settings.move_timeout_s, sealing.seal, self.shape, company_id, source, now_s, "wasup"
        )

    async def _has_landed(self, target: Database, arrival: Arrival, error: BaseException) -> bool:
        """Return whether the state was stored in spite of the error. Unseal the source if it was not."""

        async def ask() -> bool:
            return await transfer.standing(target, arrival) != "free"

        doubt = (
            f"the database went away and does not say whether company {arrival.company_id} was stored; it stays sealed where it was: run "
            "the same command again when the database is back"
        )
        with trio.CancelScope(shield=True):  # bounded by the tries
            if await has_landed(error, ask, doubt):
                return True
            await self.source.write(sealing.unseal, self.shape, arrival.company_id)
        if isinstance(error, MoveRefused | LeaseLost):
            raise CommandError(Exit.TRY_LATER, f"{error}; nothing was changed, run it again") from error
        return False


def source_time(source: Source) -> float:
    """Return when its newest row was written, in Unix seconds."""
    return max((file.written_at for file in source.files), default=0.0)
