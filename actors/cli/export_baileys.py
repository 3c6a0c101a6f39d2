"""`wasup export-baileys COMPANY DIR`: move a company out, into a directory that Baileys logs in with.

The directory is made under another name, then one transaction archives the company's state, and only then does the directory get its name:
both sides can never use the device at once. After a process that died, the same command finishes or undoes its work.
"""

from __future__ import annotations

import time
from argparse import Namespace
from pathlib import Path
from typing import final

import msgspec
import trio

from actors.cli.database import open_for_command
from actors.cli.device_tail import require_shipped
from actors.cli.loop import run_async
from actors.cli.outcome import CommandError, Exit
from actors.cli.output import print_json, print_line, print_note
from actors.cli.progress import ProgressBar
from actors.cli.transfer import has_landed, hold_lease, print_report
from config.load import load
from config.settings import Settings
from storage.baileys.directory import BaileysError, read_directory
from storage.baileys.export import Export, export_files
from storage.baileys.sealing import hold_directory
from storage.baileys.writing import publish, remove, require_free, staging_of, write_directory
from storage.database.migrate import migrate
from storage.database.pool import Database
from storage.errors import LeaseLost
from storage.tables import auth_state
from storage.tables.leases import Lease
from storage.upkeep import transfer as moving
from storage.upkeep.transfer import MoveRefused


def run(arguments: Namespace) -> int:
    """Raises CommandError, with the company as it was before."""
    settings = load(config_file=arguments.config)
    try:
        run_async(_export, settings, arguments)
    except BaileysError as error:
        raise CommandError(Exit.REFUSED, str(error)) from error
    return Exit.DONE


async def _export(settings: Settings, arguments: Namespace) -> None:
    target = arguments.directory.resolve()
    require_free(target)
    async with open_for_command(settings) as database:
        await migrate(database)
        leaving = _Leaving(settings, database, arguments.company, target)
        async with hold_lease(database, arguments.company, bytes(target), settings.storage) as lease:
            if not await leaving.resume():
                await leaving.run(lease)
    _print(arguments.company, target, leaving.export, as_json=arguments.json)


@final
class _Leaving:
    """The export of one company into one directory."""

    def __init__(self, settings: Settings, database: Database, company_id: str, target: Path) -> None:
        self.export: Export | None = None
        """What this run wrote; None when an earlier run wrote it."""
        self._settings = settings
        self._database = database
        self._company_id = company_id
        self._target = target
        self._staging = staging_of(target)

    async def resume(self) -> bool:
        """Finish what an earlier run handed over, or remove what it wrote but did not hand over."""
        if not self._staging.exists():
            return False
        with hold_directory(self._staging):
            digest = read_directory(self._staging).digest
            if await moving.was_handed_over(self._database, self._company_id, digest):
                publish(self._staging, self._target)
                return True
        remove(self._staging)
        return False

    async def run(self, lease: Lease) -> None:
        """Write, hand over, publish. A failure before the hand-over leaves nothing behind."""
        state = await auth_state.load(self._database, self._company_id)
        require_shipped(self._settings.devices_dir, state)
        export = export_files(state, time.time_ns() // 1_000_000)
        bar = ProgressBar("writing")
        write_directory(self._staging, export.files, bar)
        bar.close()
        timeout_s = self._settings.storage.move_timeout_s
        try:
            await self._database.write_slowly(timeout_s, moving.hand_over, state, lease, export.digest)
        except BaseException as error:
            landed = False
            with trio.CancelScope(shield=True):  # bounded by the tries
                landed = await self._settle(error, export.digest)
            if not landed:
                remove(self._staging)
                if isinstance(error, MoveRefused | LeaseLost):
                    raise CommandError(Exit.TRY_LATER, f"{error}; nothing was changed, run it again") from error
                raise
        self.export = export
        publish(self._staging, self._target)

    async def _settle(self, error: BaseException, digest: str) -> bool:
        """Return whether the state was handed over in spite of the error."""
        doubt = (
            f"the database went away and does not say whether company {self._company_id} was handed over; {self._staging} stays: "
            "run the same command again when the database is back"
        )
        return await has_landed(error, lambda: moving.was_handed_over(self._database, self._company_id, digest), doubt)


def _print(company_id: str, target: Path, export: Export | None, *, as_json: bool) -> None:
    if as_json:
        report: dict[str, object] = {} if export is None else msgspec.to_builtins(export.report)
        lost = None if export is None else export.skipped_messages
        print_json({"companyId": company_id, "directory": str(target), "skippedMessages": lost, **report})
        return
    if export is not None:
        print_report(export.report)
        print_line()
    print_line(f"company {company_id} has moved out into {target}; it is stopped and not linked here any more")
    print_note(
        "use the directory with one Baileys 7, on one machine; the state kept here is archived and must not be restored"
    )
    if export is not None and export.skipped_messages:
        print_note(
            f"{export.skipped_messages} messages had not arrived when later ones did: should they still come, they are asked for again"
        )
