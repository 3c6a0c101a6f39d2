"""Whether the device file on this machine has changes that Postgres lacks, as after a daemon was killed and before its next start."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from actors.cli.outcome import CommandError, Exit
from actors.device_files.lock import FileLock
from storage.tables.auth_state import AuthState


def require_shipped(devices: Path, state: AuthState) -> None:
    """Raise CommandError when the company's device file is in use, or holds changes that were not shipped yet."""
    path = devices / f"{state.company_id}.db"
    if not path.is_file():
        return
    lock = FileLock(path)
    if not lock.take():
        raise CommandError(Exit.REFUSED, f"company {state.company_id} is in use by an engine process: stop it first")
    try:
        # This process has no other copy of SQLite, and the lock keeps other processes away.
        with closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True)) as connection:
            file_id = _scalar(connection, "SELECT value FROM wasup_meta WHERE name = 'file_id'")
            position = _scalar(connection, "SELECT seq FROM sqlite_sequence WHERE name = 'wasup_journal'") or 0
    except sqlite3.Error as error:
        raise CommandError(Exit.FAILED, f"the device file {path} cannot be read: {error}") from error
    finally:
        lock.release()
    if file_id == state.file_id and isinstance(position, int) and position > state.position:
        text = (
            f"the device file of company {state.company_id} is {position - state.position} changes ahead of Postgres: its daemon was "
            "killed; start it, wait until the company is connected, and stop the company"
        )
        raise CommandError(Exit.REFUSED, text)


def _scalar(connection: sqlite3.Connection, query: str) -> object:
    row: tuple[object, ...] | None = connection.execute(query).fetchone()
    return None if row is None else row[0]
