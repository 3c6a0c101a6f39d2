"""What import and export share: holding a company's lease, and reporting to the operator what moved."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import trio

from actors.cli.outcome import CommandError, Exit
from actors.cli.output import print_line, print_note, print_table
from config.sections import StorageSettings
from storage.baileys.report import Report
from storage.database.pool import Database
from storage.errors import LeaseHeld, LeaseLost, StorageError, StorageUnavailable
from storage.tables import leases
from storage.tables.leases import Lease
from storage.upkeep.transfer import MoveRefused

_RELEASE_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.2
_SETTLE_TRIES: Final = 10
_SETTLE_PAUSE_S: Final = 0.5


@asynccontextmanager
async def hold_lease(
    database: Database, company_id: str, place: bytes, settings: StorageSettings
) -> AsyncGenerator[Lease]:
    """Own the company inside the block, so that no daemon can run it. Raises CommandError when one does.

    The owner is named after the source or the destination: after a command was killed, a second attempt need not wait for its lease.
    """
    owner = f"move-{hashlib.sha256(place).hexdigest()[:16]}/{secrets.token_hex(4)}"
    lease = await _acquire(database, company_id, owner, settings)
    try:
        yield lease
    finally:
        with trio.move_on_after(_RELEASE_S, shield=True), suppress(StorageError):  # it runs out by itself
            await database.write(leases.release, company_id, lease.owner, lease.epoch)


async def _acquire(database: Database, company_id: str, owner: str, settings: StorageSettings) -> Lease:
    """Take the lease. Wait a moment for it: a company that was just stopped gives it back only once all its state is stored."""
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


async def has_landed(error: BaseException, ask: Callable[[], Awaitable[bool]], doubt: str) -> bool:
    """Return whether a transaction was committed although it ended with this error, as when its connection broke at COMMIT.

    ``ask`` looks into the database. Raises CommandError, with ``doubt`` as its text, when the database stays away.
    """
    if isinstance(error, MoveRefused | LeaseLost) or (isinstance(error, StorageUnavailable) and not error.in_doubt):
        return False
    for _ in range(_SETTLE_TRIES):
        with suppress(StorageError):
            return await ask()
        await trio.sleep(_SETTLE_PAUSE_S)
    raise CommandError(Exit.TRY_LATER, doubt) from error


def print_report(report: Report) -> None:
    """Print the report for people: what moved, what stayed and why, what was guessed."""
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
