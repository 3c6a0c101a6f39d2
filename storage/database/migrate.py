"""Brings the schema to what this version needs: numbered SQL files, each applied once, in order, in its own transaction."""

from __future__ import annotations

import hashlib
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final, LiteralString, final

import msgspec

from storage.database.connection import Connection
from storage.database.pool import Database
from storage.errors import MigrationError, QueryFailed

TIMEOUT_S: Final = 600.0
"""For one migration, including the wait for another daemon that is migrating."""

_LOCK: LiteralString = "SELECT pg_advisory_xact_lock(7283190045)"
_TABLE: LiteralString = """
    CREATE TABLE IF NOT EXISTS wasup_migrations (
        number     INTEGER     PRIMARY KEY,
        name       TEXT        NOT NULL,
        checksum   TEXT        NOT NULL,
        applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
    )
"""
_TABLE_EXISTS: LiteralString = "SELECT to_regclass('wasup_migrations') IS NOT NULL"
_FOREIGN: LiteralString = """
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relname IN ('whatsapp_auth', 'whatsapp_keys') ORDER BY 1 LIMIT 1
"""
_APPLIED: LiteralString = "SELECT number, name, checksum FROM wasup_migrations ORDER BY number"
_TOUCH: LiteralString = "UPDATE wasup_migrations SET applied_at = applied_at WHERE number = 1"
_RECORD: LiteralString = "INSERT INTO wasup_migrations (number, name, checksum) VALUES ($1, $2, $3)"


@final
class Migration(msgspec.Struct, frozen=True):
    """One file of storage/database/sql/migrations."""

    number: int
    name: str
    """The file's name without its extension."""
    script: LiteralString

    @property
    def checksum(self) -> str:
        """SHA-256 of the script, in hex."""
        return hashlib.sha256(self.script.encode()).hexdigest()


def shipped() -> tuple[Migration, ...]:
    """Return the migrations that come with this version, in order."""
    folder = resources.files("storage.database") / "sql" / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple(_read(folder / name) for name in names)


def _read(file: Traversable) -> Migration:
    script = file.read_text("utf-8")
    # The script is a file of the distribution, never a composed string.
    return Migration(int(file.name[:4]), file.name.removesuffix(".sql"), script)  # pyright: ignore[reportArgumentType]


async def migrate(db: Database, migrations: tuple[Migration, ...] | None = None) -> list[str]:
    """Apply the missing migrations and return their names. Several daemons may call this at once.

    Raises `MigrationError`, with nothing changed, for a database that is newer than this version or whose applied
    migrations differ from the shipped ones, and when a migration itself fails (those before it stay applied);
    `StorageUnavailable` as every write.
    """
    todo = shipped() if migrations is None else migrations
    applied: list[str] = []
    try:
        while (name := await db.write_slowly(TIMEOUT_S, _apply_next, todo)) is not None:
            applied.append(name)
    except QueryFailed as exc:
        failed = (await pending(db, todo))[0]
        raise MigrationError(f"migration {failed} failed and changed nothing: {exc}") from exc
    return applied


async def pending(db: Database, migrations: tuple[Migration, ...] | None = None) -> list[str]:
    """Return the names of the migrations that `migrate` would apply. Raises `MigrationError` like it."""
    todo = shipped() if migrations is None else migrations
    done = await db.fetch(_APPLIED) if await db.fetchval(_TABLE_EXISTS) else ()
    applied = _check({row["number"]: (row["name"], row["checksum"]) for row in done}, todo)
    return [migration.name for migration in todo[applied:]]


async def prove_writable(connection: Connection) -> None:
    """Write without changing anything. A read-only server fails here, though it answers every query."""
    await connection.execute(_TOUCH)


async def _apply_next(connection: Connection, migrations: tuple[Migration, ...]) -> str | None:
    await connection.execute(_LOCK)
    if not await connection.fetchval(_TABLE_EXISTS):
        await _refuse_foreign(connection)
        await connection.execute(_TABLE)
    rows = await connection.fetch(_APPLIED)
    applied = _check({row["number"]: (row["name"], row["checksum"]) for row in rows}, migrations)
    if applied == len(migrations):
        return None
    await _apply(connection, migrations[applied])
    return migrations[applied].name


async def _refuse_foreign(connection: Connection) -> None:
    """Raise when a table with one of our names exists although no migration of ours was applied: it is another program's."""
    if (table := await connection.fetchval(_FOREIGN)) is not None:
        raise MigrationError(
            f"the table {table} is another program's, and the database has none of wasup's: give wasup a database of its own "
            "(CREATE DATABASE wasup) and move the companies there with `wasup import database URL`; docs/moving-in.md has the steps"
        )


def _check(applied: dict[int, tuple[str, str]], migrations: tuple[Migration, ...]) -> int:
    """Return how many of ``migrations`` are applied. Raises unless they are the first ones, unchanged, and no others."""
    known = {migration.number: migration for migration in migrations}
    for number, (name, checksum) in applied.items():
        if number not in known:
            newest = migrations[-1].name if migrations else "none"
            raise MigrationError(
                f"the database has migration {name}, this version of wasup knows migrations up to {newest}: "
                "run the version that migrated it, or a newer one"
            )
        if known[number].checksum != checksum:
            raise MigrationError(
                f"migration {name} in the database differs from the shipped {known[number].name}: "
                "its file was changed after it had been applied; restore the file of the release"
            )
    expected = [migration.number for migration in migrations[: len(applied)]]
    if expected != list(applied):
        raise MigrationError(
            f"the database lacks some of migrations {expected} but has later ones: restore wasup_migrations"
        )
    return len(applied)


async def _apply(connection: Connection, migration: Migration) -> None:
    await connection.execute(migration.script)
    await connection.execute(_RECORD, migration.number, migration.name, migration.checksum)
