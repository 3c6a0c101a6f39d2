"""`wasup with-database COMMAND`: run a program with the database up, and with the variables that lead to it."""

from __future__ import annotations

import os
import shutil
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress

import trio

from actors.cli.database import open_server, server_for_command
from actors.cli.loop import run_async
from actors.cli.outcome import CommandError, Exit
from config.load import load
from config.postgres_url import PostgresUrl, read
from config.settings import Settings
from storage.database.libpq import variables, without_variables
from storage.database.same_database import require_same
from storage.embedded.binaries import packaged
from storage.errors import EmbeddedPostgresError, StorageRefused, StorageUnavailable

_SIGNALLED = 128
"""For a program that a signal ended, the exit code is this plus the signal's number, as in shells."""


def run(arguments: Namespace) -> int:
    """Return the program's exit code. Raises CommandError when it cannot be started."""
    return run_async(_run, load(config_file=arguments.config), [arguments.program, *arguments.arguments])


async def _run(settings: Settings, command: Sequence[str]) -> int:
    try:
        async with server_for_command(settings) as url:
            environment = _environment(settings, await _with_own_session(settings, url))
            if shutil.which(command[0], path=environment["PATH"]) is None:
                raise CommandError(Exit.USAGE, f"there is no program {command[0]}")
            # Through env, which looks the program up in the PATH that it is given, not in ours.
            ended = await trio.run_process(["env", *command], stdin=None, env=environment, check=False)
    except EmbeddedPostgresError as error:
        raise CommandError(Exit.FAILED, str(error)) from error
    return ended.returncode if ended.returncode >= 0 else _SIGNALLED - ended.returncode


async def _with_own_session(settings: Settings, url: PostgresUrl) -> PostgresUrl:
    """Return the URL for programs that keep settings in their session, as pg_dump does: through a pooler, others would get them."""
    if settings.database_direct_url is None:
        if await _is_pooled(settings, url):
            raise CommandError(
                Exit.SETTINGS,
                "database_url goes to a pooler in transaction mode, where a program has no session of its own: "
                "set WASUP_DATABASE_DIRECT_URL to the same database past the pooler",
            )
        return url
    direct = read(settings.database_direct_url.reveal(), os.environ)
    try:
        async with open_server(settings, url) as database:
            await require_same(database, direct)
    except StorageRefused as error:
        raise CommandError(Exit.SETTINGS, str(error)) from error
    except StorageUnavailable as error:
        raise CommandError(Exit.TRY_LATER, str(error)) from error
    return direct


async def _is_pooled(settings: Settings, url: PostgresUrl) -> bool:
    if settings.database_url is None:
        return False
    async with open_server(settings, url) as database:
        with suppress(StorageUnavailable):  # then the program reports what is wrong
            await database.fetchval("SELECT 1")
        return bool(database.statistics().is_pooled)


def _environment(settings: Settings, url: PostgresUrl) -> dict[str, str]:
    """Return variables that name this database and no other. Nested commands of ours use it as well, and look for no way past a pooler."""
    try:
        found = {**without_variables(os.environ), **variables(url), "DATABASE_URL": url.reveal()}
    except ValueError as error:
        raise CommandError(Exit.SETTINGS, f"database_url: {error}") from error
    if settings.database_direct_url is not None:
        found["WASUP_DATABASE_DIRECT_URL"] = url.reveal()
    path = os.environ.get("PATH", os.defpath)
    # The embedded server's own programs first: those of an older version refuse to work with it.
    found["PATH"] = path if settings.database_url is not None else f"{packaged() / 'bin'}{os.pathsep}{path}"
    return found
