"""`wasup rotate-key`: wrap every data key with a new master key, and seal what is still plain, while daemons run."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from actors.cli.database import open_for_command
from actors.cli.loop import run_async
from actors.cli.outcome import CommandError, Exit
from actors.cli.output import print_json, print_line
from actors.cli.progress import ProgressBar
from config.load import load
from config.settings import Settings
from storage.crypto.master_key import MasterKeys
from storage.crypto.sealing import Vault
from storage.database.migrate import migrate
from storage.errors import MasterKeyError
from storage.upkeep.rotation import Rotated, rewrap_all, rewrap_webhooks, seal_everything


def run(arguments: Namespace) -> int:
    """Rotate. Raises CommandError, also when some companies had to be left as they are; all others are then done."""
    settings = load(config_file=arguments.config)
    try:
        keys = _keys(settings.master_key_file, arguments.new_key_file, arguments.old_key_files)
    except MasterKeyError as error:
        raise CommandError(Exit.SETTINGS, str(error)) from error
    rotated = run_async(_rotate, settings, keys)
    if arguments.json:
        print_json(_described(rotated, keys))
    else:
        _print(rotated, keys)
    if rotated.unreadable:
        why = "; ".join(list(rotated.unreadable.values())[:3])
        raise CommandError(
            Exit.FAILED,
            f"{len(rotated.unreadable)} companies were left as they are ({why}); --old-key-file names further keys",
        )
    return Exit.DONE


def _keys(configured: Path | None, new: Path | None, old: Sequence[Path]) -> MasterKeys:
    """Return the master keys. The new one is the first of ``new``, or of the configured file; all others are old."""
    if new is None:
        if configured is None:
            raise CommandError(
                Exit.SETTINGS, "there is no master key: set WASUP_MASTER_KEY_FILE, or name one with --new-key-file"
            )
        return MasterKeys(configured, old)
    if configured is None:
        return MasterKeys(new, old)
    wanted, daemons = MasterKeys(new, [*old, configured]), MasterKeys(configured)
    if daemons.find(wanted.ids[0]) is None:
        raise CommandError(
            Exit.REFUSED,
            f"{configured}, which the daemon reads, does not hold the new key {wanted.ids[0]}: "
            "put it there first, above the old one (docs/encryption.md)",
        )
    return wanted


async def _rotate(settings: Settings, keys: MasterKeys) -> Rotated:
    rotated = Rotated()
    async with open_for_command(settings, vault=Vault(keys)) as database:
        await migrate(database)
        bar = ProgressBar("data keys")
        await rewrap_all(database, keys.current(), rotated, bar)
        bar.close()
        await rewrap_webhooks(database, rotated)
        bar = ProgressBar("companies")
        await seal_everything(database, rotated, bar)
        bar.close()
    return rotated


def _described(rotated: Rotated, keys: MasterKeys) -> dict[str, object]:
    return {
        "masterKey": keys.ids[0],
        "rewrapped": rotated.rewrapped,
        "webhooks": rotated.webhooks,
        "sealed": {
            "companies": rotated.sealed_companies,
            "values": rotated.sealed_values,
            "archives": rotated.sealed_archives,
            "files": rotated.sealed_files,
        },
        "unreadable": rotated.unreadable,
    }


def _print(rotated: Rotated, keys: MasterKeys) -> None:
    print_line(f"{rotated.rewrapped} data keys are wrapped by master key {keys.ids[0]} now")
    if rotated.webhooks:
        print_line(f"and so are the secrets of {rotated.webhooks} webhooks")
    if rotated.sealed_companies or rotated.sealed_archives or rotated.sealed_files:
        print_line(
            f"sealed {rotated.sealed_values} values of {rotated.sealed_companies} companies, "
            f"{rotated.sealed_archives} archives and {rotated.sealed_files} keys of files that were stored plain"
        )
    if not rotated.unreadable:
        print_line("nothing in the database needs another master key")
