"""Rows of whatsmeow's tables for tests, and ways to write them as the library does."""

from __future__ import annotations

import json
from typing import Any

from actors.engine.device.sqlite import Connection
from storage.whatsmeow.creds import SqlValue, creds_from_device

JID = "79000000001:1@s.whatsapp.net"
LID = "100000000000001:1@lid"
PEER = "100000000000002_1:0"

DEVICE: dict[str, SqlValue] = {
    "jid": JID, "lid": LID, "facebook_uuid": None, "registration_id": 42, "noise_key": b"\x01" * 32, "identity_key": b"\x02" * 32,
    "signed_pre_key": b"\x03" * 32, "signed_pre_key_id": 1, "signed_pre_key_sig": b"s" * 64, "adv_key": b"a" * 32,
    "adv_details": b"details", "adv_account_sig": b"x" * 64, "adv_account_sig_key": b"k" * 32, "adv_device_sig": b"y" * 64,
    "platform": "android", "business_name": "", "push_name": "Name", "lid_migration_ts": 0, "companion_meta_nonce": "",
}  # fmt: skip

SESSION = json.dumps(
    {
        "SessionState": {"SenderBaseKey": "AAAA", "SenderChain": {"ChainKey": {}}, "PreviousCounter": 0},
        "PreviousStates": [],
    }
).encode()


def creds() -> bytes:
    """The creds of `DEVICE`."""
    return creds_from_device(DEVICE)


def insert(connection: Connection, table: str, **row: SqlValue) -> None:
    """One row, as whatsmeow writes it: a conflict updates."""
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


def put_identity(connection: Connection, their_id: str = PEER, octet: int = 7) -> None:
    """whatsmeow's own statement for an identity key."""
    connection.execute(
        "INSERT INTO whatsmeow_identity_keys (our_jid, their_id, identity) VALUES (?, ?, ?) "
        "ON CONFLICT (our_jid, their_id) DO UPDATE SET identity=excluded.identity",
        (JID, their_id, bytes([octet]) * 32),
    )


def put_session(connection: Connection, their_id: str = PEER, session: bytes = SESSION) -> None:
    """whatsmeow's own statement for a session."""
    connection.execute(
        "INSERT INTO whatsmeow_sessions (our_jid, their_id, session) VALUES (?, ?, ?) "
        "ON CONFLICT (our_jid, their_id) DO UPDATE SET session=excluded.session",
        (JID, their_id, session),
    )


def put_pre_keys(connection: Connection, first: int, count: int) -> None:
    """``count`` pre-keys from ``first`` on."""
    for key_id in range(first, first + count):
        insert(connection, "whatsmeow_pre_keys", jid=JID, key_id=key_id, key=key_id.to_bytes(32, "big"), uploaded=0)


def all_rows(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of whatsmeow's."""
    tables = [
        str(row[0])
        for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table' AND name LIKE 'whatsmeow%'")
    ]
    return {table: sorted(connection.execute(f"SELECT * FROM {table}"), key=repr) for table in tables}
