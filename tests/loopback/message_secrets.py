"""What a real client seals under the secret of an earlier message: edits, votes, reactions, comments, answers to events.

The key is derived from the earlier message's secret (32 bytes, in its messageContextInfo), its id, its sender, and the sender of
the new one; both addresses without device. Votes and answers to events are bound to the id and the sender once more.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final, Literal

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Kind = Literal["edit", "event_edit", "reaction", "comment", "vote", "event_response"]
USES: Final[dict[Kind, str]] = {
    "edit": "Message Edit",
    "event_edit": "Event Edit",
    "reaction": "Enc Reaction",
    "comment": "Enc Comment",
    "vote": "Poll Vote",
    "event_response": "Event Response",
}
"""What each kind is called in the derivation of its key."""
_BOUND: Final = frozenset[Kind]({"vote", "event_response"})
SECRET_SIZE: Final = 32
IV_SIZE: Final = 12


@dataclass(frozen=True, slots=True)
class Original:
    """The earlier message. ``sender`` is an address without device, as the client that seals knows it."""

    id: str
    sender: str
    secret: bytes


def seal(kind: Kind, original: Original, sender: str, plaintext: bytes) -> tuple[bytes, bytes]:
    """Payload and IV of ``plaintext``, sealed by ``sender`` (an address without device); ValueError for a secret of another size."""
    if len(original.secret) != SECRET_SIZE:
        raise ValueError(f"a message's secret has {SECRET_SIZE} bytes, not {len(original.secret)}")
    info = f"{original.id}{original.sender}{sender}{USES[kind]}".encode()
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(original.secret)
    bound = f"{original.id}\0{sender}".encode() if kind in _BOUND else None
    iv = secrets.token_bytes(IV_SIZE)
    return AESGCM(key).encrypt(iv, plaintext, bound), iv
