"""`wasup cleanup`: do now what the daemon's janitor does every few hours."""

from __future__ import annotations

from argparse import Namespace

import msgspec

from actors.cli.database import open_for_command
from actors.cli.loop import run_async
from actors.cli.outcome import Exit
from actors.cli.output import print_json, print_line
from actors.cli.progress import ProgressBar
from config.load import load
from config.settings import Settings
from storage.database.migrate import migrate
from storage.upkeep.sweep import Swept, sweep


def run(arguments: Namespace) -> int:
    """Raises CommandError."""
    settings = load(config_file=arguments.config)
    swept = run_async(_sweep, settings)
    if arguments.json:
        print_json(msgspec.to_builtins(swept))
    else:
        print_line(
            f"deleted {swept.keys} expired keys, {swept.events} old events, {swept.idempotency} old answers, "
            f"{swept.dead_letters} old dead letters of webhooks, {swept.archives} old credentials out of use; "
            f"refreshed {swept.refreshed} keys of running sessions"
        )
    return Exit.DONE


async def _sweep(settings: Settings) -> Swept:
    async with open_for_command(settings) as database:
        await migrate(database)
        bar = ProgressBar("cleaning up")
        swept = await sweep(
            database,
            keep_events_s=settings.events.retention_s,
            keep_archives_s=settings.janitor.archive_retention_s,
            webhooks=settings.webhooks,
            batch_rows=settings.janitor.batch_rows,
            progress=bar,
        )
        bar.close()
    return swept
