"""The database for commands that need it themselves, whether or not a daemon runs."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack, asynccontextmanager

import trio

from actors.cli.outcome import CommandError, Exit
from config.errors import StateDirectoryBusyError
from config.postgres_url import PostgresUrl, read
from config.settings import Settings
from config.state import hold_state_dir
from storage.crypto.sealing import Vault
from storage.database.pool import Database, open_database
from storage.embedded.server import EmbeddedPostgres
from storage.errors import (
    EmbeddedPostgresError,
    MasterKeyError,
    MigrationError,
    QueryFailed,
    StorageUnavailable,
    UnreadableState,
)

_CONNECTIONS = 2


@asynccontextmanager
async def open_for_command(settings: Settings, vault: Vault | None = None) -> AsyncGenerator[Database]:
    """``DATABASE_URL``'s server, the running daemon's embedded one, or the embedded one started for this command alone.

    ``vault`` seals and opens auth state; without one the configured master key does.

    Raises CommandError when the server does not answer, or when an operation on it fails.
    """
    try:
        vault = vault or Vault.of_file(settings.master_key_file)
        async with (
            server_for_command(settings) as url,
            open_server(settings, url, vault) as database,
        ):
            yield database
    except StorageUnavailable as error:
        raise CommandError(Exit.TRY_LATER, str(error)) from error
    except (EmbeddedPostgresError, MasterKeyError, MigrationError, UnreadableState) as error:
        raise CommandError(Exit.FAILED, str(error)) from error
    except QueryFailed as error:
        raise CommandError(Exit.FAILED, f"the database refused: {error}; `wasup migrate` may be needed") from error


def open_server(
    settings: Settings, url: PostgresUrl, vault: Vault | None = None
) -> AbstractAsyncContextManager[Database]:
    """A few connections to the server of `server_for_command`."""
    return open_database(
        url,
        size=_CONNECTIONS,
        acquire_timeout_s=settings.storage.acquire_timeout_s,
        command_timeout_s=settings.storage.command_timeout_s,
        vault=vault,
        pooler="none" if settings.database_url is None else settings.storage.pooler,
    )


@asynccontextmanager
async def server_for_command(settings: Settings) -> AsyncGenerator[PostgresUrl]:
    """The server to use: ``DATABASE_URL``'s, the running daemon's embedded one, or the embedded one, started for the block.

    Raises EmbeddedPostgresError. Does not try whether ``DATABASE_URL``'s server answers.
    """
    if settings.database_url is not None:
        yield read(settings.database_url.reveal(), os.environ)
        return
    server = EmbeddedPostgres(
        settings.postgres_dir,
        user=settings.postgres_account,
        start_timeout_s=settings.storage.postgres_start_timeout_s,
        stop_timeout_s=settings.storage.postgres_stop_timeout_s,
    )
    with ExitStack() as stack:
        if not _took(stack, hold_state_dir(settings.state_dir)):
            # The daemon's server runs with it, and takes more than one client.
            yield read(server.dsn)
            return
        try:
            yield read(await server.start())
        finally:
            with trio.CancelScope(shield=True):  # bounded by the server's own stop deadline
                await server.stop()


def _took(stack: ExitStack, hold: AbstractContextManager[None]) -> bool:
    try:
        stack.enter_context(hold)
    except StateDirectoryBusyError:
        return False
    return True
