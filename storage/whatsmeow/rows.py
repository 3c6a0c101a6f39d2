"""Converts rows of whatsmeow's tables (schema 15) to the keys of ``whatsapp_keys``, and back. Pure: no database, no file.

Where Baileys has a type for a row, the value has Baileys' JSON shape, with extra fields for what only whatsmeow knows.
Rows that Baileys has no type for, or keeps in another format (its Signal sessions), have types that start with
``whatsmeow-``.

The device row itself is the creds (storage/whatsmeow/creds.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from config.json_text import read_json
from storage.whatsmeow import app_state
from storage.whatsmeow.codec import CodecError, decode_buffer, encode_buffer, json_object
from storage.whatsmeow.creds import DEVICE_COLUMNS, KEY_PREFIX, SqlValue, key_pair
from storage.whatsmeow.text import join_id, required_text, split_id, text_from_json, text_to_json

SCHEMA_VERSION: Final = (15, 8)
"""whatsmeow's schema version, and the oldest version it is compatible with; every other version is refused."""

DEVICE_TABLE: Final = "whatsmeow_device"
LID_TABLE: Final = "whatsmeow_lid_map"
MACS_TABLE: Final = "whatsmeow_app_state_mutation_macs"

UNMAPPED: Final = {
    "whatsmeow_version": "the schema's own version: checked, made new with every file",
    "whatsmeow_event_buffer": "plaintexts of undispatched events: the library does not switch it on; our event spool does this work",
    "whatsmeow_retry_buffer": "plaintexts for answering retry receipts after a restart: the library does not switch it on",
    "whatsmeow_message_secrets": "a row for every message: after a move, edits of earlier messages are undecryptable",
}
"""Tables that stay in the device file, each with the reason."""

Values = tuple[SqlValue, ...]
TableRow = tuple[str, dict[str, SqlValue]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One key type: where its rows are, and how their value columns become JSON and back."""

    key_type: str
    table: str
    owner: str
    """The column with our own JID."""
    key: tuple[str, ...]
    """The rest of the primary key."""
    columns: tuple[str, ...]
    """The value columns, in the order of `Values`."""
    encode: Callable[[Values], object]
    decode: Callable[[Any], Values]
    numeric_id: bool = False
    base64_id: bool = False


# --- value shapes -----------------------------------------------------------------------------------------------------


def _blob(value: SqlValue) -> bytes:
    if isinstance(value, bytes):
        return value
    raise CodecError(f"a {type(value).__name__} column where bytes were expected")


def _text(value: SqlValue) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return None if value is None else str(value)


def _field(value: object, name: str) -> Any:
    found = json_object(value)
    if found is None or name not in found:
        raise CodecError(f"an object with {name} was expected")
    return found[name]


def _integer(value: object, name: str) -> int:
    number = _field(value, name)
    try:
        return int(number)
    except (TypeError, ValueError) as error:
        raise CodecError(f"{name}: a number was expected") from error


def _encode_optional_blob(values: Values) -> object:
    return None if values[0] is None else encode_buffer(_blob(values[0]))


def _decode_optional_blob(value: Any) -> Values:
    return (None if value is None else decode_buffer(value),)


def _encode_pre_key(values: Values) -> object:
    return {**key_pair(_blob(values[0])), "uploaded": bool(values[1])}


def _decode_pre_key(value: Any) -> Values:
    private = decode_buffer(_field(value, "private"))
    if len(private) != 32:
        raise CodecError(f"a private key of {len(private)} bytes where 32 were expected")
    return private, int(bool(value.get("uploaded", True)))


def _encode_identity(values: Values) -> object:
    return encode_buffer(KEY_PREFIX + _blob(values[0]))


def _decode_identity(value: Any) -> Values:
    key = decode_buffer(value)
    if len(key) == 33:
        key = key[1:]
    if len(key) != 32:
        raise CodecError(f"an identity key of {len(key)} bytes where 33 were expected")
    return (key,)


def _encode_token(values: Values) -> object:
    value = {"token": encode_buffer(_blob(values[0])), "timestamp": str(values[1])}
    return value if values[2] is None else {**value, "senderTimestamp": values[2]}


def _decode_token(value: Any) -> Values:
    sender = None if value.get("senderTimestamp") is None else _integer(value, "senderTimestamp")
    timestamp = 0 if value.get("timestamp") is None else _integer(value, "timestamp")
    return decode_buffer(_field(value, "token")), timestamp, sender


_CONTACT_FIELDS: Final = ("firstName", "fullName", "pushName", "businessName", "redactedPhone")


def _encode_contact(values: Values) -> object:
    return {field: text_to_json(_text(value)) for field, value in zip(_CONTACT_FIELDS, values, strict=True)}


def _decode_contact(value: Any) -> Values:
    return tuple(text_from_json(_field(value, field)) for field in _CONTACT_FIELDS)


def _encode_chat_settings(values: Values) -> object:
    return {"mutedUntil": values[0], "pinned": bool(values[1]), "archived": bool(values[2])}


def _decode_chat_settings(value: Any) -> Values:
    return _integer(value, "mutedUntil"), _integer(value, "pinned"), _integer(value, "archived")


KINDS: Final = {
    kind.key_type: kind
    for kind in (
        Kind(
            key_type="pre-key", table="whatsmeow_pre_keys", owner="jid", key=("key_id",), columns=("key", "uploaded"),
            encode=_encode_pre_key, decode=_decode_pre_key, numeric_id=True,
        ),
        Kind(
            key_type="identity-key", table="whatsmeow_identity_keys", owner="our_jid", key=("their_id",), columns=("identity",),
            encode=_encode_identity, decode=_decode_identity,
        ),
        Kind(
            key_type="whatsmeow-session", table="whatsmeow_sessions", owner="our_jid", key=("their_id",), columns=("session",),
            encode=_encode_optional_blob, decode=_decode_optional_blob,
        ),
        Kind(
            key_type="whatsmeow-sender-key", table="whatsmeow_sender_keys", owner="our_jid", key=("chat_id", "sender_id"),
            columns=("sender_key",), encode=_encode_optional_blob, decode=_decode_optional_blob,
        ),
        Kind(
            key_type="app-state-sync-key", table="whatsmeow_app_state_sync_keys", owner="jid", key=("key_id",),
            columns=("key_data", "timestamp", "fingerprint"), encode=app_state.encode_sync_key, decode=app_state.decode_sync_key,
            base64_id=True,
        ),
        Kind(
            key_type="tctoken", table="whatsmeow_privacy_tokens", owner="our_jid", key=("their_jid",),
            columns=("token", "timestamp", "sender_timestamp"), encode=_encode_token, decode=_decode_token,
        ),
        Kind(
            key_type="whatsmeow-contact", table="whatsmeow_contacts", owner="our_jid", key=("their_jid",),
            columns=("first_name", "full_name", "push_name", "business_name", "redacted_phone"),
            encode=_encode_contact, decode=_decode_contact,
        ),
        Kind(
            key_type="whatsmeow-chat-settings", table="whatsmeow_chat_settings", owner="our_jid", key=("chat_jid",),
            columns=("muted_until", "pinned", "archived"), encode=_encode_chat_settings, decode=_decode_chat_settings,
        ),
        Kind(
            key_type="whatsmeow-nct-salt", table="whatsmeow_nct_salt", owner="our_jid", key=(), columns=("salt",),
            encode=_encode_optional_blob, decode=_decode_optional_blob,
        ),
    )
}  # fmt: skip
"""Types whose keys are one row each. `LID_MAPPING` and `APP_STATE_VERSION` are the two that are not."""

LID_MAPPING: Final = "lid-mapping"
"""Two keys a row: ``<pn user>`` has the LID's user as its value, ``<lid user>_reverse`` the phone number's."""

APP_STATE_VERSION: Final = "app-state-sync-version"
"""One key for a row of ``whatsmeow_app_state_version`` and all mutation MACs of that name."""

REVERSE: Final = "_reverse"
_SINGLE_ID: Final = "own"
_INDEX: Final = "__index"
"""Baileys' list of its own tctokens, stored among them."""
_NULLABLE: Final = frozenset({"whatsmeow-session"})


# --- ids --------------------------------------------------------------------------------------------------------------


def key_id(kind: Kind, parts: Values) -> str:
    """Return the id in ``whatsapp_keys`` of the row with these key columns."""
    if kind.base64_id:
        return app_state.encode_id(_blob(parts[0]))
    if kind.numeric_id:
        return str(parts[0])
    if not kind.key:
        return _SINGLE_ID
    joined = join_id(tuple(_text(part) or "" for part in parts))
    return _dotted(joined) if kind.key_type == "identity-key" else joined


def key_parts(kind: Kind, text: str) -> Values:
    """Return the key columns for an id: the inverse of `key_id`; `CodecError` when it cannot be one."""
    if kind.base64_id:
        return (decode_buffer(text),)
    if kind.numeric_id:
        if not text.isdecimal():
            raise CodecError("a numeric id was expected")
        return (int(text),)
    if not kind.key:
        return ()
    return split_id(_coloned(text) if kind.key_type == "identity-key" else text, len(kind.key))


def _dotted(address: str) -> str:
    """Return Baileys' ``user.device`` for whatsmeow's ``user:device``."""
    user, colon, device = address.rpartition(":")
    return f"{user}.{device}" if colon else address


def _coloned(address: str) -> str:
    user, dot, device = address.rpartition(".")
    return f"{user}:{device}" if dot else address


# --- rows to keys and back --------------------------------------------------------------------------------------------


def encode_value(kind: Kind, values: Values) -> bytes:
    """Return JSON for the value columns of one row."""
    return msgspec.json.encode(kind.encode(values))


def encode_lid(other_user: str) -> bytes:
    """Return JSON of either direction of a LID mapping."""
    return msgspec.json.encode(text_to_json(other_user))


def rows_of(jid: str, key_type: str, text: str, value: bytes) -> list[TableRow]:
    """Return the rows for one key of the device ``jid``; none for types that whatsmeow does not use.

    `CodecError` says what is wrong with the value, without showing it.
    """
    try:
        parsed: Any = read_json(value)
    except msgspec.DecodeError as error:
        raise CodecError(f"{key_type}: not JSON: {error}") from error
    if key_type == LID_MAPPING:
        return [_lid_row(text, parsed)]
    if key_type == APP_STATE_VERSION:
        return _version_rows(jid, text, parsed)
    kind = KINDS.get(key_type)
    if kind is None or text == _INDEX or (parsed is None and kind.key_type not in _NULLABLE):
        return []
    columns = dict(zip(kind.key, key_parts(kind, text), strict=True)) | dict(
        zip(kind.columns, kind.decode(parsed), strict=True)
    )
    return [(kind.table, {kind.owner: jid, **columns})]


def _lid_row(text: str, parsed: object) -> TableRow:
    other = required_text(parsed, LID_MAPPING)
    (user,) = split_id(text, 1)
    if user.endswith(REVERSE):
        return LID_TABLE, {"lid": user.removesuffix(REVERSE), "pn": other}
    return LID_TABLE, {"lid": other, "pn": user}


def _version_rows(jid: str, text: str, parsed: object) -> list[TableRow]:
    (name,) = split_id(text, 1)
    version, hash_, macs = app_state.decode_version(parsed)
    rows: list[TableRow] = [
        ("whatsmeow_app_state_version", {"jid": jid, "name": name, "version": version, "hash": hash_})
    ]
    rows.extend(
        (
            MACS_TABLE,
            {"jid": jid, "name": name, "version": mac.version, "index_mac": mac.index_mac, "value_mac": mac.value_mac},
        )
        for mac in macs
    )
    return rows


def session_fault(session: bytes | None) -> str | None:
    """Return why the Go library would crash or fail on this session record; None when it would not."""
    if session is None:
        return None
    try:
        record = json_object(read_json(session))
    except msgspec.DecodeError:
        return "not JSON"
    if record is None:
        return "not an object"
    states: Sequence[object] = [record.get("SessionState"), *(record.get("PreviousStates") or [])]
    return next((fault for state in states if (fault := _state_fault(state)) is not None), None)


def _state_fault(value: object) -> str | None:
    state = json_object(value)
    if state is None:
        return "a session state is missing"
    if not state.get("SenderBaseKey"):
        return "SenderBaseKey is empty"
    if json_object(state.get("SenderChain")) is None:
        return "SenderChain is missing"
    counter = state.get("PreviousCounter", 0)
    return None if isinstance(counter, int) and 0 <= counter < 1 << 32 else "PreviousCounter is out of range"


__all__ = [
    "APP_STATE_VERSION", "DEVICE_COLUMNS", "DEVICE_TABLE", "KINDS", "LID_MAPPING", "LID_TABLE", "MACS_TABLE", "REVERSE", "SCHEMA_VERSION",
    "UNMAPPED", "Kind", "TableRow", "Values", "encode_lid", "encode_value", "key_id", "key_parts", "rows_of", "session_fault",
]  # fmt: skip
