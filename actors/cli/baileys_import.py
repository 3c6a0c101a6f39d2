"""The steps of an import that change something: lease, backup, seal and commit, and how each is undone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import final

import msgspec
import trio

from actors.cli.outcome import CommandError, Exit
from actors.cli.progress import ProgressBar
from actors.cli.transfer import has_landed, hold_lease
from config.settings import Settings
from storage.baileys.directory import BaileysError, Directory, read_directory
from storage.baileys.importing import Plan
from storage.baileys.sealing import Tombstone, back_up, mark_done, moved_name, seal, unseal
from storage.database.pool import Database
from storage.errors import LeaseLost
from storage.upkeep import transfer as moving
from storage.upkeep.transfer import Arrival, MoveRefused


@dataclass(frozen=True, slots=True)
class Place:
    """Where the directory is."""

    path: Path
    """Its original path, where Baileys looks for it."""
    directory: Path
    """Its present path."""
    tombstone: Tombstone | None
    """What an earlier run left when it sealed the directory; None if none did."""

    @property
    def is_sealed(self) -> bool:
        return self.directory != self.path


class Outcome(msgspec.Struct, rename="camel"):
    """What `--json` prints, the report beside it."""

    company_id: str
    state: str
    """``checked``, ``imported``, or ``imported before``."""
    directory: str
    moved_to: str | None = None
    backup: str | None = None
    digest: str | None = None
    jid: str | None = None


@final
class BaileysImport:
    """One run of the steps that change something."""

    def __init__(self, place: Place, source: Directory, plan: Plan, outcome: Outcome, settings: Settings) -> None:
        self._place = place
        self._source = source
        self._outcome = outcome
        self._settings = settings.storage
        self._arrival = Arrival(outcome.company_id, source.digest, plan.identity.creds, plan.changes)
        self._stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        self._tombstone = place.tombstone

    async def run(self, database: Database) -> None:
        """Store the state unless an earlier run has. On BaileysError or CommandError everything is as it was before."""
        company_id = self._arrival.company_id
        async with hold_lease(database, company_id, bytes(self._place.path), self._settings) as lease:
            if await self._is_stored(database):
                self._finish("imported before")
                return
            backup = self._put_away()
            try:
                bar = ProgressBar("storing")
                await database.write_slowly(
                    self._settings.move_timeout_s,
                    moving.take_in,
                    self._arrival,
                    lease,
                    lambda stored: bar(stored, len(self._arrival.changes)),
                )
                bar.close()
            except BaseException as error:
                landed = False
                with trio.CancelScope(shield=True):  # bounded by the tries
                    landed = await self._settle(database, error)
                if not landed:
                    self._put_back(backup)
                    self._explain(error)
                    raise
            self._finish("imported")

    async def _is_stored(self, database: Database) -> bool:
        """Return whether an earlier run has stored the state. Raises BaileysError when the company cannot take it."""
        elsewhere = await moving.owner_of_source(database, self._arrival)
        if elsewhere is not None:
            raise BaileysError(f"this directory has been imported into company {elsewhere}; one device has one company")
        found = await moving.standing(database, self._arrival)
        if found == "taken":
            raise BaileysError(
                f"company {self._arrival.company_id} is linked to another device; log it out first "
                f"(POST /api/whatsapp/sessions/{self._arrival.company_id}/logout)"
            )
        if found == "moved on" and not self._place.is_sealed:
            raise BaileysError(
                f"company {self._arrival.company_id} runs this very device already and has used it since: this directory is an "
                "old copy, and using it again would fork the device's sessions; delete it"
            )
        return found != "free"

    def _put_away(self) -> Path | None:
        """Back the directory up and seal it. One that is sealed already is only checked."""
        path, place = self._place.path, self._place
        if place.is_sealed:
            if place.tombstone is not None and place.tombstone.digest != self._source.digest:
                raise BaileysError(f"{place.directory} was changed after it was sealed; import the backup instead")
            self._outcome.moved_to = str(place.directory)
            return None
        backup = back_up(self._source, self._stamp)
        self._tombstone = self._new_tombstone(moved_name(path, self._stamp), backup.name)
        try:
            moved = seal(path, self._tombstone)
        except BaseException:
            backup.unlink()
            raise
        self._outcome.moved_to, self._outcome.backup = str(moved), str(backup)
        if read_directory(moved).digest != self._source.digest:
            self._put_back(backup)
            raise BaileysError(f"{path} changed while it was imported: stop the Baileys that uses it, for good")
        return backup

    def _new_tombstone(self, moved_to: str, backup: str) -> Tombstone:
        return Tombstone(self._arrival.company_id, self._source.digest, moved_to, backup, self._stamp)

    def _put_back(self, backup: Path | None) -> None:
        if backup is not None and self._outcome.moved_to is not None:
            unseal(self._place.path, Path(self._outcome.moved_to))
            backup.unlink()
            self._outcome.moved_to = self._outcome.backup = None

    async def _settle(self, database: Database, error: BaseException) -> bool:
        """Return whether the state was stored in spite of the error."""
        company_id = self._arrival.company_id

        async def ask() -> bool:
            return await moving.standing(database, self._arrival) != "free"

        doubt = (
            f"the database went away and does not say whether company {company_id} was stored; {self._place.path} stays "
            "sealed: run the same command again when the database is back"
        )
        return await has_landed(error, ask, doubt)

    def _explain(self, error: BaseException) -> None:
        """Raise CommandError, with one sentence, for an error that the operator can act on."""
        if isinstance(error, MoveRefused | LeaseLost):
            raise CommandError(Exit.TRY_LATER, f"{error}; nothing was changed, run it again") from error

    def _finish(self, state: str) -> None:
        """Leave a note in the directory's place that its state is stored."""
        self._outcome.state = state
        path, place = self._place.path, self._place
        tombstone = self._tombstone
        if tombstone is None:  # an earlier run stored the state but ended before it left one
            moved_to = place.directory.name if place.is_sealed else moved_name(path, self._stamp)
            tombstone = self._new_tombstone(moved_to, "")
            if not place.is_sealed:
                self._outcome.moved_to = str(seal(path, tombstone))
        mark_done(path, tombstone)
