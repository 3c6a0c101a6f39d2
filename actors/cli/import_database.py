"""`wasup import database URL COMPANY …`: move companies in from another program's ``whatsapp_auth`` and ``whatsapp_keys``, without a code.

Companies are moved one after another: a refusal of one does not affect the others. `database_import` has the steps that change something.
"""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final, final

import msgspec
import trio

from actors.cli.database import open_for_command
from actors.cli.database_import import DatabaseImport, Way
from actors.cli.loop import run_async
from actors.cli.outcome import CommandError, Exit
from actors.cli.output import print_json, print_line, print_note, print_table
from actors.cli.progress import ProgressBar
from actors.cli.transfer import print_report
from config.load import load
from config.postgres_url import PostgresUrl, read
from config.settings import Settings
from storage.baileys.directory import BaileysError
from storage.baileys.report import Report
from storage.database.migrate import migrate
from storage.database.pool import Database, open_database
from storage.errors import QueryFailed, StorageError, StorageUnavailable
from storage.imports.database.reading import list_companies, read_snapshot
from storage.imports.database.shape import ForeignError, Shape, find_shape

_CONNECTIONS: Final = 2
_FROM_INPUT: Final = "-"
_MAX_URL: Final = 8192


@final
class CompanyOutcome(msgspec.Struct, rename="camel"):
    """The result for one company."""

    company_id: str
    state: str
    """``checked``, ``rehearsed``, ``imported``, ``imported before`` or ``refused``."""
    jid: str | None = None
    digest: str | None = None
    reason: str | None = None
    """Why it was refused."""
    report: Report | None = None


def run(arguments: Namespace) -> int:
    """Raises CommandError when nothing could be begun; ends with `Exit.REFUSED` when a company was refused."""
    if bool(arguments.companies) == arguments.all:
        raise CommandError(Exit.USAGE, "name the companies to move, or --all")
    settings = load(config_file=arguments.config)
    found = run_async(_import, settings, read_source(arguments.source), arguments)
    if arguments.json:
        print_json({"companies": found})
    else:
        _print(found)
    return Exit.REFUSED if any(one.state == "refused" for one in found) else Exit.DONE


def read_source(text: str) -> PostgresUrl:
    """Return the URL; for ``-`` the one in the first line of standard input."""
    given = sys.stdin.readline(_MAX_URL).strip() if text == _FROM_INPUT else text
    try:
        return read(given, os.environ)
    except ValueError as error:
        raise CommandError(Exit.USAGE, f"URL: {error}") from error


@asynccontextmanager
async def open_source(settings: Settings, url: PostgresUrl) -> AsyncGenerator[Database]:
    """Yield the other program's database. An error of it within the block becomes a CommandError that names that database."""
    async with open_database(
        url,
        size=_CONNECTIONS,
        acquire_timeout_s=settings.storage.acquire_timeout_s,
        command_timeout_s=settings.storage.move_timeout_s,
        pooler=settings.storage.pooler,
    ) as database:
        yield database


async def look(source: Database, schema: str) -> Shape:
    """Return the shape of the tables there. Raises CommandError when they cannot be read."""
    try:
        return await find_shape(source, schema)
    except ForeignError as error:
        raise CommandError(Exit.REFUSED, str(error)) from error
    except StorageUnavailable as error:
        raise CommandError(Exit.TRY_LATER, f"the database to move from: {error.reason}") from error
    except StorageError as error:
        raise CommandError(Exit.REFUSED, f"the database to move from refused: {error}") from error


async def _import(settings: Settings, url: PostgresUrl, arguments: Namespace) -> list[CompanyOutcome]:
    way: Way = "dry run" if arguments.dry_run else "rehearsal" if arguments.rehearse else "move"
    async with open_source(settings, url) as source:
        shape = await look(source, arguments.source_schema)
        companies = await _companies(source, shape, arguments)
        if way == "dry run":
            return await _each(DatabaseImport(settings.storage, source, shape, None, way), companies)
        async with open_for_command(settings) as database:
            await migrate(database)
            arriving = DatabaseImport(settings.storage, source, shape, database, way)
            if not shape.has_times and way == "move":
                await _wait_for_quiet(arriving, companies, settings.storage.import_quiet_s)
            return await _each(arriving, companies)


async def _companies(source: Database, shape: Shape, arguments: Namespace) -> Sequence[str]:
    if not arguments.all:
        return list(dict.fromkeys(arguments.companies))
    try:
        return await source.write(list_companies, shape)
    except StorageError as error:
        raise CommandError(Exit.REFUSED, f"the database to move from refused: {error}") from error


async def _wait_for_quiet(arriving: DatabaseImport, companies: Sequence[str], quiet_s: float) -> None:
    """Read every company and pause: tables without times do not say when they were written to, so each is compared after the pause."""
    print_note(f"{shape_hint(arriving)}: looking twice, {quiet_s:.0f} s apart")
    now_s = time.time()
    for company_id in companies:
        try:
            source = await arriving.source.write(read_snapshot, arriving.shape, company_id, now_s)
        except (ForeignError, QueryFailed):
            continue  # reported when the company is moved
        arriving.seen[company_id] = source.digest
    await trio.sleep(quiet_s)


def shape_hint(arriving: DatabaseImport) -> str:
    """Return a sentence about what those tables lack."""
    return f"the tables in {arriving.shape.schema_name} do not say when they were written to"


async def _each(arriving: DatabaseImport, companies: Sequence[str]) -> list[CompanyOutcome]:
    """Return every company's outcome, in order. Only a few have full reports: more would fill memory and the screen."""
    found: list[CompanyOutcome] = []
    bar = ProgressBar("companies")
    for number, company_id in enumerate(companies, 1):
        found.append(await _one(arriving, company_id))
        if len(companies) > _REPORTED:
            _shorten(found[-1])
        bar(number, len(companies))
    bar.close()
    return found


_REPORTED: Final = 20
"""With more companies than this, reports have numbers only."""


def _shorten(outcome: CompanyOutcome) -> None:
    if outcome.report is not None:
        outcome.report.left_behind.clear()
        outcome.report.ambiguous.clear()


async def _one(arriving: DatabaseImport, company_id: str) -> CompanyOutcome:
    try:
        state, plan = await arriving.run(company_id)
    except (ForeignError, BaileysError, QueryFailed) as error:
        return CompanyOutcome(company_id, "refused", reason=str(error))
    except CommandError as error:
        return CompanyOutcome(company_id, "refused", reason=error.text)
    if plan is None:
        return CompanyOutcome(company_id, state)
    return CompanyOutcome(company_id, state, plan.identity.jid, plan.digest, report=plan.report)


def _print(found: Sequence[CompanyOutcome]) -> None:
    if len(found) == 1 and (report := found[0].report) is not None:
        print_report(report)
        print_line()
    print_table(
        ("COMPANY", "STATE", "KEYS", "LEFT", "WHY"),
        [
            (
                one.company_id,
                one.state,
                str(sum(one.report.moved.values())) if one.report else "-",
                str(sum(one.report.left.values())) if one.report else "-",
                one.reason or "",
            )
            for one in found
        ],
    )
    if any(one.state == "imported" for one in found):
        print_note(
            "they connect when the daemon starts, or at once under a running one; their old credentials must not be used again"
        )
    if any(one.state in {"checked", "rehearsed"} for one in found):
        print_note("nothing was changed")
