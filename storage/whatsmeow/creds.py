"""Converts the row of ``whatsmeow_device`` to Baileys' creds, and back.

Each field that Baileys knows is in Baileys' place; the fields that only whatsmeow keeps are in ``whatsmeow``.
``nextPreKeyId`` and ``firstUnuploadedPreKeyId`` are not here: whatsmeow counts them from its pre-keys, and so does an
export.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from config.json_text import read_json
from storage.whatsmeow.codec import CodecError, decode_buffer, encode_buffer, json_array, json_object
from storage.whatsmeow.text import required_text, text_from_json, text_to_json

SqlValue = int | str | bytes | None
Row = Mapping[str, SqlValue]

DEVICE_COLUMNS: Final = (
    "jid", "lid", "facebook_uuid", "registration_id", "noise_key", "identity_key", "signed_pre_key", "signed_pre_key_id",
    "signed_pre_key_sig", "adv_key", "adv_details", "adv_account_sig", "adv_account_sig_key", "adv_device_sig", "platform",
    "business_name", "push_name", "lid_migration_ts", "companion_meta_nonce",
)  # fmt: skip

KEY_PREFIX: Final = b"\x05"
"""Signal's type byte in front of a Curve25519 public key. Baileys keeps it in some places, whatsmeow nowhere."""


def public_key(private: bytes) -> bytes:
    """Return the Curve25519 public key, 32 bytes; `CodecError` unless ``private`` has 32."""
    if len(private) != 32:
        raise CodecError(f"a private key of {len(private)} bytes where 32 were expected")
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def key_pair(private: bytes) -> dict[str, Any]:
    """Return Baileys' ``{"private":Buffer,"public":Buffer}``."""
    return {"private": encode_buffer(private), "public": encode_buffer(public_key(private))}


def creds_from_device(row: Row) -> bytes:
    """Return JSON of the creds for a device row (a value for each of `DEVICE_COLUMNS`)."""
    blob = _blobs(row)
    creds: dict[str, Any] = {
        "noiseKey": key_pair(blob["noise_key"]),
        "signedIdentityKey": key_pair(blob["identity_key"]),
        "signedPreKey": {
            "keyPair": key_pair(blob["signed_pre_key"]),
            "signature": encode_buffer(blob["signed_pre_key_sig"]),
            "keyId": row["signed_pre_key_id"],
        },
        "registrationId": row["registration_id"],
        "advSecretKey": _base64(blob["adv_key"]),
        "me": _me(row),
        "account": {
            "details": _base64(blob["adv_details"]),
            "accountSignatureKey": _base64(blob["adv_account_sig_key"]),
            "accountSignature": _base64(blob["adv_account_sig"]),
            "deviceSignature": _base64(blob["adv_device_sig"]),
        },
        "signalIdentities": [_signal_identity(row, blob["adv_account_sig_key"])],
        "platform": text_to_json(_text(row, "platform")),
        "registered": True,
        "whatsmeow": {
            "businessName": text_to_json(_text(row, "business_name")),
            "facebookUuid": text_to_json(_text(row, "facebook_uuid")),
            "lidMigrationTimestamp": row["lid_migration_ts"],
            "companionMetaNonce": text_to_json(_text(row, "companion_meta_nonce")),
        },
    }
    return msgspec.json.encode(creds)


def device_from_creds(creds: bytes) -> dict[str, SqlValue]:
    """Return the device row for creds, whatsmeow's own or Baileys'; `CodecError` says which field is wrong."""
    try:
        parsed = read_json(creds)
    except msgspec.DecodeError as error:
        raise CodecError(f"creds are not JSON: {error}") from error
    top = _object(parsed, "creds")
    me, account, signed = (
        _object(top.get("me"), "me"),
        _object(top.get("account"), "account"),
        _object(top.get("signedPreKey"), "signedPreKey"),
    )
    own = _object(top.get("whatsmeow") or {}, "whatsmeow")
    row: dict[str, SqlValue] = {
        "jid": required_text(me.get("id"), "me.id"),
        "lid": text_from_json(me.get("lid")),
        "facebook_uuid": text_from_json(own.get("facebookUuid")),
        "registration_id": _integer(top.get("registrationId"), "registrationId"),
        "noise_key": _private(top.get("noiseKey"), "noiseKey"),
        "identity_key": _private(top.get("signedIdentityKey"), "signedIdentityKey"),
        "signed_pre_key": _private(signed.get("keyPair"), "signedPreKey.keyPair"),
        "signed_pre_key_id": _integer(signed.get("keyId"), "signedPreKey.keyId"),
        "signed_pre_key_sig": _bytes(signed.get("signature"), "signedPreKey.signature", 64),
        "adv_key": _bytes(top.get("advSecretKey"), "advSecretKey"),
        "adv_details": _bytes(account.get("details"), "account.details"),
        "adv_account_sig": _bytes(account.get("accountSignature"), "account.accountSignature", 64),
        "adv_account_sig_key": _account_key(top, account),
        "adv_device_sig": _bytes(account.get("deviceSignature"), "account.deviceSignature", 64),
        "platform": text_from_json(top.get("platform")) or "",
        "business_name": text_from_json(own.get("businessName")) or "",
        "push_name": text_from_json(me.get("name")) or "",
        "lid_migration_ts": _integer(own.get("lidMigrationTimestamp", 0), "whatsmeow.lidMigrationTimestamp"),
        "companion_meta_nonce": text_from_json(own.get("companionMetaNonce")) or "",
    }
    return row


def _me(row: Row) -> dict[str, Any]:
    me: dict[str, Any] = {"id": text_to_json(_text(row, "jid")), "name": text_to_json(_text(row, "push_name"))}
    if row["lid"] is not None:
        me["lid"] = text_to_json(_text(row, "lid"))
    return me


def _signal_identity(row: Row, account_key: bytes) -> dict[str, Any]:
    name = row["lid"] or row["jid"]
    return {
        "identifier": {"name": text_to_json(name if isinstance(name, str) else None), "deviceId": 0},
        "identifierKey": encode_buffer(KEY_PREFIX + account_key),
    }


def _account_key(top: dict[str, Any], account: dict[str, Any]) -> bytes:
    """Return the account's key. Baileys sometimes leaves it out of ``account``; the phone's signal identity is the
    same key with a type byte."""
    if account.get("accountSignatureKey"):
        return _bytes(account["accountSignatureKey"], "account.accountSignatureKey", 32)
    identities = json_array(top.get("signalIdentities"))
    first = _object(identities[0] if identities else None, "signalIdentities[0]")
    identity = _bytes(first.get("identifierKey"), "signalIdentities[0].identifierKey", 33)
    return identity[1:]


def _blobs(row: Row) -> dict[str, bytes]:
    return {column: value for column, value in row.items() if isinstance(value, bytes)}


def _text(row: Row, column: str) -> str | None:
    value = row[column]
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return None if value is None else str(value)


def _private(pair: object, what: str) -> bytes:
    return _bytes(_object(pair, what).get("private"), f"{what}.private", 32)


def _bytes(value: object, what: str, length: int | None = None) -> bytes:
    try:
        data = decode_buffer(value)
    except CodecError as error:
        raise CodecError(f"creds.{what}: {error}") from error
    if length is not None and len(data) != length:
        raise CodecError(f"creds.{what}: {len(data)} bytes where {length} were expected")
    return data


def _integer(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise CodecError(f"creds.{what}: expected a number, found {type(value).__name__}")
    return value


def _object(value: object, what: str) -> dict[str, Any]:
    found = json_object(value)
    if found is None:
        raise CodecError(f"creds.{what}: expected an object, found {type(value).__name__}")
    return found


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
