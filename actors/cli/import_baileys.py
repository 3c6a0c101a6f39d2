"""`wasup import-baileys DIR COMPANY`: move a company in without scanning a QR code.

In this order: read and convert everything; take the company's lease; back the directory up; seal it; store, read back, commit. A failure
before the commit puts everything back as it was. A process that dies leaves the directory sealed: there are never two owners, and the
same command goes on from there.
"""

from __future__ import annotations

import time
from argparse import Namespace
from pathlib import Path

import msgspec

from actors.cli.baileys_import import BaileysImport, Outcome, Place
from actors.cli.database import open_for_command
from actors.cli.loop import run_async
from actors.cli.outcome import CommandError, Exit
from actors.cli.output import print_json, print_line, print_note
from actors.cli.progress import ProgressBar
from actors.cli.transfer import print_report
from config.load import load
from config.settings import Settings
from storage.baileys.directory import BaileysError, Directory, listing, read_directory
from storage.baileys.importing import Plan, plan_import
from storage.baileys.sealing import find_moved, find_tombstone, hold_directory
from storage.database.migrate import migrate


def run(arguments: Namespace) -> int:
    """Raises CommandError, with everything as it was before."""
    settings = load(config_file=arguments.config)
    try:
        place = _locate(arguments.directory, arguments.company)
        if place.tombstone is not None and place.tombstone.is_done:
            outcome = Outcome(arguments.company, "imported before", str(place.path), moved_to=str(place.directory))
            _print(outcome, None, as_json=arguments.json)
            return Exit.DONE
        with hold_directory(place.directory):
            _import(settings, place, arguments)
    except BaileysError as error:
        raise CommandError(Exit.REFUSED, str(error)) from error
    return Exit.DONE


def _locate(given: Path, company_id: str) -> Place:
    """Return the place of the directory, also where an earlier run has sealed it."""
    path = given.resolve()
    tombstone = find_tombstone(path)
    if tombstone is None:
        moved = find_moved(path)
        if moved is None and not path.exists():
            raise BaileysError(f"{path} is not there; name the directory that Baileys keeps creds.json in")
        return Place(path, moved or path, None)
    if tombstone.company_id != company_id:
        raise BaileysError(f"{path} has moved into company {tombstone.company_id} already, not into {company_id}")
    return Place(path, path.with_name(tombstone.moved_to), tombstone)


def _import(settings: Settings, place: Place, arguments: Namespace) -> None:
    source = _read(place.directory, settings.storage.import_quiet_s, is_dry=arguments.dry_run or place.is_sealed)
    bar = ProgressBar("converting")
    plan = plan_import(source, time.time(), bar)
    bar.close()
    outcome = Outcome(
        arguments.company, "checked", str(place.path), digest=source.digest, jid=plan.identity.jid
    )  # fmt: skip
    if not arguments.dry_run:
        run_async(_store, settings, BaileysImport(place, source, plan, outcome, settings))
    _print(outcome, plan, as_json=arguments.json)


def _read(directory: Path, quiet_s: float, *, is_dry: bool) -> Directory:
    """Read the directory. Raises BaileysError when it changed meanwhile, or, unless ``is_dry``, in the last ``quiet_s`` seconds."""
    before = listing(directory)
    bar = ProgressBar("reading")
    source = read_directory(directory, bar)
    bar.close()
    age_s = time.time() - source.written_at
    if age_s < quiet_s and not is_dry:
        raise BaileysError(
            f"{directory} was written to {max(age_s, 0):.0f} s ago: stop the Baileys that uses it, for good, and wait "
            f"{quiet_s:.0f} s (WASUP_STORAGE_IMPORT_QUIET_S)"
        )
    if listing(directory) != before:
        raise BaileysError(f"{directory} changed while it was read: stop the Baileys that uses it, for good")
    return source


async def _store(settings: Settings, move: BaileysImport) -> None:
    async with open_for_command(settings) as database:
        await migrate(database)
        await move.run(database)


def _print(outcome: Outcome, plan: Plan | None, *, as_json: bool) -> None:
    if as_json:
        result: dict[str, object] = msgspec.to_builtins(outcome)
        print_json(result if plan is None else {**result, **msgspec.to_builtins(plan.report)})
        return
    if plan is not None:
        print_line(f"Baileys {plan.report.generation}, {plan.report.files} files, device {outcome.jid}")
        print_line()
        print_report(plan.report)
        print_line()
    company = outcome.company_id
    match outcome.state:
        case "checked":
            print_line(f"nothing was changed; without --dry-run this moves into company {company}")
        case "imported before":
            print_line(f"company {company} has this device already; {outcome.directory} is sealed")
        case _:
            print_line(
                f"company {company} has moved in; it connects when the daemon starts, beside a running one with:"
            )
            print_line(f"  POST /api/whatsapp/sessions/{company}/start")
            print_note(f"the directory is now {outcome.moved_to}; backup: {outcome.backup}")
            print_note(
                "neither may be used again: from the first message on, an old copy would fork the device's sessions"
            )
