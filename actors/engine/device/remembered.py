"""What a device file keeps about people and chats beside the library's own tables. It is not shipped to Postgres: a file that is lost with
its machine costs one query to WhatsApp per number, and a chat's timer until that chat's next message.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Sequence
from typing import Final, final

from actors.engine.device.sqlite import Connection
from actors.engine.errors import SqliteError
from storage.whatsmeow.creds import SqlValue

KEPT: Final = 10_000
"""The most entries of a table; about 0.2 MB of memory per thousand."""
EXACT_S: Final = 86_400.0
"""An entry's time is exact to a day, so that not every message that confirms the entry has to write."""


@final
class Remembered:
    """A table of texts by key, the newest `KEPT`. Reading is a look-up in a dict; any thread may use it."""

    def __init__(self, connection: Connection, table: str, *, kept: int = KEPT) -> None:
        self._connection = connection
        self._table = table
        self._kept = kept
        self._writing = threading.Lock()
        self._entries: dict[str, tuple[str, int]] = {}

    def take_up(self) -> None:
        """Make the table if the file has none, and read it."""
        self._connection.script(
            f"CREATE TABLE IF NOT EXISTS {self._table}"
            " (key TEXT PRIMARY KEY, value TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID"
        )
        rows = self._connection.execute(f"SELECT key, value, at FROM {self._table} ORDER BY at")  # noqa: S608 - our own name
        self._entries = {str(key): (str(value), int(str(at))) for key, value, at in rows}

    def get(self, key: str, *, since: float = 0.0) -> str | None:
        """Return the value, if it was put at ``since`` (unix seconds) or later."""
        found = self._entries.get(key)
        return found[0] if found is not None and found[1] >= since else None

    def put(self, keys: Iterable[str], value: str, now: float) -> None:
        """Keep ``value`` under each key. A key that has had this value put within a day is not written again."""
        with self._writing:
            for key in keys:
                kept, at = self._entries.get(key, ("", -EXACT_S))
                if kept != value or now - at >= EXACT_S:
                    self._entries.pop(key, None)
                    self._entries[key] = value, int(now)
                    self._write(
                        f"INSERT OR REPLACE INTO {self._table} (key, value, at) VALUES (?, ?, ?)",  # noqa: S608 - our own name
                        (key, value, int(now)),
                    )
            while len(self._entries) > self._kept:
                self._drop(next(iter(self._entries)))

    def drop(self, keys: Iterable[str]) -> None:
        """Remove the entry of each key."""
        with self._writing:
            for key in keys:
                if key in self._entries:
                    self._drop(key)

    def _drop(self, key: str) -> None:
        del self._entries[key]
        self._write(f"DELETE FROM {self._table} WHERE key = ?", (key,))  # noqa: S608 - our own name

    def _write(self, statement: str, parameters: Sequence[SqlValue]) -> None:
        """Run a statement, ignoring a failed write: other writers of the file report it, and memory has the entry until then."""
        with contextlib.suppress(SqliteError):
            self._connection.execute(statement, parameters)
