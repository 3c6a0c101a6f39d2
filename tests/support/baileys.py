"""Baileys directories made here, with keys derived from a seed: for states that a real Baileys does not produce on demand."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import xeddsa.bindings as xeddsa

from tests.loopback.curve import KeyPair

USER: Final = "79000000001"
LID: Final = "100000000000001"
PEER: Final = "79000000002"
PEER_LID: Final = "100000000000002"
GROUP: Final = "120363000000000001@g.us"
OLD_GROUP: Final = "79000000001-1400000000@g.us"

Form = Callable[[bytes], object]

FORMS: Final[Mapping[str, Form]] = {
    "base64": lambda data: {"type": "Buffer", "data": base64.b64encode(data).decode()},
    "numbers": lambda data: {"type": "Buffer", "data": list(data)},
    "keyed": lambda data: {str(index): octet for index, octet in enumerate(data)},
    "keyed data": lambda data: {"type": "Buffer", "data": {str(index): octet for index, octet in enumerate(data)}},
    "marked": lambda data: {"buffer": True, "value": base64.b64encode(data).decode()},
    "marked numbers": lambda data: {"buffer": True, "data": list(data)},
    "string": lambda data: base64.b64encode(data).decode(),
    "plain numbers": list,
}
"""Every form in which a version of Baileys, or a store made for it, has written bytes."""

BASE64: Final = FORMS["base64"]


def secret(*name: object) -> bytes:
    """32 bytes of this name."""
    return hashlib.sha256(repr(name).encode()).digest()


def pair(*name: object) -> KeyPair:
    """The key pair of this name."""
    private = bytearray(secret("pair", *name))
    private[0] &= 248
    private[31] = private[31] & 127 | 64
    return KeyPair(bytes(private), xeddsa.priv_to_curve25519_pub(bytes(private)))


@cache
def signature(keys: KeyPair, message: bytes) -> bytes:
    """The same signature each time for one message and key: signatures are random, and directories are to be the same every time."""
    return keys.sign(message)


def typed(*name: object) -> bytes:
    """The public key of this name with Signal's type byte."""
    return b"\x05" + pair(*name).public


def text(data: bytes) -> str:
    """Bare base64, as libsignal-node writes bytes."""
    return base64.b64encode(data).decode()


def creds(form: Form = BASE64, *, lid: bool = True, device: str = "one") -> dict[str, Any]:
    """What Baileys keeps of a linked device. Signatures are sound."""
    identity, signed, account = pair(device, "identity"), pair(device, "signed"), pair(device, "account")
    details = b"\x08\x01\x10\x02"
    device_signature = signature(identity, b"\x06\x01" + details + identity.public + account.public)
    return {
        "noiseKey": _keys(pair(device, "noise"), form),
        "pairingEphemeralKeyPair": _keys(pair(device, "pairing"), form),
        "signedIdentityKey": _keys(identity, form),
        "signedPreKey": {
            "keyPair": _keys(signed, form),
            "signature": form(signature(identity, b"\x05" + signed.public)),
            "keyId": 1,
        },
        "registrationId": 77,
        "advSecretKey": text(secret(device, "adv")),
        "processedHistoryMessages": [],
        "nextPreKeyId": 9,
        "firstUnuploadedPreKeyId": 5,
        "accountSyncCounter": 0,
        "accountSettings": {"unarchiveChats": False},
        "registered": False,
        "me": {"id": f"{USER}:1@s.whatsapp.net", "name": "Name"} | ({"lid": f"{LID}:1@lid"} if lid else {}),
        "account": {
            "details": text(details),
            "accountSignatureKey": text(account.public),
            "accountSignature": text(signature(account, b"\x06\x00" + details + identity.public)),
            "deviceSignature": text(device_signature),
        },
        "signalIdentities": [
            {"identifier": {"name": f"{LID}:0@lid", "deviceId": 0}, "identifierKey": form(b"\x05" + account.public)}
        ],
        "platform": "android",
    }


def _keys(keys: KeyPair, form: Form) -> dict[str, object]:
    return {"private": form(keys.private), "public": form(keys.public)}


def chain(name: str, chain_type: int, counter: int, *, skipped: tuple[int, ...] = (), closed: bool = False) -> Any:
    """One chain of a session."""
    key = {"counter": counter} if closed else {"counter": counter, "key": text(secret(name, "chain"))}
    return {
        "chainKey": key,
        "chainType": chain_type,
        "messageKeys": {str(index): text(secret(name, index)) for index in skipped},
    }


def entry(
    name: str = "one", *, closed: int = -1, used: int = 100, receiving: int = 2, pending: bool = False
) -> dict[str, Any]:
    """One session, with the chains that a conversation leaves."""
    ephemeral = pair(name, "ephemeral")
    chains = {
        text(typed(name, "remote", number)): chain(
            f"{name} {number}", 2, 3 + number, skipped=(0, 2), closed=number < receiving - 1
        )
        for number in range(receiving)
    }
    chains[text(b"\x05" + ephemeral.public)] = chain(f"{name} sending", 1, 4)
    made: dict[str, Any] = {
        "registrationId": 4711,
        "currentRatchet": {
            "ephemeralKeyPair": {"pubKey": text(b"\x05" + ephemeral.public), "privKey": text(ephemeral.private)},
            "lastRemoteEphemeralKey": text(typed(name, "remote", max(receiving - 1, 0))),
            "previousCounter": 2,
            "rootKey": text(secret(name, "root")),
        },
        "indexInfo": {
            "baseKey": text(typed(name, "base")),
            "baseKeyType": 1 if pending else 2,
            "closed": closed,
            "used": used,
            "created": used,
            "remoteIdentityKey": text(typed(name, "remote identity")),
        },
        "_chains": chains,
    }
    if pending:
        made["pendingPreKey"] = {"signedKeyId": 3, "baseKey": made["indexInfo"]["baseKey"], "preKeyId": 12}
    return made


def session(*entries: dict[str, Any]) -> dict[str, Any]:
    """A record of these sessions; by default of one open session."""
    sessions = {one["indexInfo"]["baseKey"]: one for one in entries or (entry(),)}
    return {"_sessions": sessions, "version": "v1"}


def group_state(
    number: int, form: Form = BASE64, *, own: bool = False, skipped: tuple[int, ...] = (1, 3)
) -> dict[str, Any]:
    """One state of a sender key."""
    signing = pair("signing", number)
    return {
        "senderKeyId": 1000 + number,
        "senderChainKey": {"iteration": 7, "seed": form(secret("sender chain", number))},
        "senderSigningKey": {
            "public": form(b"\x05" + signing.public),
            "private": form(signing.private if own else b""),
        },
        "senderMessageKeys": [{"iteration": one, "seed": form(secret("skipped", number, one))} for one in skipped],
    }


def sender_key(*states: dict[str, Any], form: Form = BASE64) -> object:
    """The file of a sender key, as Baileys 6.7 and 7 write it: JSON within a Buffer."""
    return form(json.dumps(states or [group_state(0)]).encode())


def directory_v7(form: Form = BASE64) -> dict[str, Any]:
    """Every type of file that Baileys 7 writes, by name."""
    return {
        "creds.json": creds(form),
        **{f"pre-key-{number}.json": _keys(pair("pre-key", number), form) for number in (2, 4, 6, 8)},
        f"session-{PEER_LID}_1.0.json": session(entry("phone", pending=True, receiving=0)),
        f"session-{PEER_LID}_1.3.json": session(entry(), entry("old", closed=50, used=50)),
        f"session-{PEER}.3.json": session(entry("by number")),
        f"sender-key-{GROUP}--{PEER_LID}_1--3.json": sender_key(form=form),
        f"sender-key-{OLD_GROUP}--{LID}_1--1.json": sender_key(group_state(5, own=True), form=form),
        f"sender-key-status@broadcast--{PEER}--0.json": sender_key(group_state(6), form=form),
        f"sender-key-memory-{GROUP}.json": {f"{PEER_LID}:3@lid": True},
        "app-state-sync-key-AAAA__wAB.json": {
            "keyData": form(secret("app state")),
            "fingerprint": {"rawId": 9, "currentIndex": 1, "deviceIndexes": [0, 1]},
            "timestamp": "1700000000000",
        },
        "app-state-sync-version-regular_low.json": {"version": 2, "hash": form(bytes(128)), "indexValueMap": {}},
        f"lid-mapping-{PEER}.json": PEER_LID,
        f"lid-mapping-{PEER_LID}_reverse.json": PEER,
        f"device-list-{PEER}.json": ["0", "3"],
        f"tctoken-{PEER_LID}@lid.json": {"token": form(b"token"), "timestamp": "1700000000", "senderTimestamp": 5},
        "tctoken-__index.json": {"token": form(b'["x"]')},
        f"identity-key-{PEER_LID}_1.3.json": form(typed("newer identity")),
    }


def directory_v6() -> dict[str, Any]:
    """What Baileys 6 writes: no LIDs, addresses without a domain."""
    return {
        "creds.json": creds(lid=False),
        **{f"pre-key-{number}.json": _keys(pair("pre-key", number), BASE64) for number in (2, 8)},
        f"session-{PEER}.0.json": session(entry("phone")),
        f"session-{PEER_LID}.3.json": session(entry()),
        f"sender-key-{GROUP}--{PEER}--3.json": [group_state(0, FORMS["numbers"])],
    }


def write(
    path: Path, files: Mapping[str, Any], *, age_s: float = 3600.0, ages: Mapping[str, float] | None = None
) -> Path:
    """Write the files (JSON, or bytes as they are) with a modification time that long ago."""
    path.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (path / name).write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
        at = time.time() - (ages or {}).get(name, age_s)
        os.utime(path / name, (at, at))
    return path
