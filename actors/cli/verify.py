"""`wasup verify`: check that everything stored of the companies can be opened and used."""

from __future__ import annotations

from argparse import Namespace

from actors.cli.database import open_for_command
from actors.cli.loop import run_async
from actors.cli.outcome import CommandError, Exit
from actors.cli.output import print_json, print_line
from actors.cli.progress import ProgressBar
from config.load import load
from config.settings import Settings
from storage.database.migrate import pending
from storage.upkeep.integrity import Integrity, verify

_NAMED = 10


def run(arguments: Namespace) -> int:
    """Check everything. Raises CommandError, also when something cannot be opened or used."""
    settings = load(config_file=arguments.config)
    found = run_async(_verify, settings)
    if arguments.json:
        print_json(found)
    else:
        _print(found)
    if found.unreadable:
        named = "; ".join(f"{name}: {why}" for name, why in list(found.unreadable.items())[:_NAMED])
        raise CommandError(Exit.FAILED, f"{len(found.unreadable)} cannot be used: {named}")
    return Exit.DONE


async def _verify(settings: Settings) -> Integrity:
    async with open_for_command(settings) as database:
        if missing := await pending(database):
            raise CommandError(
                Exit.REFUSED, f"the schema lacks {', '.join(missing)}: nothing was read; `wasup migrate` applies them"
            )
        bar = ProgressBar("reading")
        try:
            return await verify(database, bar)
        finally:
            bar.close()


def _print(found: Integrity) -> None:
    print_line(
        f"{found.companies} companies, {found.linked} of them linked, {found.values} values and {found.webhooks} webhooks read"
    )
    if found.files:
        print_line(f"what it takes to fetch {found.files} files")
    for company_id, count in found.left_out.items():
        print_line(f"company {company_id}: {count} keys are of no use and would be left out of its device file")
