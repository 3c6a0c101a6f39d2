"""`wasup with-database COMMAND`: a program beside the database, with everything it needs to find it."""

from __future__ import annotations

import os
import shutil
from argparse import Namespace
from collections.abc import Sequence

import trio

from actors.cli.database import server_for_command
from actors.cli.loop import run_async
from actors.cli.outcome import CommandError, Exit
from config.load import load
from config.settings import Settings
from storage.errors import EmbeddedPostgresError
from storage.libpq import variables
from storage.postgres_binaries import packaged

_SIGNALLED = 128
"""A program that a signal ended counts as ending with this and the signal's number, as shells have it."""


def run(arguments: Namespace) -> int:
    """What the program ended with. Raises CommandError when it cannot be begun."""
    return run_async(_run, load(config_file=arguments.config), [arguments.program, *arguments.arguments])


async def _run(settings: Settings, command: Sequence[str]) -> int:
    try:
        async with server_for_command(settings) as dsn:
            environment = _environment(settings, dsn)
            if shutil.which(command[0], path=environment["PATH"]) is None:
                raise CommandError(Exit.USAGE, f"there is no program {command[0]}")
            # Through env, which looks for it in the PATH that it is given and not in ours.
            ended = await trio.run_process(["env", *command], stdin=None, env=environment, check=False)
    except EmbeddedPostgresError as error:
        raise CommandError(Exit.FAILED, str(error)) from error
    return ended.returncode if ended.returncode >= 0 else _SIGNALLED - ended.returncode


def _environment(settings: Settings, dsn: str) -> dict[str, str]:
    try:
        found = {**os.environ, **variables(dsn), "DATABASE_URL": dsn}
    except ValueError as error:
        raise CommandError(Exit.SETTINGS, f"database_url: {error}") from error
    path = os.environ.get("PATH", os.defpath)
    # The embedded server's own: programs of an older version refuse to work with it.
    found["PATH"] = path if settings.database_url is not None else f"{packaged() / 'bin'}{os.pathsep}{path}"
    return found
