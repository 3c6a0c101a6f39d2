"""Curve25519 keys: agreement, and signatures in libsignal's form of XEdDSA.

libsignal keeps the sign bit of the Edwards public key in the top bit of the signature's last byte.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import xeddsa.bindings as xeddsa

DJB_TYPE = b"\x05"
"""What libsignal puts before a public key wherever the kind of key is part of the bytes."""
SIGNATURE_SIZE = 64


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A Curve25519 key pair, 32 bytes each."""

    private: bytes
    public: bytes

    @classmethod
    def generate(cls) -> KeyPair:
        """A fresh random pair."""
        private = bytearray(secrets.token_bytes(32))
        private[0] &= 248
        private[31] = private[31] & 127 | 64
        return cls(bytes(private), xeddsa.priv_to_curve25519_pub(bytes(private)))

    def agree(self, public: bytes) -> bytes:
        """The shared secret with the owner of ``public``."""
        return xeddsa.x25519(self.private, public)

    def sign(self, message: bytes) -> bytes:
        """A signature of 64 bytes that libsignal's clients accept."""
        signature = bytearray(xeddsa.ed25519_priv_sign(self.private, message))
        signature[63] |= xeddsa.priv_to_ed25519_pub(self.private)[31] & 0x80
        return bytes(signature)


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the owner of ``public`` signed ``message``, in libsignal's form."""
    if len(signature) != SIGNATURE_SIZE or len(public) != 32:
        return False
    sign_bit = bool(signature[63] & 0x80)
    plain = signature[:63] + bytes((signature[63] & 0x7F,))
    edwards = xeddsa.curve25519_pub_to_ed25519_pub(public, sign_bit)
    return xeddsa.ed25519_verify(plain, edwards, message)
