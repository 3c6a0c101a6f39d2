"""Converts app-state sync keys and versions to Baileys' JSON shapes, and back to whatsmeow's columns."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from storage.whatsmeow.codec import CodecError, decode_buffer, encode_buffer, json_object

SqlValue = int | str | bytes | None

_VARINT_FIELDS: Final = {1: "rawId", 2: "currentIndex"}
_PACKED_INDEXES: Final = 3


@dataclass(frozen=True, slots=True)
class MutationMac:
    """One row of ``whatsmeow_app_state_mutation_macs``."""

    version: int
    index_mac: bytes
    value_mac: bytes


def encode_id(key_id: bytes) -> str:
    """Return the base64 form of the id, by which Baileys names a sync key."""
    return base64.b64encode(key_id).decode()


def encode_sync_key(values: tuple[SqlValue, ...]) -> object:
    """Return ``{keyData, fingerprint, timestamp}`` of (key_data, timestamp, fingerprint), and ``fingerprintBytes``
    if it is not canonical."""
    key_data, timestamp, fingerprint = values
    if not isinstance(key_data, bytes) or not isinstance(fingerprint, bytes):
        raise CodecError("an app-state sync key without bytes")
    parsed = parse_fingerprint(fingerprint)
    value: dict[str, object] = {
        "keyData": base64.b64encode(key_data).decode(),
        "fingerprint": parsed or {},
        "timestamp": str(timestamp),
    }
    if parsed is None or write_fingerprint(parsed) != fingerprint:
        value["fingerprintBytes"] = encode_buffer(fingerprint)
    return value


def decode_sync_key(value: Any) -> tuple[SqlValue, ...]:
    """Return (key_data, timestamp, fingerprint) of a Baileys sync key."""
    found = json_object(value)
    if found is None or "keyData" not in found:
        raise CodecError("an app-state sync key without keyData")
    timestamp = found.get("timestamp") or 0
    if (long := json_object(timestamp)) is not None:  # protobuf.js' Long, as old Baileys wrote it
        timestamp = int(long.get("low", 0)) % (1 << 32) + (int(long.get("high", 0)) << 32)
    if "fingerprintBytes" in found:
        fingerprint = decode_buffer(found["fingerprintBytes"])
    else:
        fingerprint = write_fingerprint(json_object(found.get("fingerprint")) or {})
    return decode_buffer(found["keyData"]), int(timestamp), fingerprint


def encode_version(version: int, hash_: bytes, macs: Iterable[MutationMac]) -> object:
    """Return Baileys' ``{version, hash, indexValueMap}``; each entry also has whatsmeow's version, and older rows of the same index."""
    entries: dict[str, dict[str, Any]] = {}
    for mac in sorted(macs, key=lambda mac: -mac.version):
        name = base64.b64encode(mac.index_mac).decode()
        value = {"valueMac": encode_buffer(mac.value_mac), "version": mac.version}
        if name in entries:
            entries[name].setdefault("older", []).append(value)
        else:
            entries[name] = value
    return {"version": version, "hash": encode_buffer(hash_), "indexValueMap": entries}


def encode_rows(version_row: Sequence[SqlValue], mac_rows: Iterable[Sequence[SqlValue]]) -> bytes:
    """Return JSON for a (version, hash) row and its (version, index_mac, value_mac) rows."""
    macs = [MutationMac(int(str(version)), _blob(index), _blob(value)) for version, index, value in mac_rows]
    return msgspec.json.encode(encode_version(int(str(version_row[0])), _blob(version_row[1]), macs))


def _blob(value: SqlValue) -> bytes:
    if not isinstance(value, bytes):
        raise CodecError("an app-state row without bytes")
    return value


def decode_version(value: object) -> tuple[int, bytes, list[MutationMac]]:
    """Return version, hash and MAC rows; a Baileys entry without a version counts as written at the present one."""
    found = json_object(value)
    if found is None:
        raise CodecError("an app-state version that is no object")
    version = int(found.get("version", 0))
    macs: list[MutationMac] = []
    for name, entry in (json_object(found.get("indexValueMap")) or {}).items():
        items: list[dict[str, Any]] = [entry, *entry.get("older", ())]
        macs.extend(
            MutationMac(int(item.get("version", version)), decode_buffer(name), decode_buffer(item["valueMac"]))
            for item in items
        )
    return version, decode_buffer(found.get("hash")), macs


# --- the fingerprint's protobuf: rawId = 1, currentIndex = 2, deviceIndexes = 3 (packed) ------------------------------


def parse_fingerprint(data: bytes) -> dict[str, Any] | None:
    """Return the three fields as JSON; None when the bytes contain anything else."""
    fingerprint: dict[str, Any] = {}
    position = 0
    try:
        while position < len(data):
            tag, position = _read_varint(data, position)
            field, wire = tag >> 3, tag & 7
            if wire == 0 and field in _VARINT_FIELDS:
                fingerprint[_VARINT_FIELDS[field]], position = _read_varint(data, position)
            elif wire == 2 and field == _PACKED_INDEXES:
                length, position = _read_varint(data, position)
                fingerprint["deviceIndexes"] = _read_packed(data[position : position + length])
                position += length
            else:
                return None
    except IndexError:
        return None
    return fingerprint


def write_fingerprint(fingerprint: dict[str, Any]) -> bytes:
    """Return the protobuf of those fields, in the order of their numbers; absent fields are left out."""
    out = bytearray()
    for field, name in _VARINT_FIELDS.items():
        if fingerprint.get(name) is not None:
            out += _varint(field << 3) + _varint(int(fingerprint[name]))
    indexes: Sequence[int] = fingerprint.get("deviceIndexes") or ()
    if indexes:
        packed = b"".join(_varint(int(index)) for index in indexes)
        out += _varint(_PACKED_INDEXES << 3 | 2) + _varint(len(packed)) + packed
    return bytes(out)


def _read_packed(data: bytes) -> list[int]:
    numbers: list[int] = []
    position = 0
    while position < len(data):
        number, position = _read_varint(data, position)
        numbers.append(number)
    return numbers


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        octet = data[position]
        position += 1
        number |= (octet & 0x7F) << shift
        if octet < 0x80:
            if number >> 64:
                raise IndexError("a varint of more than 64 bits")
            return number, position
        shift += 7


def _varint(number: int) -> bytes:
    if number < 0:
        raise CodecError("a negative number in a fingerprint")
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
