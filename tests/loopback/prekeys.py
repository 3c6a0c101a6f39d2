"""Public keys a device leaves with the server, so that others can begin a Signal session with it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from actors.linker.wire.nodes import MissingPartError, Node, leaf, node
from tests.loopback.curve import DJB_TYPE, KeyPair

ID_SIZE: Final = 3
KEY_SIZE: Final = 32
MAX_ONE_TIME_KEYS: Final = 5_000
_RECORD: Final = ID_SIZE + KEY_SIZE


@dataclass(frozen=True, slots=True)
class SignedKey:
    """A signed pre-key: 3-byte id, public key, signature by the identity key over ``05 | key``."""

    id: bytes
    value: bytes
    signature: bytes


class KeyBundle:
    """One device's keys. One-time keys lie packed, 35 bytes each: 812 keys of a thousand devices must stay small."""

    def __init__(self, registration: bytes, identity: bytes, signed: SignedKey) -> None:
        self.registration = registration
        self.identity = identity
        self.signed = signed
        self._one_time = bytearray()

    @classmethod
    def invented(cls, identity: KeyPair) -> KeyBundle:
        """The bundle of a simulated phone: its private keys are not kept, but the signature is right."""
        key = KeyPair.generate().public
        signed = SignedKey(b"\0\0\1", key, identity.sign(DJB_TYPE + key))
        return cls(secrets.token_bytes(4), identity.public, signed)

    @property
    def count(self) -> int:
        """How many one-time keys are left."""
        return len(self._one_time) // _RECORD

    def upload(self, iq: Node) -> None:
        """Take what a client uploads; MissingPartError or ValueError, with nothing changed, when it is malformed."""
        records = b"".join(_record(key) for key in iq.child("list").all("key"))
        signed = read_signed_key(iq.child("skey"))
        if len(self._one_time) + len(records) > MAX_ONE_TIME_KEYS * _RECORD:
            raise ValueError(f"more than {MAX_ONE_TIME_KEYS} one-time keys")
        self.registration = _sized(iq.child("registration"), 4)
        self.identity = _sized(iq.child("identity"), KEY_SIZE)
        self.signed = signed
        self._one_time += records

    def take(self, user: Node) -> Node:
        """Fill ``user`` with this bundle for someone who begins a session; each one-time key is given out once."""
        parts = [
            leaf("registration", self.registration),
            leaf("type", DJB_TYPE),
            leaf("identity", self.identity),
        ]
        if self._one_time:
            record = bytes(self._one_time[:_RECORD])
            del self._one_time[:_RECORD]
            parts.append(node("key", leaf("id", record[:ID_SIZE]), leaf("value", record[ID_SIZE:])))
        return Node(user.tag, user.attrs, (*parts, self._signed_node()))

    def digest(self) -> Node:
        """What the server holds, for a client that asks whether it is still right."""
        ids = [bytes(self._one_time[at : at + ID_SIZE]) for at in range(0, len(self._one_time), _RECORD)]
        return node(
            "digest",
            leaf("registration", self.registration),
            leaf("type", DJB_TYPE),
            leaf("identity", self.identity),
            self._signed_node(),
            node("list", *(leaf("id", key_id) for key_id in ids)),
        )

    def _signed_node(self) -> Node:
        signed = self.signed
        return node("skey", leaf("id", signed.id), leaf("value", signed.value), leaf("signature", signed.signature))


def read_signed_key(skey: Node) -> SignedKey:
    """Read ``<skey>``; MissingPartError when a part is absent or has the wrong size."""
    return SignedKey(
        _sized(skey.child("id"), ID_SIZE), _sized(skey.child("value"), KEY_SIZE), _sized(skey.child("signature"), 64)
    )


def _record(key: Node) -> bytes:
    return _sized(key.child("id"), ID_SIZE) + _sized(key.child("value"), KEY_SIZE)


def _sized(part: Node, size: int) -> bytes:
    data = part.data
    if len(data) != size:
        raise MissingPartError(part, f"content of {size} bytes (it has {len(data)})")
    return data
