"""A software authenticator: makes a passkey and signs assertions with it, as a browser and a phone's keychain do together.

It speaks WebAuthn (ES256, real client data and authenticator data), for tests of code that carries an assertion. The same
key can be put into Chromium's virtual authenticator: `SoftPasskey.pkcs8`.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

ORIGIN: Final = "https://web.whatsapp.com"
RP_ID: Final = "whatsapp.com"
USER_PRESENT, USER_VERIFIED = 0x01, 0x04


def to_base64url(data: bytes) -> str:
    """Base64 for URLs without padding, as WebAuthn's JSON has it."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class SoftPasskey:
    """One passkey with its private key."""

    rp_id: str = RP_ID
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    user_handle: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def credential(self) -> str:
        """The credential's id in base64url."""
        return to_base64url(self.credential_id)

    @property
    def public_key(self) -> str:
        """The public key in base64url: DER of SubjectPublicKeyInfo, as a browser's ``getPublicKey()`` gives it."""
        der, spki = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        return to_base64url(self.key.public_key().public_bytes(der, spki))

    @property
    def pkcs8(self) -> bytes:
        """The private key in DER of PKCS#8, as the virtual authenticator of the DevTools protocol takes it."""
        plain = serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, plain)

    def sign(
        self,
        options: Mapping[str, object],
        *,
        origin: str = ORIGIN,
        kind: str = "webauthn.get",
        flags: int = USER_PRESENT | USER_VERIFIED,
    ) -> dict[str, object]:
        """Answer request options (their JSON form) with the JSON of ``PublicKeyCredential.toJSON()``.

        ``origin``, ``kind`` and ``flags`` differ only in tests of assertions that must be refused.
        """
        told = {"type": kind, "challenge": options["challenge"], "origin": origin, "crossOrigin": False}
        client_data = json.dumps(told, separators=(",", ":")).encode()
        authenticator_data = sha256(self.rp_id.encode()).digest() + bytes((flags,)) + bytes(4)
        signed = authenticator_data + sha256(client_data).digest()
        return {
            "id": self.credential,
            "rawId": self.credential,
            "type": "public-key",
            "authenticatorAttachment": "cross-platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": to_base64url(client_data),
                "authenticatorData": to_base64url(authenticator_data),
                "signature": to_base64url(self.key.sign(signed, ec.ECDSA(SHA256()))),
                "userHandle": to_base64url(self.user_handle),
            },
        }
