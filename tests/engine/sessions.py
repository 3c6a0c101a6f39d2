"""Records of Signal sessions in the library's layout, with short names where it has keys."""

from __future__ import annotations

from typing import Any

Session = dict[str, Any]


def chain(ratchet: str, index: int, *skipped: int) -> dict[str, Any]:
    """A chain as the library writes it: the key stands for its index."""
    keys = [{"CipherKey": "AA==", "MacKey": "AA==", "IV": "AA==", "Index": number} for number in skipped]
    key = {"Key": f"{ratchet}{index}", "Index": index}
    return {
        "SenderRatchetKeyPublic": ratchet,
        "SenderRatchetKeyPrivate": None,
        "ChainKey": key,
        "MessageKeys": keys,
    }


def state(base: str, sending: dict[str, Any], *receiving: dict[str, Any], pending: bool = False) -> dict[str, Any]:
    """A session's state."""
    return {
        "SenderBaseKey": base,
        "SenderChain": sending,
        "ReceiverChains": list(receiving),
        "PendingPreKey": {"SignedPreKeyID": 1} if pending else None,
        "PreviousCounter": 0,
        "SessionVersion": 3,
    }


def session(current: dict[str, Any], *previous: dict[str, Any]) -> Session:
    """A row's value."""
    return {"SessionState": current, "PreviousStates": list(previous)}
