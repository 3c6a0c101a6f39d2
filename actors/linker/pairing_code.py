"""Linking by a code that is typed into the phone: a key agreement encrypted under the code. Pure."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from actors.linker.device import CHROME, NewDevice
from actors.linker.wire.jid import PN_SERVER, Jid
from actors.linker.wire.keys import KEY_SIZE, BadKey, KeyPair, derive
from actors.linker.wire.nodes import MissingPartError, Node, leaf, node

DISPLAY_NAME: Final = "Chrome (Linux)"
"""A browser and an operating system; WhatsApp accepts only those it knows."""
CODE_BYTES: Final = 5
_ITERATIONS: Final = 2 << 16
_SALT, _IV, _NONCE = 32, 16, 12
_WRAPPED: Final = _SALT + _IV + KEY_SIZE
_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTVWXYZ"


class BadExchange(Exception):
    """The phone's half does not fit ours."""


@dataclass(frozen=True, slots=True)
class CodeExchange:
    """Our half of the exchange, until the phone has answered."""

    phone: str
    """Digits."""
    code: str
    """Eight characters, without a hyphen."""
    ephemeral: KeyPair
    wrapped: bytes
    """The ephemeral public key, encrypted under the code, as it is sent."""
    ref: bytes = b""
    """The server's name for the exchange."""


def in_characters(data: bytes) -> str:
    """Return five bytes as the eight characters in which WhatsApp shows codes."""
    number = int.from_bytes(data, "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(8 * len(data) - 5, -1, -5))


def with_hyphen(code: str) -> str:
    """Return the code as ``ABCD-1234``."""
    return f"{code[:4]}-{code[4:]}"


def begin(phone: str) -> CodeExchange:
    """Make a code for ``phone`` (digits). Computes for about 50 ms: run it in a thread."""
    code, ephemeral = in_characters(secrets.token_bytes(CODE_BYTES)), KeyPair.generate()
    salt, iv = secrets.token_bytes(_SALT), secrets.token_bytes(_IV)
    return CodeExchange(phone, code, ephemeral, salt + iv + _ctr(_code_key(code, salt), iv, ephemeral.public))


def hello(exchange: CodeExchange, device: NewDevice) -> Node:
    """Return the request to the server."""
    return Node(
        "link_code_companion_reg",
        {"jid": Jid(exchange.phone, PN_SERVER), "stage": "companion_hello", "should_show_push_notification": "true"},
        (
            leaf("link_code_pairing_wrapped_companion_ephemeral_pub", exchange.wrapped),
            leaf("companion_server_auth_key_pub", device.noise.public),
            leaf("companion_platform_id", CHROME.encode()),
            leaf("companion_platform_display", DISPLAY_NAME.encode()),
            leaf("link_code_pairing_nonce", b"\0"),
        ),
    )


def ref_of(answer: Node) -> bytes:
    """Return the server's name for the exchange. Raise MissingPartError."""
    return answer.child("link_code_companion_reg").child("link_code_pairing_ref").data


def finish(exchange: CodeExchange, notification: Node, device: NewDevice) -> tuple[NewDevice, Node]:
    """Take the phone's half; return the device under its new secret, and the node for the server. Raise `BadExchange`.

    As slow as `begin`. A wrong code is not noticed here: the phone finds that the bundle does not decrypt.
    """
    try:
        wrapped, primary_identity = _primary_half(exchange, notification)
        code_key = _code_key(exchange.code, wrapped[:_SALT])
        primary = _ctr(code_key, wrapped[_SALT : _SALT + _IV], wrapped[_SALT + _IV : _WRAPPED])
        shared = exchange.ephemeral.agree(primary)
        identity_secret = device.identity.agree(primary_identity)
    except (MissingPartError, BadKey) as error:
        raise BadExchange(f"the phone's half of the exchange cannot be used: {error}") from error
    random = secrets.token_bytes(32)
    secret = derive(shared + identity_secret + random, info=b"adv_secret")
    bundle = _bundle(shared, device.identity.public + primary_identity + random)
    return device.with_secret(secret), _finish_node(exchange, bundle, device)


def _primary_half(exchange: CodeExchange, notification: Node) -> tuple[bytes, bytes]:
    body = notification.child("link_code_companion_reg")
    if body.child("link_code_pairing_ref").data != exchange.ref:
        raise BadExchange("the phone answered another exchange")
    wrapped = body.child("link_code_pairing_wrapped_primary_ephemeral_pub").data
    if len(wrapped) < _WRAPPED:
        raise BadExchange(f"the phone's wrapped key has {len(wrapped)} bytes, {_WRAPPED} are right")
    return wrapped, body.child("primary_identity_pub").data


def _bundle(shared: bytes, plain: bytes) -> bytes:
    salt, nonce = secrets.token_bytes(_SALT), secrets.token_bytes(_NONCE)
    key = derive(shared, salt=salt, info=b"link_code_pairing_key_bundle_encryption_key")
    return salt + nonce + AESGCM(key).encrypt(nonce, plain, None)


def _finish_node(exchange: CodeExchange, bundle: bytes, device: NewDevice) -> Node:
    return node(
        "link_code_companion_reg",
        leaf("link_code_pairing_wrapped_key_bundle", bundle),
        leaf("companion_identity_public", device.identity.public),
        leaf("link_code_pairing_ref", exchange.ref),
        jid=Jid(exchange.phone, PN_SERVER),
        stage="companion_finish",
    )


def _code_key(code: str, salt: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", code.encode(), salt, _ITERATIONS)


def _ctr(key: bytes, iv: bytes, data: bytes) -> bytes:
    encryptor = Cipher(AES(key), CTR(iv)).encryptor()
    return encryptor.update(data) + encryptor.finalize()
