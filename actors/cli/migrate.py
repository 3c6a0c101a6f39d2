"""`wasup migrate`: bring the schema up to date without starting the daemon."""

from __future__ import annotations

from argparse import Namespace

from actors.cli.database import open_for_command
from actors.cli.loop import run_async
from actors.cli.outcome import Exit
from actors.cli.output import print_json, print_line
from config.load import load
from config.settings import Settings
from storage.database.migrate import migrate


def run(arguments: Namespace) -> int:
    """Apply the migrations. Raises CommandError, with the schema as it was before the migration that failed."""
    settings = load(config_file=arguments.config)
    applied = run_async(_migrate, settings)
    if arguments.json:
        print_json({"applied": applied})
    else:
        for name in applied:
            print_line(f"applied {name}")
        if not applied:
            print_line("the schema is up to date")
    return Exit.DONE


async def _migrate(settings: Settings) -> list[str]:
    async with open_for_command(settings) as database:
        return await migrate(database)
