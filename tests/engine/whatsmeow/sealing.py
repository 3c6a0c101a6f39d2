"""What a sender's client does: encrypt under the secret of an earlier message, with another library's HKDF than the engine's."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SECRET = b"s" * 32
IV = b"i" * 12


@dataclass(frozen=True)
class Change:
    """A change of the message ``target``, which ``author`` wrote, by ``sender``."""

    target: str
    author: str
    sender: str
    secret: bytes = SECRET

    def encrypt(self, purpose: str, inside: Any) -> dict[str, bytes]:
        """The fields ``encPayload`` and ``encIV`` for the protobuf ``inside``."""
        info = f"{self.target}{self.author}{self.sender}{purpose}".encode()
        key = HKDF(SHA256(), 32, None, info).derive(self.secret)
        authenticated = f"{self.target}\0{self.sender}".encode() if purpose in {"Poll Vote", "Event Response"} else None
        sealed = AESGCM(key).encrypt(IV, inside.SerializeToString(), authenticated)
        return {"encPayload": sealed, "encIV": IV}

    def encrypt_json(self, purpose: str, inside: Any) -> dict[str, str]:
        """The same as protobuf's JSON has it."""
        return {name: base64.b64encode(value).decode() for name, value in self.encrypt(purpose, inside).items()}
