"""`wasup stats`: what is stored of the companies' auth state."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

import msgspec

from actors.cli.database import open_for_command
from actors.cli.loop import run_async
from actors.cli.outcome import Exit
from actors.cli.output import print_json, print_line, print_table
from config.load import load
from config.settings import Settings
from storage.database.migrate import migrate
from storage.tables.statistics import KeyStatistics, key_statistics
from storage.upkeep.rotation import MasterKeyUse, master_key_use


def run(arguments: Namespace) -> int:
    """Raises CommandError."""
    settings = load(config_file=arguments.config)
    keys, masters = run_async(_read, settings)
    if arguments.companies:
        keys = [each for each in keys if each.company_id in arguments.companies]
    if arguments.json:
        print_json({"totals": _totals(keys), "masterKeys": msgspec.to_builtins(masters), "keys": keys})
    else:
        _print(keys, masters)
    return Exit.DONE


async def _read(settings: Settings) -> tuple[list[KeyStatistics], list[MasterKeyUse]]:
    async with open_for_command(settings) as database:
        await migrate(database)
        return await key_statistics(database), await master_key_use(database)


def _totals(keys: Sequence[KeyStatistics]) -> dict[str, int]:
    counts = {name: sum(getattr(each, name) for each in keys) for name in ("total", "expired", "bytes", "sealed")}
    return {"companies": len({each.company_id for each in keys}), **counts}


def _print(keys: Sequence[KeyStatistics], masters: Sequence[MasterKeyUse]) -> None:
    head = ("COMPANY", "TYPE", "KEYS", "EXPIRED", "SEALED", "BYTES")
    print_table(head, [(each.company_id, each.key_type, *_numbers(each)) for each in keys])
    totals = _totals(keys)
    print_line()
    print_line(
        f"{totals['companies']} companies, {totals['total']} values, {totals['bytes']} bytes, "
        f"{totals['expired']} expired, {totals['sealed']} sealed"
    )
    for use in masters:
        print_line(
            f"master key {use.master_key} wraps the data keys of {use.live} companies and {use.archived} archives"
        )


def _numbers(each: KeyStatistics) -> tuple[str, ...]:
    return (str(each.total), str(each.expired), str(each.sealed), str(each.bytes))
