"""The client's half of linking by a pairing code, as whatsmeow does it; for tests of the phone's half that need more than the code."""

from __future__ import annotations

import hashlib
import secrets
from base64 import b32encode
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from actors.linker.wire.jid import PN_SERVER, Jid
from actors.linker.wire.nodes import Node, leaf
from tests.loopback.companion import Companion
from tests.loopback.curve import KeyPair

ROUNDS: Final = 2 << 16
_LETTERS: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"123456789ABCDEFGHJKLMNPQRSTVWXYZ")


@dataclass(slots=True)
class CodeLink:
    """A client that offers a pairing code for one number."""

    companion: Companion
    phone: str
    ephemeral: KeyPair = field(default_factory=KeyPair.generate)
    code: str = field(default_factory=lambda: b32encode(secrets.token_bytes(5)).translate(_LETTERS).decode())
    ref: bytes = b""

    async def offer(self) -> str:
        """Ask to be linked by the code; the code."""
        salt, iv = secrets.token_bytes(32), secrets.token_bytes(16)
        wrapped = salt + iv + self._ctr(salt, iv, self.ephemeral.public)
        asked = await self._ask(
            "companion_hello",
            leaf("link_code_pairing_wrapped_companion_ephemeral_pub", wrapped),
            leaf("companion_server_auth_key_pub", self.companion.noise.public),
        )
        self.ref = asked.child("link_code_companion_reg").child("link_code_pairing_ref").data
        return self.code

    async def finish(self) -> None:
        """The code was typed: agree on the ADV secret with the phone."""
        told = (await self.companion.event("notification")).child("link_code_companion_reg")
        wrapped = told.child("link_code_pairing_wrapped_primary_ephemeral_pub").data
        phone = told.child("primary_identity_pub").data
        shared = self.ephemeral.agree(self._ctr(wrapped[:32], wrapped[32:48], wrapped[48:80]))
        random, salt, nonce = secrets.token_bytes(32), secrets.token_bytes(32), secrets.token_bytes(12)
        key = _hkdf(shared, salt, b"link_code_pairing_key_bundle_encryption_key")
        bundle = AESGCM(key).encrypt(nonce, self.companion.identity.public + phone + random, None)
        agreed = shared + self.companion.identity.agree(phone) + random
        self.companion.adv_secret = _hkdf(agreed, b"", b"adv_secret")
        await self._ask(
            "companion_finish",
            leaf("link_code_pairing_wrapped_key_bundle", salt + nonce + bundle),
            leaf("companion_identity_public", self.companion.identity.public),
            leaf("link_code_pairing_ref", self.ref),
        )

    async def _ask(self, stage: str, *parts: Node) -> Node:
        attrs: dict[str, str | Jid] = {"jid": Jid(self.phone, PN_SERVER), "stage": stage}
        return await self.companion.ask("set", Node("link_code_companion_reg", attrs, parts))

    def _ctr(self, salt: bytes, iv: bytes, data: bytes) -> bytes:
        key = hashlib.pbkdf2_hmac("sha256", self.code.encode(), salt, ROUNDS)
        encryptor = Cipher(AES(key), CTR(iv)).encryptor()
        return encryptor.update(data) + encryptor.finalize()


def _hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)
