"""What import and export share: holding a company's lease, and telling the operator what became of everything."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import trio

from actors.cli.outcome import CommandError, Exit
from actors.cli.output import print_line, print_note, print_table
from config.sections import StorageSettings
from storage.baileys.report import Report
from storage.database.pool import Database
from storage.errors import LeaseHeld, StorageError
from storage.tables import leases
from storage.tables.leases import Lease

_RELEASE_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.2


@asynccontextmanager
async def hold_lease(
    database: Database, company_id: str, path: Path, settings: StorageSettings
) -> AsyncGenerator[Lease]:
    """Own the company inside the block, so that no daemon can run it. CommandError when one does.

    The owner is named after the directory: a second attempt with it need not wait for the lease of one that was killed.
    """
    owner = f"move-{hashlib.sha256(bytes(path)).hexdigest()[:16]}/{secrets.token_hex(4)}"
    lease = await _acquire(database, company_id, owner, settings)
    try:
        yield lease
    finally:
        with trio.move_on_after(_RELEASE_S, shield=True), suppress(StorageError):  # it runs out by itself
            await database.write(leases.release, company_id, lease.owner, lease.epoch)


async def _acquire(database: Database, company_id: str, owner: str, settings: StorageSettings) -> Lease:
    """The lease; waits a moment, because a company that was just stopped gives it back only when all it had is stored."""
    give_up_at = trio.current_time() + settings.move_lease_wait_s
    ttl_s = 2 * settings.move_timeout_s
    while True:
        try:
            return await database.write(leases.acquire, company_id, owner, ttl_s)
        except LeaseHeld as error:
            if trio.current_time() >= give_up_at:
                text = (
                    f"company {company_id} is in use: stop it first (POST /api/whatsapp/sessions/{company_id}/stop), or the daemon "
                    f"that runs it; its lease ends in {error.expires_in_s:.0f} s unless it is renewed"
                )
                raise CommandError(Exit.REFUSED, text) from error
        await trio.sleep(_LOOK_EVERY_S)


def print_report(report: Report) -> None:
    """The report for people: what moved, what stayed and why, what was guessed."""
    print_table(("MOVED", "COUNT"), [(kind, str(count)) for kind, count in sorted(report.moved.items())])
    if report.left_behind:
        reasons = Counter((left.verdict, left.reason) for left in report.left_behind)
        print_line()
        print_table(
            ("LEFT BEHIND", "COUNT", "WHY"),
            [(verdict, str(count), reason) for (verdict, reason), count in sorted(reasons.items())],
        )
    if report.ambiguous:
        print_line()
        print_table(
            ("AMBIGUOUS", "TAKEN AS", "WHY"), [(one.name, one.taken_as, one.reason) for one in report.ambiguous]
        )
    for warning in report.warnings:
        print_note(f"warning: {warning}")
    if report.truncated:
        print_note(
            f"{report.truncated} old parts of sessions did not fit: messages that belong to them are asked for again"
        )
