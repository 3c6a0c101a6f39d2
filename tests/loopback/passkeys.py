"""WhatsApp as a WebAuthn relying party: the options it gives out, and whether an assertion answers them. No I/O.

The options' values are those seen from WhatsApp: relying party ``whatsapp.com``, ten minutes, user verification required, no
list of credentials. Refusals have the codes and texts that whatsmeow knows of info queries.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import msgspec
import trio
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.loopback.refusals import RefusedQuestionError

RP_ID: Final = "whatsapp.com"
ORIGIN: Final = "https://web.whatsapp.com"
TIMEOUT_S: Final = 600.0
CHALLENGE_BYTES: Final = 32
_RP_HASH_BYTES: Final = 32
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")
_USER_PRESENT, _USER_VERIFIED = 0x01, 0x04


@dataclass(frozen=True, slots=True)
class Credential:
    """The passkey an account's owner made."""

    id: bytes
    key: ec.EllipticCurvePublicKey
    rp_id: str = RP_ID


@dataclass(slots=True)
class Challenge:
    """One request for an assertion; good once, and for ten minutes."""

    value: bytes = field(default_factory=lambda: secrets.token_bytes(CHALLENGE_BYTES))
    begun: float = field(default_factory=trio.current_time)
    used: bool = False

    @property
    def open(self) -> bool:
        """Whether an assertion may still answer it."""
        return not self.used and trio.current_time() - self.begun < TIMEOUT_S

    def options(self, rp_id: str) -> bytes:
        """The request options as WhatsApp writes them: JSON, bytes in base64url."""
        told: dict[str, object] = {
            "challenge": base64.urlsafe_b64encode(self.value).decode().rstrip("="),
            "timeout": int(TIMEOUT_S * 1000),
            "rpId": rp_id,
            "allowCredentials": [],
            "userVerification": "required",
            "extensions": {"uvm": True},
        }
        return json.dumps(told, separators=(",", ":")).encode()


class _Response(msgspec.Struct, rename="camel"):
    client_data: str = msgspec.field(name="clientDataJSON")
    authenticator_data: str
    signature: str
    user_handle: str | None = None


class _Assertion(msgspec.Struct, rename="camel"):
    id: str
    raw_id: str
    type: str
    response: _Response


class _ClientData(msgspec.Struct, rename="camel"):
    type: str
    challenge: str
    origin: str
    cross_origin: bool = False


def read_credential(credential_id: str, public_key: str, rp_id: str = RP_ID) -> Credential:
    """A credential from its id and its public key (DER of SubjectPublicKeyInfo), both base64url; ValueError for another kind of key."""
    key = load_der_public_key(_decoded(public_key, "the public key"))
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("the passkey's public key must be of P-256 (ES256)")  # noqa: TRY004 - the value is wrong, its type is the caller's
    return Credential(_decoded(credential_id, "the credential's id"), key, rp_id)


def check_assertion(credential: Credential, challenge: Challenge, named: bytes, raw: bytes) -> None:
    """Verify an assertion (JSON) that names the credential ``named``; RefusedQuestionError when it does not prove the passkey.

    400: no assertion. 401: it proves nothing. 403: of another credential. 410: of a challenge that is used, old or replaced.
    The challenge is used up by the first assertion that proves the passkey.
    """
    try:
        assertion = msgspec.json.decode(raw, type=_Assertion)
        told_raw = _decoded(assertion.response.client_data, "clientDataJSON")
        told = msgspec.json.decode(told_raw, type=_ClientData)
        data = _decoded(assertion.response.authenticator_data, "authenticatorData")
        signature = _decoded(assertion.response.signature, "signature")
        ids = {_decoded(assertion.id, "id"), _decoded(assertion.raw_id, "rawId"), named}
        answered = _decoded(told.challenge, "challenge")
    except (msgspec.MsgspecError, ValueError) as exc:
        raise RefusedQuestionError(400, "bad-request") from exc
    if len(ids) != 1 or assertion.type != "public-key" or told.type != "webauthn.get" or len(data) <= _RP_HASH_BYTES:
        raise RefusedQuestionError(400, "bad-request")
    if ids != {credential.id}:
        raise RefusedQuestionError(403, "forbidden")
    if answered != challenge.value or not challenge.open:
        raise RefusedQuestionError(410, "gone")
    if not _proves(credential, told, data, sha256(told_raw).digest(), signature):
        raise RefusedQuestionError(401, "not-authorized")
    challenge.used = True


def _proves(credential: Credential, told: _ClientData, data: bytes, told_hash: bytes, signature: bytes) -> bool:
    expected = sha256(credential.rp_id.encode()).digest()
    verified = data[_RP_HASH_BYTES] & _USER_PRESENT and data[_RP_HASH_BYTES] & _USER_VERIFIED
    if told.origin != ORIGIN or told.cross_origin or data[:_RP_HASH_BYTES] != expected or not verified:
        return False
    try:
        credential.key.verify(signature, data + told_hash, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _decoded(text: str, what: str) -> bytes:
    """Bytes of unpadded base64url, as browsers write them; ValueError for anything else."""
    if not _BASE64URL.fullmatch(text):
        raise ValueError(f"{what} is not base64url without padding")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as exc:
        raise ValueError(f"{what} is not base64url without padding") from exc
