"""The journal of a device file: which keys changed, and what they are now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, final

from actors.engine.device.schema import DEVICE_KIND
from actors.engine.device.sqlite import Connection, SqlValue
from storage.whatsmeow import app_state
from storage.whatsmeow.creds import creds_from_device
from storage.whatsmeow.rows import (
    APP_STATE_VERSION,
    DEVICE_COLUMNS,
    DEVICE_TABLE,
    KINDS,
    LID_MAPPING,
    REVERSE,
    Kind,
    encode_lid,
    encode_value,
    key_id,
)
from storage.whatsmeow.text import join_id

MAX_KEYS: Final = 1000
MAX_BYTES: Final = 4 * 1024 * 1024
MAX_VALUE_BYTES: Final = 8 * 1024 * 1024
"""A larger value would not fit a frame; only an app-state version of 60,000 entries is that large, and WhatsApp sends it again."""

COMPACT_BEYOND: Final = 20_000
"""The number of entries beyond which the journal is compacted: Postgres is away for long then, and most entries name the same keys."""

_ROWS_READ: Final = 20_000

Entry = tuple[str, SqlValue, SqlValue]
Change = tuple[str, str, bytes | None]


@dataclass(slots=True)
class Batch:
    """Keys that changed up to ``position`` with their present values."""

    position: int
    creds: bytes | None = None
    changes: list[Change] = field(default_factory=list[Change])
    bytes: int = 0
    oversized: int = 0
    has_more: bool = False
    """The journal continues beyond this batch."""

    @property
    def is_needed(self) -> bool:
        """Whether the batch has anything that the record lacks."""
        return bool(self.changes) or self.creds is not None

    def add(self, change: Change) -> None:
        size = len(change[2] or b"")
        if size > MAX_VALUE_BYTES:
            self.oversized += 1
            return
        self.changes.append(change)
        self.bytes += size + len(change[1])


@final
class Journal:
    """Reads and cuts; every method blocks for milliseconds at most and takes the connection's lock."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def position(self) -> int:
        """Return the last number ever assigned, also when the journal is empty."""
        last = self._connection.scalar("SELECT seq FROM sqlite_sequence WHERE name = 'wasup_journal'")
        return last if isinstance(last, int) else 0

    def first_kept(self) -> int:
        """Return the lowest number that has not been cut; the next number to be assigned when all have."""
        first = self._connection.scalar("SELECT min(seq) FROM wasup_journal")
        return first if isinstance(first, int) else self.position() + 1

    def read(self, after: int) -> Batch | None:
        """Return the next batch beyond ``after``, values and journal from one snapshot; None when there is nothing new.

        Once the device row is gone, always None: whatsmeow deletes everything when WhatsApp logs a device out, and those deletions
        must not reach the record in Postgres, which is archived instead.
        """
        with self._connection.transaction("DEFERRED"):
            entries = self._entries(after)
            if not entries:
                return None
            jid = self._connection.scalar(f"SELECT jid FROM {DEVICE_TABLE}")  # noqa: S608 - our own names
            if not isinstance(jid, str):
                return None
            return self._batch(entries, jid)

    def cut(self, position: int) -> None:
        """Delete everything up to ``position``."""
        self._connection.execute("DELETE FROM wasup_journal WHERE seq <= ?", (position,))

    def note_lid_mappings(self) -> None:
        """Note every LID mapping as changed, so that it is shipped again."""
        self._connection.execute(
            "INSERT INTO wasup_journal (kind, k1, k2) SELECT ?, pn, NULL FROM whatsmeow_lid_map"
            " UNION ALL SELECT ?, lid, NULL FROM whatsmeow_lid_map",
            (LID_MAPPING, LID_MAPPING + REVERSE),
        )

    def compact(self) -> None:
        """Keep only the newest entry of each key, when there are many entries."""
        if int(str(self._connection.scalar("SELECT count(*) FROM wasup_journal"))) > COMPACT_BEYOND:
            self._connection.execute(
                "DELETE FROM wasup_journal WHERE seq NOT IN (SELECT max(seq) FROM wasup_journal GROUP BY kind, k1, k2)"
            )

    def _entries(self, after: int) -> list[tuple[int, Entry]]:
        rows = self._connection.execute(
            "SELECT seq, kind, k1, k2 FROM wasup_journal WHERE seq > ? ORDER BY seq LIMIT ?", (after, _ROWS_READ)
        )
        return [(int(str(seq)), (str(kind), k1, k2)) for seq, kind, k1, k2 in rows]

    def _batch(self, entries: list[tuple[int, Entry]], jid: str) -> Batch:
        batch = Batch(position=entries[0][0], has_more=len(entries) >= _ROWS_READ)
        seen: set[Entry] = set()
        for seq, entry in entries:
            if entry not in seen:
                if len(seen) >= MAX_KEYS or batch.bytes >= MAX_BYTES:
                    batch.has_more = True
                    break
                seen.add(entry)
                self._add(batch, entry, jid)
            batch.position = seq
        return batch

    def _add(self, batch: Batch, entry: Entry, jid: str) -> None:
        kind_name, k1, k2 = entry
        if kind_name == DEVICE_KIND:
            batch.creds = self.creds()
        elif kind_name == LID_MAPPING:
            batch.add(self._lid(str(k1), "SELECT lid FROM whatsmeow_lid_map WHERE pn = ?", ""))
        elif kind_name == LID_MAPPING + REVERSE:
            batch.add(self._lid(str(k1), "SELECT pn FROM whatsmeow_lid_map WHERE lid = ?", REVERSE))
        elif kind_name == APP_STATE_VERSION:
            batch.add(self._app_state(str(k1), jid))
        else:
            batch.add(self._simple(KINDS[kind_name], (k1, k2), jid))

    def creds(self) -> bytes | None:
        """Return the device row as creds JSON; None when there is no device."""
        rows = self._connection.execute(f"SELECT {', '.join(DEVICE_COLUMNS)} FROM {DEVICE_TABLE}")  # noqa: S608 - our own names
        return creds_from_device(dict(zip(DEVICE_COLUMNS, rows[0], strict=True))) if rows else None

    def _simple(self, kind: Kind, key: tuple[SqlValue, SqlValue], jid: str) -> Change:
        parts = key[: len(kind.key)]
        where = "".join(f" AND {column} = ?" for column in kind.key)
        rows = self._connection.execute(
            f"SELECT {', '.join(kind.columns)} FROM {kind.table} WHERE {kind.owner} = ?{where}",  # noqa: S608 - our own names
            (jid, *parts),
        )
        return kind.key_type, key_id(kind, parts), encode_value(kind, rows[0]) if rows else None

    def _lid(self, user: str, query: str, suffix: str) -> Change:
        other = self._connection.scalar(query, (user,))
        return LID_MAPPING, join_id((user,)) + suffix, encode_lid(other) if isinstance(other, str) else None

    def _app_state(self, name: str, jid: str) -> Change:
        version = self._connection.execute(
            "SELECT version, hash FROM whatsmeow_app_state_version WHERE jid = ? AND name = ?", (jid, name)
        )
        macs = self._connection.execute(
            "SELECT version, index_mac, value_mac FROM whatsmeow_app_state_mutation_macs WHERE jid = ? AND name = ?",
            (jid, name),
        )
        value = app_state.encode_rows(version[0], macs) if version else None
        return APP_STATE_VERSION, join_id((name,)), value
