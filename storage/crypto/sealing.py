"""Encrypts values under a company's data key: AES-256-GCM, bound to the place where each is stored.

A sealed value is the JSON object ``{"wasupSealed": "1.<data key id>.<base64 of nonce, ciphertext and tag>"}``.
docs/encryption.md describes the form.
"""

from __future__ import annotations

import binascii
import os
from pathlib import Path
from typing import Final, final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from config.json_text import read_json
from config.key_file import KEY_BYTES
from storage.crypto.json_values import top_level_names
from storage.crypto.master_key import NONCE_BYTES, MasterKey, MasterKeys
from storage.errors import BrokenSeal, UnknownMasterKey

MEMBER: Final = "wasupSealed"
"""The one member of a sealed value; no plain value may have it."""

AUTH_TABLE: Final = "whatsapp_auth"
KEYS_TABLE: Final = "whatsapp_keys"
MEDIA_TABLE: Final = "whatsapp_media"

_FORM: Final = b"1"
# PostgreSQL writes JSONB with one blank after the colon.
_OPENING: Final = b'{"%s": ' % MEMBER.encode()
_BEGINNING: Final = b'%s"%s.' % (_OPENING, _FORM)
_END: Final = b'"}'
_ID_BYTES: Final = 8


def is_sealed(value: bytes) -> bool:
    """Return whether a value from the database claims to be sealed."""
    return value.startswith(_OPENING)


def claims_to_be_sealed(value: bytes) -> bool:
    """Return whether plain JSON, from any source, has the member that only sealed values may have."""
    return MEMBER.encode() in value and MEMBER in top_level_names(value)


@final
class StoredDataKey(msgspec.Struct, frozen=True):
    """A row of whatsapp_data_keys or whatsapp_media_keys."""

    company_id: str
    data_key_id: str
    kek_id: str
    wrapped: bytes
    all_sealed: bool
    """True: a plain value of this company is a forgery. False: some may be left from before its data key."""
    purpose: str = "data key"
    """What the key is for: auth state, or something else."""

    @property
    def associated(self) -> bytes:
        """The associated data that the wrapping is bound to."""
        parts = (f"wasup {self.purpose} 1", self.company_id, self.data_key_id, self.kek_id, str(self.all_sealed))
        return "\0".join(parts).encode()


@final
class DataKey:
    """A company's data key, unwrapped: seals and opens its values."""

    __slots__ = ("_aead", "_beginning", "_company_id", "_suffix", "all_sealed", "id")

    def __init__(self, company_id: str, data_key_id: str, secret: bytes, *, all_sealed: bool) -> None:
        self.id = data_key_id
        self.all_sealed = all_sealed
        self._company_id = company_id
        self._aead = AESGCM(secret)
        self._beginning = b"%s%s." % (_BEGINNING, data_key_id.encode())
        self._suffix = f"\0{data_key_id}\0{_FORM.decode()}"

    def seal(self, table: str, key_type: str, key_id: str, value: bytes) -> bytes:
        """Return JSON that only this company's key opens, and only for this table and key."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self._aead.encrypt(nonce, value, self._associated(table, key_type, key_id))
        return self._beginning + binascii.b2a_base64(sealed, newline=False) + _END

    def open(self, table: str, key_type: str, key_id: str, stored: bytes) -> bytes:
        """Return the value that was sealed for this place; `BrokenSeal` for anything else, including a plain value where none may be."""
        if not (stored.startswith(self._beginning) and stored.endswith(_END)):
            if self.all_sealed or is_sealed(stored):
                raise self._broken(table, key_type, stored)
            return stored
        try:
            # With the closing quote it is a JSON string: msgspec reads its base64 three times as fast as binascii does.
            sealed = read_json(b'"' + stored[len(self._beginning) : 1 - len(_END)], bytes)
            return self._aead.decrypt(
                sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], self._associated(table, key_type, key_id)
            )
        except (InvalidTag, ValueError):  # msgspec.DecodeError is a ValueError
            raise self._broken(table, key_type, stored) from None

    def _associated(self, table: str, key_type: str, key_id: str) -> bytes:
        # PostgreSQL's text cannot contain NUL, so two places never give the same bytes.
        return f"{self._company_id}\0{table}\0{key_type}\0{key_id}{self._suffix}".encode()

    def _broken(self, table: str, key_type: str, stored: bytes) -> BrokenSeal:
        if not is_sealed(stored):
            why = "it is plain, where every value is sealed"
        elif not stored.startswith(self._beginning):
            why = "it is sealed under another data key than the company's"
        else:
            why = "it was changed, cut short or moved here from elsewhere"
        return broken_seal(self._company_id, table, key_type, why)


def broken_seal(company_id: str, table: str, key_type: str, why: str) -> BrokenSeal:
    """Return the error for a value of this kind."""
    named = {AUTH_TABLE: "the stored credentials", MEDIA_TABLE: "what opens a file"}
    what = named.get(table, f"a stored key of type {key_type!r}")
    return BrokenSeal(company_id, what, why)


@final
class Vault:
    """Makes and unlocks data keys with the configured master keys; without any, values are stored plain. Keeps no other secrets."""

    __slots__ = ("master_keys",)

    def __init__(self, master_keys: MasterKeys | None = None) -> None:
        self.master_keys = master_keys

    @classmethod
    def of_file(cls, file: Path | None) -> Vault:
        """Return a vault with the keys of this file, or without keys. Raises `MasterKeyError`."""
        return cls(None if file is None else MasterKeys(file))

    @property
    def is_sealing(self) -> bool:
        """Whether values are to be sealed."""
        return self.master_keys is not None

    def make(self, company_id: str, *, all_sealed: bool, purpose: str = "data key") -> tuple[StoredDataKey, DataKey]:
        """Return a new data key for the company, wrapped and unwrapped."""
        assert self.master_keys is not None
        secret = os.urandom(KEY_BYTES)
        data_key_id = os.urandom(_ID_BYTES).hex()
        master = self.master_keys.current()
        blank = StoredDataKey(company_id, data_key_id, master.id, b"", all_sealed, purpose)
        return _wrapped(master, blank, secret), DataKey(company_id, data_key_id, secret, all_sealed=all_sealed)

    def unlock(self, stored: StoredDataKey) -> DataKey:
        """Return the data key of a row. Raises `UnknownMasterKey`; `BrokenSeal` when the row was changed or moved."""
        secret = self._unwrap(stored)
        return DataKey(stored.company_id, stored.data_key_id, secret, all_sealed=stored.all_sealed)

    def rewrap(self, stored: StoredDataKey, master: MasterKey, *, all_sealed: bool) -> StoredDataKey:
        """Return the same data key wrapped by ``master``, with this ``all_sealed``. Raises like `unlock`."""
        changed = msgspec.structs.replace(stored, kek_id=master.id, all_sealed=all_sealed)
        return _wrapped(master, changed, self._unwrap(stored))

    def _unwrap(self, stored: StoredDataKey) -> bytes:
        master = None if self.master_keys is None else self.master_keys.find(stored.kek_id)
        if master is None:
            known = () if self.master_keys is None else self.master_keys.ids
            raise UnknownMasterKey(stored.company_id, stored.kek_id, known)
        secret = master.unwrap(stored.wrapped, stored.associated)
        if secret is None or len(secret) != KEY_BYTES:
            raise BrokenSeal(
                stored.company_id, "its data key", "it was changed, cut short or moved here from elsewhere"
            )
        return secret


def _wrapped(master: MasterKey, key: StoredDataKey, secret: bytes) -> StoredDataKey:
    return msgspec.structs.replace(key, wrapped=master.wrap(secret, key.associated))
