"""The phone's half of linking with a passkey: handoff proof, key agreement, the code to compare, the client's sealed request.

A phone that scanned a QR code (or typed a pairing code) shares the ADV secret with the client it saw. A prologue with the HMAC
of that secret's handoff key comes from that very client: its owner need not compare a code. No I/O.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import b32encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import trio
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.loopback.curve import KeyPair
from tests.loopback.protobuf import Fields, build, parse
from tests.loopback.refusals import RefusedQuestionError

HANDOFF_S: Final = 300.0
"""How long the ADV secret of the scan proves that it was this client."""
KEY_SIZE: Final = 32
CODE_BYTES: Final = 5
_HANDOFF_INFO: Final = b"shortcake-passkey-handoff-v1"
_PAIRING_INFO: Final = b"Pairing Information Encryption Key"
_IDENTITY, _COMMITMENT, _HASH = 1, 2, 1
_PUBLIC_KEY, _DEVICE_TYPE, _REF, _NONCE = 1, 2, 3, 2
_SEALED, _IV = 1, 2
_NOISE_KEY, _IDENTITY_KEY, _ADV_SECRET = 1, 2, 3
_TO_WHATSAPP: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"123456789ABCDEFGHJKLMNPQRSTVWXYZ")


@dataclass(frozen=True, slots=True)
class PairingRequest:
    """What the client asks the phone to sign, opened."""

    noise_key: bytes
    identity: bytes
    adv_secret: bytes


@dataclass(slots=True)
class Secrecy:
    """One attempt to agree on a secret channel with a client, from its prologue on."""

    ref: bytes
    device_type: int
    companion: bytes
    identity: bytes
    commitment: bytes
    ephemeral: KeyPair = field(default_factory=KeyPair.generate)
    nonce: bytes = field(default_factory=lambda: secrets.token_bytes(KEY_SIZE))

    @property
    def primary_identity(self) -> bytes:
        """The phone's ephemeral identity, for the continuation notification."""
        return build({_PUBLIC_KEY: self.ephemeral.public, _NONCE: self.nonce})

    def code(self, companion_nonce: bytes) -> str:
        """The eight characters that both sides show; RefusedQuestionError for a nonce the client had not committed itself to."""
        if sha256(self.identity + companion_nonce).digest() != self.commitment:
            raise RefusedQuestionError(401, "not-authorized")
        digest = sha256(companion_nonce + self.ephemeral.public).digest()
        shown = bytes(ours ^ theirs for ours, theirs in zip(self.nonce[:CODE_BYTES], digest, strict=False))
        return b32encode(shown).translate(_TO_WHATSAPP).decode()

    def open(self, encrypted: bytes) -> PairingRequest:
        """Decrypt the client's pairing request; RefusedQuestionError when it was not sealed for this exchange."""
        wrapped = parse(encrypted)
        salt = f"Companion Pairing {self.device_type} with ref ".encode() + self.ref
        key = _derived(self.ephemeral.agree(self.companion), _PAIRING_INFO, salt)
        try:
            request = parse(AESGCM(key).decrypt(wrapped.data(_IV), wrapped.data(_SEALED), None))
        except InvalidTag as exc:
            raise RefusedQuestionError(401, "not-authorized") from exc
        parts = [request.data(number) for number in (_NOISE_KEY, _IDENTITY_KEY, _ADV_SECRET)]
        if any(len(part) != KEY_SIZE for part in parts):
            raise RefusedQuestionError(400, "bad-request")
        return PairingRequest(*parts)


@dataclass(slots=True)
class Handoff:
    """What a scan gave the phone: the key of the handoff proof, and since when."""

    key: bytes
    begun: float = field(default_factory=trio.current_time)

    def proved_by(self, prologue: bytes, proof: bytes | None) -> bool:
        """Whether this prologue is from the client that was scanned. False without a proof, or with one that comes after five
        minutes; RefusedQuestionError for a wrong one.
        """
        if proof is None:
            return False
        if not hmac.compare_digest(hmac.digest(self.key, prologue, "sha256"), proof):
            raise RefusedQuestionError(401, "not-authorized")
        return trio.current_time() - self.begun < HANDOFF_S


def handoff(adv_secret: bytes) -> Handoff:
    """What the phone keeps of a scan."""
    return Handoff(_derived(adv_secret, _HANDOFF_INFO, b""))


def read_prologue(prologue: bytes, ref: bytes) -> Secrecy:
    """Read a client's prologue; BadMessageError for something else, RefusedQuestionError for a reference it was not given."""
    told = parse(prologue)
    raw = told.data(_IDENTITY)
    identity: Fields = parse(raw)
    companion, commitment = identity.data(_PUBLIC_KEY), told.message(_COMMITMENT).data(_HASH)
    if len(companion) != KEY_SIZE or len(commitment) != KEY_SIZE:
        raise RefusedQuestionError(400, "bad-request")
    if not ref or identity.data(_REF) != ref:
        raise RefusedQuestionError(404, "item-not-found")
    return Secrecy(ref, identity.number(_DEVICE_TYPE), companion, raw, commitment)


def _derived(secret: bytes, info: bytes, salt: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_SIZE, salt=salt or None, info=info).derive(secret)
