"""The master keys (KEK), which wrap companies' data keys. They come from a file and are never stored in the database."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from config.key_file import read_keys
from storage.errors import MasterKeyError

NONCE_BYTES: Final = 12

_ID_CONTEXT: Final = b"wasup master key id"

_log = logging.getLogger(__name__)


@final
class MasterKey:
    """One master key. ``id`` names it in the database and reveals nothing about it."""

    __slots__ = ("_aead", "id")

    def __init__(self, secret: bytes) -> None:
        self.id = hmac.new(secret, _ID_CONTEXT, hashlib.sha256).hexdigest()[:16]
        self._aead = AESGCM(secret)

    def wrap(self, secret: bytes, associated: bytes) -> bytes:
        """Return ``secret`` encrypted and bound to ``associated``: nonce, ciphertext, tag."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, secret, associated)

    def unwrap(self, wrapped: bytes, associated: bytes) -> bytes | None:
        """Return the secret; None when it was changed, or wrapped by another key or for another purpose."""
        try:
            return self._aead.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], associated)
        except (InvalidTag, ValueError):
            return None

    def __repr__(self) -> str:
        return f"MasterKey({self.id})"


@final
class MasterKeys:
    """The keys of a file: the first one wraps, all of them unwrap, and so do those of ``others``.

    The file is read again whenever a key is wrapped or an unknown id is met, so that a daemon follows a rotation
    without a restart. When that fails, the keys read last stay valid.
    """

    def __init__(self, file: Path, others: Sequence[Path] = ()) -> None:
        self.file = file
        self._others = tuple(key for other in others for key in _read(other))
        self._keys = _read(file)

    def current(self) -> MasterKey:
        """Return the key that wraps now."""
        self._read_again()
        return self._keys[0]

    def find(self, kek_id: str) -> MasterKey | None:
        """Return the key of this id; None when the file does not contain it."""
        key = self._known(kek_id)
        if key is None:
            self._read_again()
            key = self._known(kek_id)
        return key

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the keys as last read, the current one first."""
        return tuple(key.id for key in (*self._keys, *self._others))

    def _known(self, kek_id: str) -> MasterKey | None:
        return next((key for key in (*self._keys, *self._others) if key.id == kek_id), None)

    def _read_again(self) -> None:
        try:
            self._keys = _read(self.file)
        except MasterKeyError as error:
            _log.warning("the master key file cannot be used any more: %s", error)


def _read(file: Path) -> tuple[MasterKey, ...]:
    try:
        return tuple(MasterKey(secret) for secret in read_keys(file))
    except ValueError as error:
        raise MasterKeyError(str(error)) from None
