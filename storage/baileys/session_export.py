"""The inverse of storage/baileys/session.py: Go's session record as libsignal-node's JSON.

The ratchets are converted completely. Skipped messages are not: Go keeps what was derived from their seeds, Baileys
needs the seeds.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from config.json_text import read_json
from storage.baileys.curve import require_pair, secret, typed_public
from storage.baileys.session import NO_KEY
from storage.whatsmeow.codec import CodecError, json_array, json_object

_SENDING: Final = 1
_RECEIVING: Final = 2
_OURS: Final = 1
_THEIRS: Final = 2
_OPEN: Final = -1
_INT32: Final = 1 << 31


@dataclass(frozen=True, slots=True)
class BaileysSession:
    """A converted record."""

    value: dict[str, Any]
    skipped_messages: int
    """Keys of messages that had not arrived yet; they are left behind."""
    left_out: int
    """Archived states that are broken."""


def to_baileys(record: bytes, now_ms: int) -> BaileysSession:
    """Return Baileys' session for Go's record; `CodecError` when the state in use is incomplete."""
    try:
        found = json_object(read_json(record))
    except msgspec.DecodeError:
        found = None
    if found is None:
        raise CodecError("a session record was expected")
    writer = _Writer(now_ms)
    current = writer.entry(found.get("SessionState"), 0)
    sessions: dict[str, Any] = {current["indexInfo"]["baseKey"]: current}
    left_out = 0
    for number, state in enumerate(json_array(found.get("PreviousStates")) or [], 1):
        try:
            entry = writer.entry(state, number)
        except CodecError:
            left_out += 1
            continue
        sessions.setdefault(entry["indexInfo"]["baseKey"], entry)
    return BaileysSession({"_sessions": sessions, "version": "v1"}, writer.skipped_messages, left_out)


class _Writer:
    """Writes the entries of one record, the newest first, and counts what is lost."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self.skipped_messages = 0

    def entry(self, value: object, number: int) -> dict[str, Any]:
        """Return the ``number``-th state as an entry; 0 is the open one."""
        state = _object(value, "session state")
        sender = _object(state.get("SenderChain"), "SenderChain")
        public = typed_public(sender.get("SenderRatchetKeyPublic"), "SenderRatchetKeyPublic")
        private = secret(sender.get("SenderRatchetKeyPrivate"), "SenderRatchetKeyPrivate")
        require_pair(public, private, "SenderChain")
        receiving = [_object(chain, "ReceiverChains") for chain in json_array(state.get("ReceiverChains")) or []]
        chains = {_ratchet_key(chain): self._chain(chain, _RECEIVING) for chain in receiving}
        last = list(chains)[-1] if chains else None
        chains[_base64(public)] = self._chain(sender, _SENDING)
        pending = _pending(state.get("PendingPreKey"))
        counter = _integer(state.get("PreviousCounter"), "PreviousCounter")
        used = self._now_ms - number
        entry: dict[str, Any] = {
            "registrationId": _integer(state.get("RemoteRegistrationID"), "RemoteRegistrationID"),
            "currentRatchet": {
                "ephemeralKeyPair": {"pubKey": _base64(public), "privKey": _base64(private)},
                # Only the chain of this key is closed at the next step, so without a chain any key will do.
                "lastRemoteEphemeralKey": last or _base64(typed_public(state.get("SenderBaseKey"), "SenderBaseKey")),
                # Go counts down from 0 without a sign when the previous chain sent no message.
                "previousCounter": counter if counter < _INT32 else 0,
                "rootKey": _base64(secret(state.get("RootKey"), "RootKey")),
            },
            "indexInfo": {
                "baseKey": _base64(typed_public(state.get("SenderBaseKey"), "SenderBaseKey")),
                # Go does not record whose base key it was; Baileys asks only for those of the peer.
                "baseKeyType": _THEIRS if pending is None else _OURS,
                "closed": _OPEN if number == 0 else used,
                "used": used,
                "created": used,
                "remoteIdentityKey": _base64(typed_public(state.get("RemoteIdentityPublic"), "RemoteIdentityPublic")),
            },
            "_chains": chains,
        }
        return entry if pending is None else {**entry, "pendingPreKey": pending}

    def _chain(self, chain: dict[str, Any], chain_type: int) -> dict[str, Any]:
        chain_key = _object(chain.get("ChainKey"), "ChainKey")
        key = secret(chain_key.get("Key"), "ChainKey.Key")
        self.skipped_messages += len(json_array(chain.get("MessageKeys")) or [])
        counter = {"counter": _integer(chain_key.get("Index"), "ChainKey.Index") - 1}
        return {
            "chainKey": counter if key == NO_KEY else {**counter, "key": _base64(key)},
            "chainType": chain_type,
            "messageKeys": {},
        }


def _ratchet_key(chain: dict[str, Any]) -> str:
    return _base64(typed_public(chain.get("SenderRatchetKeyPublic"), "SenderRatchetKeyPublic"))


def _pending(value: object) -> dict[str, Any] | None:
    if value is None:
        return None
    pending = _object(value, "PendingPreKey")
    found: dict[str, Any] = {
        "signedKeyId": _integer(pending.get("SignedPreKeyID"), "SignedPreKeyID"),
        "baseKey": _base64(typed_public(pending.get("BaseKey"), "BaseKey")),
    }
    pre_key_id = json_object(pending.get("PreKeyID"))
    if pre_key_id is None or pre_key_id.get("IsEmpty"):
        return found
    return {**found, "preKeyId": _integer(pre_key_id.get("Value"), "PreKeyID")}


def _object(value: object, what: str) -> dict[str, Any]:
    found = json_object(value)
    if found is None:
        raise CodecError(f"{what}: an object was expected")
    return found


def _integer(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2 * _INT32:
        raise CodecError(f"{what}: a number was expected")
    return value


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
