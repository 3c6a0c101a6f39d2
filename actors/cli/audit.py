"""`wasup audit`: who did what, and whether the audit log was tampered with."""

from __future__ import annotations

from argparse import Namespace

from actors.cli.database import open_for_command
from actors.cli.loop import run_async
from actors.cli.outcome import CommandError, Exit
from actors.cli.output import print_json, print_note, print_table, show_time
from config.load import load
from config.settings import Settings
from storage.database.migrate import migrate
from storage.tables import audit
from storage.tables.audit import AuditRecord


def run(arguments: Namespace) -> int:
    """Print the log. Raises CommandError, also when its hash chain is broken."""
    settings = load(config_file=arguments.config)
    records, breaks = run_async(_read, settings, arguments.limit)
    if arguments.json:
        print_json({"breaks": breaks, "records": records})
    else:
        print_table(("ID", "TIME", "KEY", "ACTION", "TARGET", "ADDRESS", "TIMES"), [_row(each) for each in records])
    if breaks:
        named = ", ".join(str(each) for each in breaks[:10])
        raise CommandError(
            Exit.FAILED,
            f"the audit log was tampered with: {len(breaks)} records do not follow from those before them ({named})",
        )
    if not arguments.json:
        print_note("the chain of records is whole")
    return Exit.DONE


async def _read(settings: Settings, limit: int) -> tuple[list[AuditRecord], list[int]]:
    async with open_for_command(settings) as database:
        await migrate(database)
        return await audit.read(database, limit=limit), await audit.breaks(database)


def _row(record: AuditRecord) -> tuple[str, ...]:
    shown = (str(record.id), show_time(record.at), record.key_id, record.action)
    return (*shown, record.target, record.address or "-", str(record.count))
