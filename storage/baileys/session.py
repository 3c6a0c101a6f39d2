"""Signal sessions: libsignal-node's JSON (Baileys) as the JSON record of Go's libsignal (whatsmeow), and back.

Both hold the same double ratchet, with three differences. Baileys counts the last key used, Go the next one. Baileys
keeps the seeds of skipped messages, Go what is derived from them, so those cannot be converted back. Go's library ends
its process on a record that it cannot use, so every record is checked before it leaves this module.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from config.json_text import read_json
from storage.baileys.curve import derive, require_pair, secret, typed_public
from storage.whatsmeow.codec import CodecError, decode_buffer, json_object

MAX_PREVIOUS_STATES: Final = 40
MAX_RECEIVER_CHAINS: Final = 5
MAX_MESSAGE_KEYS: Final = 2000
"""Limits of Go's library; the newest are kept."""

_UINT32: Final = 1 << 32
_SENDING: Final = 1
_RECEIVING: Final = 2
_OPEN: Final = -1
_MESSAGE_KEYS: Final = b"WhisperMessageKeys"
NO_KEY: Final = bytes(32)
"""The key of a chain that the ratchet has left: the chain never advances again, only its skipped messages can still be read."""


@dataclass(frozen=True, slots=True)
class Own:
    """Our side of a session, which Go repeats in every record."""

    identity: bytes
    """The public key with its type byte."""
    registration_id: int


@dataclass(frozen=True, slots=True)
class Session:
    """A converted record."""

    record: bytes
    identity: bytes
    """The peer's identity key of the session in use, with its type byte."""
    left_out: int
    """Archived states, old chains and skipped messages that did not fit or were broken."""


# --- from Baileys -----------------------------------------------------------------------------------------------------


def from_baileys(value: object, own: Own) -> Session:
    """Return Go's record of a Baileys session file; `CodecError` when the session in use is incomplete."""
    record = _record(value)
    entries = list((json_object(record.get("_sessions")) or {}).values())
    if not entries:
        raise CodecError("it holds no session")
    entries.sort(key=_rank)
    converter = _Reader(own, record.get("registrationId"))
    current = converter.state(entries[0])
    previous: list[dict[str, Any]] = []
    broken = 0
    for entry in entries[1:]:
        try:
            previous.append(converter.state(entry))
        except CodecError:
            broken += 1
    left_out = converter.left_out + broken + max(0, len(previous) - MAX_PREVIOUS_STATES)
    encoded = msgspec.json.encode({"SessionState": current, "PreviousStates": previous[:MAX_PREVIOUS_STATES]})
    return Session(encoded, base64.b64decode(current["RemoteIdentityPublic"]), left_out)


def _record(value: object) -> dict[str, Any]:
    """Return the record, also when a store kept it as bytes of JSON."""
    record = json_object(value)
    if record is not None and "_sessions" not in record:
        try:
            record = json_object(read_json(decode_buffer(value)))
        except (CodecError, msgspec.DecodeError):
            record = None
    if record is None or "_sessions" not in record:
        raise CodecError("a session record was expected")
    if record.get("version", "v1") != "v1":
        raise CodecError("a session record of an unknown version")
    return record


def _rank(value: object) -> tuple[bool, float]:
    """Sort key: the open session first, then the last one used."""
    info = json_object((json_object(value) or {}).get("indexInfo")) or {}
    used = info.get("used")
    return info.get("closed") != _OPEN, -float(used) if isinstance(used, (int, float)) else 0.0


class _Reader:
    """Converts the entries of one record and counts what exceeds Go's limits."""

    def __init__(self, own: Own, registration_id: object) -> None:
        self._own = own
        self._registration_id = registration_id
        self.left_out = 0

    def state(self, value: object) -> dict[str, Any]:
        """Return one entry as a state of Go's."""
        entry = _object(value, "session")
        ratchet, info = (
            _object(entry.get("currentRatchet"), "currentRatchet"),
            _object(entry.get("indexInfo"), "indexInfo"),
        )
        registration_id = entry.get("registrationId")
        return {
            "LocalIdentityPublic": _base64(self._own.identity),
            "LocalRegistrationID": self._own.registration_id,
            "NeedsRefresh": False,
            "PendingKeyExchange": None,
            "PendingPreKey": _pending(entry.get("pendingPreKey")),
            "PreviousCounter": max(_integer(ratchet.get("previousCounter"), "previousCounter", least=-1), 0),
            "ReceiverChains": self._receiving(entry),
            "RemoteIdentityPublic": _base64(typed_public(info.get("remoteIdentityKey"), "remoteIdentityKey")),
            "RemoteRegistrationID": _integer(
                self._registration_id if registration_id is None else registration_id, "registrationId"
            ),
            "RootKey": _base64(secret(ratchet.get("rootKey"), "rootKey")),
            "SenderBaseKey": _base64(typed_public(info.get("baseKey"), "baseKey")),
            "SenderChain": self._sending(entry, ratchet),
            "SessionVersion": 3,
        }

    def _sending(self, entry: dict[str, Any], ratchet: dict[str, Any]) -> dict[str, Any]:
        pair = _object(ratchet.get("ephemeralKeyPair"), "ephemeralKeyPair")
        public = typed_public(pair.get("pubKey"), "ephemeralKeyPair.pubKey")
        private = secret(pair.get("privKey"), "ephemeralKeyPair.privKey")
        require_pair(public, private, "ephemeralKeyPair")
        for key, chain in _chains(entry):
            if key == public and chain.get("chainType") == _SENDING:
                if _object(chain.get("chainKey"), "chainKey").get("key") is None:
                    raise CodecError("the sending chain has no key")
                return self._chain(public, private, chain)
        raise CodecError("the sending chain is missing")

    def _receiving(self, entry: dict[str, Any]) -> list[dict[str, Any]]:
        found = [(key, chain) for key, chain in _chains(entry) if chain.get("chainType") == _RECEIVING]
        found.sort(key=_age(entry))
        chains = [self._chain(key, b"", chain) for key, chain in found]
        self.left_out += max(0, len(chains) - MAX_RECEIVER_CHAINS)
        return chains[-MAX_RECEIVER_CHAINS:]

    def _chain(self, public: bytes, private: bytes, chain: dict[str, Any]) -> dict[str, Any]:
        chain_key = _object(chain.get("chainKey"), "chainKey")
        key = chain_key.get("key")
        skipped = [
            _message_key(index, seed) for index, seed in _object(chain.get("messageKeys"), "messageKeys").items()
        ]
        skipped.sort(key=lambda one: int(one["Index"]))
        self.left_out += max(0, len(skipped) - MAX_MESSAGE_KEYS)
        return {
            "SenderRatchetKeyPublic": _base64(public),
            "SenderRatchetKeyPrivate": _base64(private) if private else None,
            "ChainKey": {
                "Key": _base64(NO_KEY if key is None else secret(key, "chainKey.key")),
                "Index": _integer(chain_key.get("counter"), "chainKey.counter", least=-1) + 1,
            },
            "MessageKeys": skipped[-MAX_MESSAGE_KEYS:],
        }


def _age(entry: dict[str, Any]) -> Callable[[tuple[bytes, dict[str, Any]]], tuple[bool, bool]]:
    """Return a sort key that puts the oldest chain first: the peer's present chain comes last, open chains after closed ones.

    Within these groups the file's order, which is that of creation, stays. From JSONB the order is another: it keeps no
    order of keys.
    """
    ratchet = json_object(entry.get("currentRatchet")) or {}
    try:
        present = typed_public(ratchet.get("lastRemoteEphemeralKey"), "lastRemoteEphemeralKey")
    except CodecError:  # there is none before the peer's first message
        present = b""
    return lambda chain: (chain[0] == present, (json_object(chain[1].get("chainKey")) or {}).get("key") is not None)


def _chains(entry: dict[str, Any]) -> list[tuple[bytes, dict[str, Any]]]:
    """Return the chains in their stored order."""
    return [
        (typed_public(key, "ratchet key"), _object(chain, "chain"))
        for key, chain in _object(entry.get("_chains"), "_chains").items()
    ]


def _message_key(index: str, seed: object) -> dict[str, Any]:
    if not index.isdecimal():
        raise CodecError("messageKeys: a number was expected")
    derived = derive(secret(seed, "messageKeys"), _MESSAGE_KEYS, 80)
    return {
        "CipherKey": _base64(derived[:32]),
        "MacKey": _base64(derived[32:64]),
        "IV": _base64(derived[64:]),
        "Index": _integer(int(index), "messageKeys"),
    }


def _pending(value: object) -> dict[str, Any] | None:
    if value is None:
        return None
    pending = _object(value, "pendingPreKey")
    pre_key_id = pending.get("preKeyId")
    return {
        "PreKeyID": {
            "Value": 0 if pre_key_id is None else _integer(pre_key_id, "preKeyId"),
            "IsEmpty": pre_key_id is None,
        },
        "SignedPreKeyID": _integer(pending.get("signedKeyId"), "signedKeyId"),
        "BaseKey": _base64(typed_public(pending.get("baseKey"), "pendingPreKey.baseKey")),
    }


# --- shared -----------------------------------------------------------------------------------------------------------


def _object(value: object, what: str) -> dict[str, Any]:
    found = json_object(value)
    if found is None:
        raise CodecError(f"{what}: an object was expected")
    return found


def _integer(value: object, what: str, *, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < _UINT32:
        raise CodecError(f"{what}: a number from {least} was expected")
    return value


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
