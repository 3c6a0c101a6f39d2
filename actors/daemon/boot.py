"""What must happen once before anything else: migrations, the check of the master key, and the first admin key."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import final

import structlog
import trio

from config.postgres_url import PostgresUrl
from storage.database.migrate import migrate, prove_writable
from storage.database.pool import Database
from storage.database.same_database import require_same
from storage.errors import StorageRefused, StorageUnavailable
from storage.tables import api_keys
from storage.tables.data_keys import require_master_key
from supervisor import Actor

WAIT_FOR_POSTGRES_S = 60.0
RETRY_S = 0.5


@final
class BootActor(Actor):
    """Started means done: the schema is current, a write has succeeded, sealed rows can be opened, and there is an admin key. Then it
    ends (transient).

    The daemon does not start on: `StorageRefused`, when a ``direct`` URL leads to another database; the database's error, when Postgres
    takes no write within `WAIT_FOR_POSTGRES_S`; `MasterKeyError`.
    """

    def __init__(self, database: Database, *, admin_key_file: Path, direct: PostgresUrl | None = None) -> None:
        self._database = database
        self._direct = direct
        self._admin_key_file = admin_key_file
        self._log = structlog.get_logger("wasup.boot")

    async def started(self) -> None:
        applied = await self._prepare_database()
        if applied:
            self._log.info("migrated", migrations=applied)
        await self._check_way()
        await self._require_master_key()
        await self._ensure_admin_key()
        self.context.stop()

    async def _prepare_database(self) -> list[str]:
        """Bring the schema up to date and write once. Return the migrations that were applied."""
        deadline = trio.current_time() + WAIT_FOR_POSTGRES_S
        while True:
            try:
                applied = await migrate(self._database)
                await self._database.write(prove_writable)
            except StorageUnavailable as error:
                if trio.current_time() >= deadline:
                    raise
                self._log.warning("waiting_for_postgres", reason=str(error))
            else:
                return applied
            await trio.sleep(RETRY_S)

    async def _check_way(self) -> None:
        """Log whether a pooler is in between. Raise StorageRefused when the way past it leads to another database."""
        if self._database.statistics().is_pooled:
            self._log.info("postgres_through_pooler", hint="statements are not prepared and take more round trips")
        if self._direct is None:
            return
        try:
            await require_same(self._database, self._direct)
        except StorageRefused:
            raise
        except StorageUnavailable as error:
            self._log.warning("direct_database_away", reason=str(error))

    async def _require_master_key(self) -> None:
        """Raise MasterKeyError when no company can be read. When only some cannot, log them and start."""
        for kek_id, companies in (await require_master_key(self._database)).items():
            self._log.error("master_key_missing", kek_id=kek_id, companies=companies)
        masters = self._database.vault.master_keys
        if masters is None:
            self._log.info("auth_state_unencrypted", hint="set master_key_file to have it encrypted")
        else:
            self._log.info("auth_state_encrypted", kek_id=masters.ids[0])
            if masters.file.stat().st_mode & stat.S_IRWXO:
                self._log.warning(
                    "master_key_exposed", file=str(masters.file), hint="take others' access away: chmod o="
                )

    async def _ensure_admin_key(self) -> None:
        """Make an admin key if there is none. Its text is stored only in the file."""
        if any(key.is_admin and key.revoked_at is None for key in await api_keys.list_all(self._database)):
            return
        key = api_keys.generate()
        # The file first: if it cannot be written, no key is stored whose text is lost.
        write_private(self._admin_key_file, key.secret + "\n")
        await self._database.write(api_keys.store, key, "first admin key", None)
        self._log.info("admin_key_written", file=str(self._admin_key_file))


def write_private(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` with mode 0600 from the first byte, atomically replacing an earlier file."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    new.replace(path)
