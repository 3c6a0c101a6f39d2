"""A company's device file: the SQLite file in which the library keeps its state, with our journal and event spool in it.

The file is never changed in place to match Postgres: either it is the file that Postgres knows and not behind it, or a new file is built
beside it and replaces it in one step. When Postgres has lost some of what a file had shipped, the whole file is shipped again.
"""

from __future__ import annotations

import stat
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, final

import msgspec

from actors.device_files.removal import remove
from actors.engine.device.event_spool import EventSpool, Item
from actors.engine.device.full_resync import note_everything
from actors.engine.device.journal import Journal
from actors.engine.device.remembered import Remembered
from actors.engine.device.reservations import step_ahead
from actors.engine.device.schema import OWN_TABLES, Template, require_complete
from actors.engine.device.sqlite import Connection, Sqlite
from actors.engine.device.triggers import create_triggers, install_triggers
from actors.engine.errors import BadAuthState, DamagedFile, SqliteError, WriteFault
from actors.engine.whatsmeow.disconnects import Kind
from actors.engine.whatsmeow.log_lines import Passed
from actors.engine.whatsmeow.polls import POLLS, Polls
from actors.engine.whatsmeow.redelivery import invalidate_message_key
from actors.engine.whatsmeow.timers import Timers
from config.disk import probe
from config.json_text import read_json
from storage.whatsmeow.codec import CodecError
from storage.whatsmeow.creds import SqlValue, device_from_creds
from storage.whatsmeow.rows import DEVICE_TABLE, LID_TABLE, TableRow, rows_of, session_fault

Fault = Literal["missing", "foreign", "behind", "ahead", "discarded", "damaged"]

KEPT_MESSAGE_SECRETS: Final = 20_000
"""The library keeps one for each message for ever; the oldest beyond this are deleted when the file is opened or its log emptied."""

LID_MAPPINGS_LAST_S: Final = 3 * 86_400.0
"""The record keeps them for longer than this after a session has ended (storage/tables/expiry.py), but not for ever."""
_TAKEN_UP_EXACT_S: Final = 86_400.0
"""The time of the last session is exact to a day, so that not every restart has to write."""

LOG_BYTES: Final = 256 * 1024
"""The size at which the write-ahead log is emptied, which costs two fsyncs."""


class Ending(msgspec.Struct, frozen=True):
    """How the device in this file was logged out, stored so that it is reported again until the daemon has archived the credentials."""

    kind: Kind
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Identity:
    """The linked device."""

    jid: str
    lid: str | None
    push_name: str


@final
class DeviceFile:
    """An open device file. Methods block briefly; any thread may call them."""

    def __init__(self, path: Path, connection: Connection) -> None:
        self.path = path
        self._connection = connection
        self.journal = Journal(connection)
        self.event_spool = EventSpool(connection)
        self.named = Remembered(connection, "wasup_named")
        """JIDs of the accounts that WhatsApp named for dialled numbers (digits), where the account has another number."""
        self._timers = Remembered(connection, "wasup_timers")
        self.timers = Timers(self._timers)
        self._polls = Remembered(connection, "wasup_polls", kept=POLLS)
        self.polls = Polls(self._polls)
        self.file_id = self._meta("file_id") or ""

    def identity(self) -> Identity | None:
        """Return the linked device; None when there is none (any more)."""
        rows = self._connection.execute(f"SELECT jid, lid, push_name FROM {DEVICE_TABLE}")  # noqa: S608 - our own names
        if not rows:
            return None
        jid, lid, name = rows[0]
        return Identity(str(jid), str(lid) if lid else None, str(name or ""))

    def complete(self, party: dict[str, Any]) -> None:
        """Add the phone number or the LID that WhatsApp left out, if the library has learnt it."""
        if party["pn"] is None and party["lid"] is not None:
            pn = self._look_up("SELECT pn FROM whatsmeow_lid_map WHERE lid = ?", party["lid"])
            party["pn"] = f"{pn}@s.whatsapp.net" if pn is not None else None
        elif party["lid"] is None and party["pn"] is not None:
            lid = self._look_up("SELECT lid FROM whatsmeow_lid_map WHERE pn = ?", party["pn"])
            party["lid"] = f"{lid}@lid" if lid is not None else None

    def has_sent(self, message_id: str) -> bool:
        """Whether this account has sent a message of this id, as far as known: the library keeps the secrets of the latest messages."""
        identity = self.identity()
        if identity is None:
            return False
        own = [_bare(jid) for jid in (identity.jid, identity.lid or "")]
        query = "SELECT count(*) FROM whatsmeow_message_secrets WHERE message_id = ? AND sender_jid IN (?, ?)"
        return bool(self._connection.scalar(query, (message_id, *own)))

    def secrets(self, message_id: str, chat: Iterable[str]) -> list[tuple[bytes, str]]:
        """Return the secrets of a chat's messages of this id, each with its author's address; ``chat``: all addresses of the chat."""
        rows = self._connection.execute(
            "SELECT key, sender_jid FROM whatsmeow_message_secrets WHERE message_id = ? AND chat_jid IN (?, ?)",
            (message_id, *_two(chat)),
        )
        return [(key, str(sender)) for key, sender in rows if isinstance(key, bytes)]

    def _look_up(self, query: str, jid: str) -> str | None:
        found = self._connection.scalar(query, (jid.partition("@")[0],))
        return found if isinstance(found, str) else None

    def is_announced(self) -> bool:
        """Whether Postgres has confirmed anything of this file."""
        return self._meta("announced") == "1"

    def announce(self) -> None:
        if not self.is_announced():
            self._set_meta("announced", "1")

    def ending(self) -> Ending | None:
        """Return how the device was logged out; None when it was not, or there never was one."""
        text = self._meta("ending")
        if text:
            return read_json(text, Ending)
        gone = self.was_linked() and self.identity() is None
        return Ending("logged_out", 401, "WhatsApp logged this device out") if gone else None

    def was_linked(self) -> bool:
        """Whether this file holds or ever held a device."""
        return self._meta("linked") == "1"

    def end(self, ending: Ending) -> None:
        self._set_meta("ending", msgspec.json.encode(ending).decode())

    def cut(self, position: int) -> None:
        """Cut the journal: Postgres has everything up to ``position``."""
        self.announce()
        self.journal.cut(position)
        self._connection.script("PRAGMA shrink_memory")  # frees the pages that a large delta needed

    def take_up(self, now: float) -> None:
        """Prepare the file for a session. LID mappings that may have expired in the record meanwhile are noted for shipping.

        A file of an earlier version gets the present triggers.
        """
        install_triggers(self._connection)
        self.named.take_up()
        self._timers.take_up()
        self._polls.take_up()
        age_s = now - int(self._meta("taken_up_at") or 0)
        if not 0 <= age_s < LID_MAPPINGS_LAST_S:
            self.journal.note_lid_mappings()
        if not 0 <= age_s < _TAKEN_UP_EXACT_S:
            self._set_meta("taken_up_at", str(int(now)))

    def survive(self, boot: str) -> None:
        """After another ``boot`` of the machine, step every Signal session ahead: the file may have lost its last commits."""
        if self._meta("boot") != boot:
            step_ahead(self._connection)
            self._set_meta("boot", boot)

    def note_everything(self, recorded: Iterable[tuple[str, str]]) -> None:
        """Note the whole file for shipping; ``recorded``: the keys of the record, by type and id."""
        note_everything(self._connection, recorded)

    def invalidate_message_key(self, passed: Passed) -> bool:
        """Make a lost message undecryptable, so that the library asks its sender for it; return False when that is impossible."""
        return invalidate_message_key(self._connection, passed)

    def shorten_log(self) -> bool:
        """Empty SQLite's write-ahead log if it has grown; return True when it was emptied. Otherwise it would stay at 4 MiB for ever.

        A write or read at this moment has priority: then the log is emptied another time.
        """
        log = self.path.with_name(self.path.name + "-wal")
        if not log.exists() or log.stat().st_size <= LOG_BYTES:
            return False
        if not self._connection.empty_log():
            return False
        self.trim()  # here, because a session may stay open for months, and this runs once in some hundred messages
        return True

    def trim(self) -> None:
        """Delete the rows beyond the limits of tables that the library lets grow for ever."""
        self._connection.execute(
            "DELETE FROM whatsmeow_message_secrets WHERE rowid <= (SELECT max(rowid) FROM whatsmeow_message_secrets) - ?",
            (KEPT_MESSAGE_SECRETS,),
        )

    def require_writable(self) -> None:
        """Write to this file. Raise `WriteFault` when that fails."""
        self._set_meta("written_at", str(int(time.time())))

    def close(self) -> None:
        self._connection.close()

    def _meta(self, name: str) -> str | None:
        value = self._connection.scalar("SELECT value FROM wasup_meta WHERE name = ?", (name,))
        return str(value) if value is not None else None

    def _set_meta(self, name: str, value: str) -> None:
        self._connection.execute(
            "INSERT INTO wasup_meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )


def _two(addresses: Iterable[str]) -> tuple[str, str]:
    """Return the two addresses of a chat; a single address is returned twice."""
    found = sorted(set(addresses))[:2]
    return found[0], found[-1]


def _bare(jid: str) -> str:
    """Return the JID without agent and device."""
    user, at, server = jid.partition("@")
    return user.partition(":")[0].partition(".")[0] + at + server


def open_file(sqlite: Sqlite, path: Path) -> DeviceFile | None:
    """Open the device file at ``path``; return None when there is nothing.

    Raise `DamagedFile` for something that is not a usable device file, `UnknownSchema` for a schema version that we do not know, and
    `WriteFault` when the file system takes no writes, which says nothing about the file.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise DamagedFile("what lies at its place is not a file")
    connection = None
    try:
        _make_private(path, mode)
        connection = sqlite.connect(path)
        _require_sound(connection)
        return DeviceFile(path, connection)
    except SqliteError as error:
        event_spool = _close_damaged(connection)
        if isinstance(error, WriteFault) and probe(path.parent) is not None:
            raise
        raise DamagedFile(str(error), event_spool) from error
    except DamagedFile as error:
        raise DamagedFile(str(error), _close_damaged(connection)) from error
    except BaseException:
        _close_damaged(connection)
        raise


def _close_damaged(connection: Connection | None) -> list[Item]:
    """Close the file. Return the events of its event spool if they can be read: WhatsApp will not send them again."""
    if connection is None:
        return []
    try:
        return EventSpool(connection).all()
    except SqliteError:
        return []
    finally:
        connection.close()


def _require_sound(connection: Connection) -> None:
    checked = connection.pragma("quick_check(1)")
    if checked != "ok":
        raise DamagedFile("SQLite's quick_check found damage")
    require_complete(connection)
    connection.script("PRAGMA shrink_memory")


def fault_of(file: DeviceFile, file_id: str | None, position: int) -> Fault | None:
    """Return why a daemon whose record knows ``file_id`` up to ``position`` cannot use this file; None when it can."""
    if file.file_id != file_id:
        return "foreign"
    if file.journal.position() < position:
        return "behind"
    # Only committed entries are cut: if the record lacks some of them, it has gone back to a backup or an older standby.
    is_ahead = file.journal.first_kept() > position + 1 and file.identity() is not None
    return "ahead" if is_ahead else None


def _make_private(path: Path, mode: int) -> None:
    """Remove the permissions that an earlier release gave to other users."""
    if mode & 0o077:
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            with suppress(FileNotFoundError):
                path.with_name(name).chmod(0o600)


def build(
    sqlite: Sqlite,
    template: Template,
    path: Path,
    creds: bytes | None,
    keys: Iterable[tuple[str, str, bytes]],
    event_spool: Sequence[Item],
    *,
    boot: str = "",
) -> tuple[DeviceFile, list[str]]:
    """Make a new file from the auth state and put it at ``path``; return it with the keys that had to be left out.

    ``boot``: as for `DeviceFile.survive`. Raise `BadAuthState` when the creds cannot be used, `WriteFault` when the file system takes no
    writes; the old file at ``path`` is unchanged then. Keys whose value is broken are left out: a missing Signal session is replaced
    after a retry receipt, a malformed one would end the whole process.
    """
    fresh = path.with_name(path.name + ".new")
    remove(fresh)
    rows, left_out = _rows(creds, keys)
    try:
        connection = sqlite.connect(fresh, create=True)
        try:
            _fill(connection, template, rows, event_spool, boot)
            # Closing would checkpoint too, but without an error on a full disk: an empty file would then be moved into place.
            connection.pragma("wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()
    except WriteFault:
        remove(fresh)
        raise
    except SqliteError as error:
        remove(fresh)
        raise BadAuthState(f"the auth state does not fit the schema: {error}") from error
    remove(path)
    fresh.rename(path)
    file = open_file(sqlite, path)
    assert file is not None
    return file, left_out


def _rows(creds: bytes | None, keys: Iterable[tuple[str, str, bytes]]) -> tuple[list[TableRow], list[str]]:
    if creds is None:
        return [], []
    try:
        device = device_from_creds(creds)
    except CodecError as error:
        raise BadAuthState(str(error)) from error
    rows: list[TableRow] = [(DEVICE_TABLE, device)]
    left_out: list[str] = []
    for key_type, key_id, value in keys:
        try:
            rows += _checked(rows_of(str(device["jid"]), key_type, key_id, value))
        except (CodecError, ValueError, TypeError, KeyError, AttributeError) as error:
            left_out.append(f"{key_type}: {error}")
    return rows, left_out


def _checked(rows: list[TableRow]) -> list[TableRow]:
    for table, row in rows:
        session = row.get("session")
        if (
            table == "whatsmeow_sessions"
            and (fault := session_fault(session if isinstance(session, bytes) else None)) is not None
        ):
            raise CodecError(fault)
    return rows


def _fill(
    connection: Connection, template: Template, rows: list[TableRow], event_spool: Sequence[Item], boot: str
) -> None:
    connection.script("PRAGMA foreign_keys = OFF; PRAGMA journal_mode = WAL")
    with connection.transaction():
        for statement in (*template.statements, *OWN_TABLES):
            connection.script(statement)
        for table, row in rows:
            _insert(connection, table, row)
        for item in event_spool:
            connection.execute(
                "INSERT INTO wasup_outbox (number, type, payload, position) VALUES (?, ?, ?, 0)", item[:3]
            )
        if rows:
            connection.execute("INSERT INTO wasup_meta (name, value) VALUES ('linked', '1')")
        create_triggers(connection)
        connection.execute("INSERT INTO wasup_meta (name, value) VALUES ('file_id', ?)", (uuid.uuid4().hex,))
        connection.execute("INSERT INTO wasup_meta (name, value) VALUES ('taken_up_at', ?)", (str(int(time.time())),))
        connection.execute("INSERT INTO wasup_meta (name, value) VALUES ('boot', ?)", (boot,))


def _insert(connection: Connection, table: str, row: dict[str, SqlValue]) -> None:
    # Both directions of a LID mapping are one row; if they contradict each other, the first stays.
    verb = "INSERT OR IGNORE" if table == LID_TABLE else "INSERT OR REPLACE"
    marks = ", ".join("?" * len(row))
    connection.execute(f"{verb} INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
