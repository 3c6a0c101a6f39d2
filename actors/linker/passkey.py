"""Linking an account that wants a passkey: the exchange with the account's phone after its owner's authenticator has signed. Pure.

No passkey is held here: the assertion is made in a browser of the account's owner, at WhatsApp's origin.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from actors.linker.assertion import Assertion
from actors.linker.device import NewDevice
from actors.linker.pairing_code import CODE_BYTES, in_characters
from actors.linker.wire.keys import KEY_SIZE, BadKey, KeyPair, derive, mac
from actors.linker.wire.messages import Messages, Unreadable, parsed
from actors.linker.wire.nodes import MissingPartError, Node, leaf, node

HANDOFF_S: Final = 300.0
"""How long the proof that this is still the phone that scanned the code may be used."""
_HANDOFF_INFO: Final = b"shortcake-passkey-handoff-v1"
_PAIRING_INFO: Final = b"Pairing Information Encryption Key"
_NONCE_SIZE, _IV_SIZE = 32, 12


class BadContinuation(Exception):
    """The phone's half cannot be used."""


@dataclass(frozen=True, slots=True)
class Handoff:
    """Links the passkey to the scanned code: derived from the secret in that code, which is renewed at once."""

    key: bytes
    made_at: float

    def is_valid(self, now: float) -> bool:
        """Whether the hand-off may still be used; ``now`` is on the clock of ``made_at``."""
        return now - self.made_at < HANDOFF_S


def handoff_of(adv_secret: bytes, now: float) -> Handoff:
    """Derive the hand-off from the secret that the phone has seen."""
    return Handoff(derive(adv_secret, info=_HANDOFF_INFO), now)


@dataclass(frozen=True, slots=True)
class Prologue:
    """Our half of the exchange, fixed before the phone's half is seen."""

    ephemeral: KeyPair
    nonce: bytes
    ref: str
    device_type: int
    payload: bytes
    """``ProloguePayload``: the ephemeral identity and the commitment to the nonce."""


def begin(ref: str, messages: Messages) -> Prologue:
    """Make our half for the server's reference ``ref``."""
    registration = messages.registration
    ephemeral, nonce = KeyPair.generate(), secrets.token_bytes(_NONCE_SIZE)
    device_type = int(registration.DeviceProps.CHROME)
    identity = registration.CompanionEphemeralIdentity(
        publicKey=ephemeral.public, deviceType=device_type, ref=ref
    ).SerializeToString()
    commitment = registration.CompanionCommitment(hash=sha256(identity + nonce).digest())
    payload = registration.ProloguePayload(companionEphemeralIdentity=identity, commitment=commitment)
    return Prologue(ephemeral, nonce, ref, device_type, bytes(payload.SerializeToString()))


def prologue_node(prologue: Prologue, assertion: Assertion, handoff: Handoff | None) -> Node:
    """Return the node to send to the server; with ``handoff`` no code has to be compared on the phone."""
    content = [
        leaf("credential_id", assertion.credential_id),
        leaf("webauthn_assertion", assertion.json),
        leaf("prologue_payload", prologue.payload),
    ]
    if handoff is not None:
        content.append(leaf("pairing_handoff_proof", mac(handoff.key, prologue.payload)))
    return node("passkey_prologue", *content)


@dataclass(frozen=True, slots=True)
class Agreed:
    """The result of the exchange, once both halves are known."""

    key: bytes
    """The key that encrypts the device's data for the phone."""
    code: str
    """The code that both sides show, ``ABCD-1234``."""


def continue_with(prologue: Prologue, notification: Node, messages: Messages) -> Agreed:
    """Take the phone's half and return the result. Raise `BadContinuation`."""
    primary = _primary(notification, messages)
    try:
        shared = prologue.ephemeral.agree(primary.publicKey)
    except BadKey as error:
        raise BadContinuation(str(error)) from error
    salt = f"Companion Pairing {prologue.device_type} with ref {prologue.ref}".encode()
    key = derive(shared, salt=salt, info=_PAIRING_INFO)
    digest = sha256(prologue.nonce + primary.publicKey).digest()
    both = bytes(left ^ right for left, right in zip(primary.nonce[:CODE_BYTES], digest[:CODE_BYTES], strict=True))
    code = in_characters(both)
    return Agreed(key, f"{code[:4]}-{code[4:]}")


def _primary(notification: Node, messages: Messages) -> Any:
    try:
        data = notification.child("primary_ephemeral_identity").data
        primary = parsed(messages.registration.PrimaryEphemeralIdentity(), data)
    except (MissingPartError, Unreadable) as error:
        raise BadContinuation("the phone's half cannot be read") from error
    if len(primary.publicKey) != KEY_SIZE or len(primary.nonce) != _NONCE_SIZE:
        raise BadContinuation("the phone's half has keys of another size")
    return primary


def request_node(agreed: Agreed, device: NewDevice, messages: Messages) -> Node:
    """Return the node with the device's public keys and its new secret, encrypted for the phone."""
    registration = messages.registration
    request = registration.PairingRequest(
        companionPublicKey=device.noise.public,
        companionIdentityKey=device.identity.public,
        advSecret=device.adv_secret,
    ).SerializeToString()
    iv = secrets.token_bytes(_IV_SIZE)
    sealed = registration.EncryptedPairingRequest(encryptedPayload=AESGCM(agreed.key).encrypt(iv, request, None), IV=iv)
    return leaf("encrypted_pairing_request", bytes(sealed.SerializeToString()))
