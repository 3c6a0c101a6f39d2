"""The parts of Signal's records: Curve25519 keys, their signatures, derived secrets. Makes checks that Baileys leaves out."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from storage.whatsmeow.codec import CodecError, decode_buffer
from storage.whatsmeow.creds import KEY_PREFIX, public_key

KEY_SIZE: Final = 32
_P: Final = 2**255 - 19
_LOW_ORDER: Final = frozenset(
    (
        0,
        1,
        _P - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    )
)
"""u-coordinates that make every agreement the same; no honestly generated key has one."""


def secret(value: object, what: str, size: int = KEY_SIZE) -> bytes:
    """Return bytes of exactly this size, from any of the Buffer forms; otherwise `CodecError` names ``what``."""
    try:
        data = decode_buffer(value)
    except CodecError as error:
        raise CodecError(f"{what}: {error}") from None
    if len(data) != size:
        raise CodecError(f"{what}: {len(data)} bytes where {size} were expected")
    return data


def typed_public(value: object, what: str) -> bytes:
    """Return a public key with Signal's type byte, 33 bytes, given with or without it; `CodecError` when it is no valid point."""
    try:
        data = decode_buffer(value)
    except CodecError as error:
        raise CodecError(f"{what}: {error}") from None
    if len(data) == KEY_SIZE:
        data = KEY_PREFIX + data
    if len(data) != KEY_SIZE + 1 or data[:1] != KEY_PREFIX:
        raise CodecError(f"{what}: {len(data)} bytes that are no public key")
    if (int.from_bytes(data[1:], "little") & (2**255 - 1)) % _P in _LOW_ORDER:
        raise CodecError(f"{what}: a point of low order")
    return data


def require_pair(public: bytes, private: bytes, what: str) -> None:
    """Raise `CodecError` unless the public key (32 or 33 bytes) belongs to the private key."""
    if public_key(private) != public[-KEY_SIZE:]:
        raise CodecError(f"{what}: the public key does not belong to the private key")


def derive(seed: bytes, info: bytes, size: int) -> bytes:
    """HKDF-SHA256 without a salt, as Signal derives its message keys."""
    return HKDF(algorithm=SHA256(), length=size, salt=None, info=info).derive(seed)


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether ``public``'s owner (32 bytes) signed this, in libsignal's form of XEdDSA: the sign bit is the signature's last."""
    if len(public) != KEY_SIZE or len(signature) != 2 * KEY_SIZE:
        return False
    u = int.from_bytes(public, "little") & (2**255 - 1)
    if (u + 1) % _P == 0:
        return False
    y = (u - 1) * pow(u + 1, -1, _P) % _P
    edwards = (y | (signature[63] & 0x80) << 248).to_bytes(KEY_SIZE, "little")
    try:
        Ed25519PublicKey.from_public_bytes(edwards).verify(signature[:63] + bytes((signature[63] & 0x7F,)), message)
    except (InvalidSignature, ValueError):
        return False
    return True
