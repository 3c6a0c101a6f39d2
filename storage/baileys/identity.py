"""Baileys' ``creds.json``: the device itself. Any fault in it is an error, because Baileys would make a new identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from config.json_text import read_json
from storage.baileys.curve import is_signed, require_pair, secret, typed_public
from storage.baileys.session import Own
from storage.whatsmeow.codec import CodecError, json_object
from storage.whatsmeow.creds import SqlValue, creds_from_device, device_from_creds

_PAIRS: Final = ("noiseKey", "signedIdentityKey")
_ACCOUNT: Final = (b"\x06\x00", b"\x06\x05")
_DEVICE: Final = (b"\x06\x01", b"\x06\x06")
"""The beginnings of the signed data; the second of each is for accounts that Meta hosts."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A linked device, checked."""

    creds: bytes
    """In wasup's form."""
    jid: str
    lid: str | None
    own: Own
    account_key: bytes
    """The phone's identity key, 32 bytes."""
    next_pre_key_id: int
    first_not_uploaded: int
    warnings: tuple[str, ...]

    @property
    def user(self) -> str:
        """The user part of our own phone number's JID."""
        return self.jid.partition("@")[0].partition(":")[0]

    @property
    def lid_user(self) -> str | None:
        """The user part of our own LID."""
        return None if self.lid is None else self.lid.partition("@")[0].partition(":")[0]


def read_identity(data: bytes) -> Identity:
    """Return the device in ``creds.json``; `CodecError` when it is torn, not linked, or its keys do not belong together."""
    try:
        top = json_object(read_json(data))
    except msgspec.DecodeError as error:
        raise CodecError(f"it is not JSON ({error}): torn or overwritten") from None
    if top is None:
        raise CodecError("it is not an object: torn or overwritten")
    if not (json_object(top.get("me")) or {}).get("id") or top.get("account") is None:
        raise CodecError("it holds no linked device: Baileys never finished linking here")
    row = device_from_creds(data)
    _require_keys(top, row)
    identity = typed_public((json_object(top["signedIdentityKey"]) or {}).get("public"), "signedIdentityKey.public")
    account_key = _bytes(row, "adv_account_sig_key")
    return Identity(
        creds=creds_from_device(row),
        jid=_jid(row["jid"]),
        lid=None if row["lid"] is None else _jid(row["lid"]),
        own=Own(identity, _registration(row["registration_id"])),
        account_key=account_key,
        next_pre_key_id=_count(top, "nextPreKeyId"),
        first_not_uploaded=_count(top, "firstUnuploadedPreKeyId"),
        warnings=_account_warnings(row, identity[1:]),
    )


def _require_keys(top: dict[str, Any], row: dict[str, SqlValue]) -> None:
    """Raise `CodecError` unless every public key matches its private key and the signed pre-key is signed."""
    pairs = {name: (json_object(top.get(name)) or {}) for name in _PAIRS}
    signed = json_object(top.get("signedPreKey")) or {}
    pairs["signedPreKey.keyPair"] = json_object(signed.get("keyPair")) or {}
    for name, pair in pairs.items():
        public = typed_public(pair.get("public"), f"{name}.public")
        require_pair(public, secret(pair.get("private"), f"{name}.private"), name)
    identity = typed_public(pairs["signedIdentityKey"].get("public"), "signedIdentityKey.public")
    pre_key = typed_public(pairs["signedPreKey.keyPair"].get("public"), "signedPreKey.keyPair.public")
    if not is_signed(identity[1:], pre_key, _bytes(row, "signed_pre_key_sig")):
        raise CodecError("signedPreKey: its signature is not the identity key's")


def _account_warnings(row: dict[str, SqlValue], identity: bytes) -> tuple[str, ...]:
    """Return warnings about the phone's signatures. Baileys never verifies them; peers do, when a session begins."""
    details, account_key = _bytes(row, "adv_details"), _bytes(row, "adv_account_sig_key")
    account, device = _bytes(row, "adv_account_sig"), _bytes(row, "adv_device_sig")
    warnings: list[str] = []
    if not any(is_signed(account_key, prefix + details + identity, account) for prefix in _ACCOUNT):
        warnings.append("creds.json: the phone's signature of this device does not hold; peers may refuse new sessions")
    if not any(is_signed(identity, prefix + details + identity + account_key, device) for prefix in _DEVICE):
        warnings.append("creds.json: the device's own signature does not hold; peers may refuse new sessions")
    return tuple(warnings)


def _jid(value: SqlValue) -> str:
    text = str(value)
    user, at, server = text.partition("@")
    number, _, device = user.partition(":")
    if not at or not server or not number.isdecimal() or (device and not device.isdecimal()):
        raise CodecError("me: an address of WhatsApp was expected")
    return text


def _registration(value: SqlValue) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 32:
        raise CodecError("registrationId: a number was expected")
    return value


def _count(top: dict[str, Any], name: str) -> int:
    value = top.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 1 << 31:
        raise CodecError(f"{name}: a number from 1 was expected")
    return value


def _bytes(row: dict[str, SqlValue], column: str) -> bytes:
    value = row[column]
    assert isinstance(value, bytes), "device_from_creds decodes it"
    return value
