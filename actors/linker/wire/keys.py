"""Curve25519 keys as WhatsApp uses them: agreement, and signatures in libsignal's form of XEdDSA.

libsignal keeps the sign bit of the Edwards public key in the top bit of the signature's last byte.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

import xeddsa.bindings as xeddsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

DJB_TYPE = b"\x05"
"""The byte that libsignal puts before a public key where the kind of key is part of the bytes."""
KEY_SIZE = 32


class BadKey(ValueError):
    """Bytes that are not a public key, or a key with which every agreement is the same."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private and a public key of 32 bytes each."""

    private: bytes
    public: bytes

    @classmethod
    def generate(cls) -> KeyPair:
        """Return a new random pair, clamped, as other clients store it."""
        private = bytearray(X25519PrivateKey.generate().private_bytes_raw())
        private[0] &= 248
        private[31] = private[31] & 127 | 64
        return cls.of(bytes(private))

    @classmethod
    def of(cls, private: bytes) -> KeyPair:
        """Return the pair of a private key."""
        return cls(private, X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw())

    def agree(self, public: bytes) -> bytes:
        """Return the shared secret with the owner of ``public``. Raise `BadKey` when there can be none."""
        try:
            return X25519PrivateKey.from_private_bytes(self.private).exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError as error:
            raise BadKey("no secret can be shared with this key") from error

    def sign(self, message: bytes) -> bytes:
        """Return a signature of 64 bytes that libsignal's clients accept."""
        signature = bytearray(xeddsa.ed25519_priv_sign(self.private, message))
        signature[63] |= xeddsa.priv_to_ed25519_pub(self.private)[31] & 0x80
        return bytes(signature)


def derive(secret: bytes, *, info: bytes, salt: bytes = b"", size: int = KEY_SIZE) -> bytes:
    """HKDF-SHA256."""
    return HKDF(algorithm=SHA256(), length=size, salt=salt or None, info=info).derive(secret)


def mac(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA256."""
    return hmac.digest(key, message, "sha256")
