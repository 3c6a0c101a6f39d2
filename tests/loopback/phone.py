"""Simulated phones: what happens when a user scans a QR code or types a pairing code into WhatsApp."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import time
from typing import Final, final

import trio
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from actors.linker.wire.jid import Jid
from tests.loopback.accounts import Account
from tests.loopback.curve import KeyPair
from tests.loopback.pairing import (
    PAIRING_TIMEOUT_S,
    CodeExchange,
    PairingError,
    Registration,
    Registrations,
    code_notification,
)
from tests.loopback.passkey_walks import Passkeys

CODE_ITERATIONS: Final = 2 << 16
_QR_URL: Final = "https://wa.me/settings/linked_devices#"


@final
class Phone:
    """The phone of one account, as its owner uses it."""

    def __init__(self, account: Account, registrations: Registrations, passkeys: Passkeys) -> None:
        self.account = account
        self._registrations = registrations
        self._passkeys = passkeys

    async def scan(self, qr_text: str) -> Jid | None:
        """Scan a QR code; the linked device's address, or PairingError when code, client and keys do not fit.

        None for an account whose passkey the client has to prove first: `Passkeys.linked` waits for the result.
        """
        ref, noise_key, identity, adv_secret = _read_qr(qr_text)
        waiting = self._registrations.by_ref(ref)
        if (noise_key, identity) != (waiting.noise_key, waiting.identity):
            raise PairingError("the QR code names other keys than the client that offers it")
        return await self._accept(waiting, adv_secret)

    async def confirm_code(self, code: str) -> Jid | None:
        """Type a pairing code (with or without its hyphen); the linked device's address, or PairingError; None as with `scan`."""
        waiting = self._registrations.by_phone(self.account.pn.user)
        exchange = waiting.code
        assert exchange is not None, "by_phone finds only streams with a code exchange"
        typed = code.replace("-", "").upper().encode()
        companion_ephemeral = await _unwrap(typed, exchange.wrapped_ephemeral)
        ephemeral = KeyPair.generate()
        wrapped = await _wrap(typed, ephemeral.public)
        id_ = waiting.connection.next_id()
        identity = self.account.identity
        waiting.connection.send(code_notification(exchange, wrapped, identity.public, id_, int(time.time())))
        with trio.move_on_after(PAIRING_TIMEOUT_S):
            await exchange.finished.wait()
        if exchange.bundle is None:
            raise PairingError(waiting.failure or f"the client did not answer within {PAIRING_TIMEOUT_S:g} s")
        shared = ephemeral.agree(companion_ephemeral)
        return await self._accept(waiting, self._adv_secret(waiting, exchange, shared))

    def _adv_secret(self, waiting: Registration, exchange: CodeExchange, shared: bytes) -> bytes:
        bundle = exchange.bundle or b""
        key = _hkdf(shared, bundle[:32], b"link_code_pairing_key_bundle_encryption_key")
        try:
            opened = AESGCM(key).decrypt(bundle[32:44], bundle[44:], None)
        except InvalidTag as exc:
            raise PairingError("the code is wrong") from exc
        companion_identity, primary_identity, random = opened[:32], opened[32:64], opened[64:96]
        if companion_identity != waiting.identity or primary_identity != self.account.identity.public:
            raise PairingError("the client's key bundle names other identities")
        return _hkdf(shared + self.account.identity.agree(companion_identity) + random, b"", b"adv_secret")

    async def _accept(self, waiting: Registration, adv_secret: bytes) -> Jid | None:
        if self.account.passkey:
            self._passkeys.begin(waiting, self.account, adv_secret)
            return None
        self._registrations.accept(waiting, self.account, adv_secret)
        return await waiting.until_linked()


def _read_qr(text: str) -> tuple[bytes, bytes, bytes, bytes]:
    parts = text.removeprefix(_QR_URL).split(",")
    if len(parts) < 4:
        raise PairingError(f"a QR code of {len(parts)} parts, at least 4 are needed")
    try:
        noise_key, identity, adv_secret = (base64.b64decode(part, validate=True) for part in parts[1:4])
    except binascii.Error as exc:
        raise PairingError("the QR code holds something that is not base64") from exc
    return parts[0].encode(), noise_key, identity, adv_secret


def _hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)


async def _code_key(code: bytes, salt: bytes) -> bytes:
    return await trio.to_thread.run_sync(hashlib.pbkdf2_hmac, "sha256", code, salt, CODE_ITERATIONS)


def _ctr(key: bytes, iv: bytes, data: bytes) -> bytes:
    encryptor = Cipher(AES(key), CTR(iv)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


async def _unwrap(code: bytes, wrapped: bytes) -> bytes:
    if len(wrapped) != 80:
        raise PairingError(f"the client's wrapped key has {len(wrapped)} bytes, 80 are right")
    return _ctr(await _code_key(code, wrapped[:32]), wrapped[32:48], wrapped[48:])


async def _wrap(code: bytes, key: bytes) -> bytes:
    salt, iv = secrets.token_bytes(32), secrets.token_bytes(16)
    return salt + iv + _ctr(await _code_key(code, salt), iv, key)
