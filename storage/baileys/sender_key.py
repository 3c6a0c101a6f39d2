"""Sender keys of groups: Baileys' list of states as the record of Go's libsignal (whatsmeow), and back. Nothing is lost either way.

Baileys appends a state and uses the last, Go prepends one and uses the first. Both keep the seeds of skipped messages.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from config.json_text import read_json
from storage.baileys.curve import KEY_SIZE, derive, require_pair, secret, typed_public
from storage.whatsmeow.codec import CodecError, decode_buffer, encode_buffer, json_array, json_object

MAX_STATES: Final = 5
MAX_MESSAGE_KEYS: Final = 2000
"""Limits of both libraries; the newest are kept."""

_UINT32: Final = 1 << 32
_INFO: Final = b"WhisperGroup"
_NO_KEY: Final = bytes(KEY_SIZE)
"""The private key that Go writes for another member's sender key."""


@dataclass(frozen=True, slots=True)
class SenderKey:
    """A converted record."""

    record: bytes
    left_out: int
    """States and skipped messages that exceed Go's limits."""


def from_baileys(value: object) -> SenderKey:
    """Return Go's record of a Baileys sender key file, of any version; `CodecError` when it is empty or incomplete."""
    states = _once([_object(state, "state") for state in _states(value)], _baileys_id)
    if not states:
        raise CodecError("it holds no key yet")
    newest = states[-MAX_STATES:]
    left_out = len(states) - len(newest)
    converted: list[dict[str, Any]] = []
    for state in reversed(newest):
        skipped = json_array(state.get("senderMessageKeys")) or []
        left_out += max(0, len(skipped) - MAX_MESSAGE_KEYS)
        converted.append(_to_go(state, skipped[-MAX_MESSAGE_KEYS:]))
    return SenderKey(msgspec.json.encode({"SenderKeyStates": converted}), left_out)


def to_baileys(record: bytes) -> dict[str, str]:
    """Return the value of Baileys' file for Go's record: a Buffer of JSON. `CodecError` when the record is incomplete."""
    try:
        found = json_object(read_json(record))
    except msgspec.DecodeError:
        found = None
    if found is None:
        raise CodecError("a sender key record was expected")
    states = [_object(state, "state") for state in json_array(found.get("SenderKeyStates")) or []]
    # Of two states with one id Go uses the first, and so does Baileys, whose order is the reverse: keep only Go's.
    states = list(reversed(_once(states, _go_id)))
    if not states:
        raise CodecError("it holds no key yet")
    return encode_buffer(msgspec.json.encode([_from_go(state) for state in states[-MAX_STATES:]]))


# --- states -----------------------------------------------------------------------------------------------------------


def _states(value: object) -> list[Any]:
    """Return the list of states, given as a list (Baileys 6.6) or as the bytes of its JSON."""
    states = json_array(value)
    if states is not None and (not states or json_object(states[0]) is not None):
        return states
    try:
        states = json_array(read_json(decode_buffer(value)))
    except (CodecError, msgspec.DecodeError):
        states = None
    if states is None:
        raise CodecError("a list of sender key states was expected")
    return states


def _once(states: list[dict[str, Any]], id_of: Callable[[dict[str, Any]], int]) -> list[dict[str, Any]]:
    """Return the first of the states with each id, which is the one that the library uses."""
    found: dict[int, dict[str, Any]] = {}
    for state in states:
        found.setdefault(id_of(state), state)
    return list(found.values())


def _baileys_id(state: dict[str, Any]) -> int:
    return _integer(state.get("senderKeyId"), "senderKeyId")


def _go_id(state: dict[str, Any]) -> int:
    return _integer(state.get("KeyID"), "KeyID")


def _to_go(state: dict[str, Any], skipped: list[Any]) -> dict[str, Any]:
    chain = _object(state.get("senderChainKey"), "senderChainKey")
    signing = _object(state.get("senderSigningKey"), "senderSigningKey")
    public = typed_public(signing.get("public"), "senderSigningKey.public")
    private = _private(signing.get("private"), public)
    return {
        "Keys": [_message_key(_object(key, "senderMessageKeys")) for key in skipped],
        "KeyID": _baileys_id(state),
        "SenderChainKey": {
            "Iteration": _integer(chain.get("iteration"), "iteration"),
            "ChainKey": _base64(secret(chain.get("seed"), "senderChainKey.seed")),
        },
        "SigningKeyPrivate": None if private is None else _base64(private),
        "SigningKeyPublic": _base64(public),
    }


def _message_key(key: dict[str, Any]) -> dict[str, Any]:
    seed = secret(key.get("seed"), "senderMessageKeys.seed")
    derived = derive(seed, _INFO, 48)
    return {
        "Iteration": _integer(key.get("iteration"), "iteration"),
        "IV": _base64(derived[:16]),
        "CipherKey": _base64(derived[16:]),
        "Seed": _base64(seed),
    }


def _from_go(state: dict[str, Any]) -> dict[str, Any]:
    chain = _object(state.get("SenderChainKey"), "SenderChainKey")
    public = typed_public(state.get("SigningKeyPublic"), "SigningKeyPublic")
    private = _private(state.get("SigningKeyPrivate"), public)
    keys = [_object(key, "Keys") for key in json_array(state.get("Keys")) or []]
    return {
        "senderKeyId": _go_id(state),
        "senderChainKey": {
            "iteration": _integer(chain.get("Iteration"), "Iteration"),
            "seed": encode_buffer(secret(chain.get("ChainKey"), "ChainKey")),
        },
        "senderSigningKey": {"public": encode_buffer(public), "private": encode_buffer(private or b"")},
        "senderMessageKeys": [
            {
                "iteration": _integer(key.get("Iteration"), "Iteration"),
                "seed": encode_buffer(secret(key.get("Seed"), "Seed")),
            }
            for key in keys
        ],
    }


def _private(value: object, public: bytes) -> bytes | None:
    """Return the signing key's private half for our own sender key; None for another member's."""
    if value is None or (private := decode_buffer(value)) in {b"", _NO_KEY}:
        return None
    require_pair(public, secret(private, "signing key"), "signing key")
    return private


def _object(value: object, what: str) -> dict[str, Any]:
    found = json_object(value)
    if found is None:
        raise CodecError(f"{what}: an object was expected")
    return found


def _integer(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _UINT32:
        raise CodecError(f"{what}: a number was expected")
    return value


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
