"""Noise_XX_25519_AESGCM_SHA256 as WhatsApp speaks it: the initiator's side, and the frames afterwards.

The prologue is the connection's header; the server's static key comes with a certificate, which the caller checks (certificate.py).
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from actors.linker.wire.keys import KEY_SIZE, BadKey, KeyPair
from actors.linker.wire.messages import Unreadable, parsed

PATTERN: Final = b"Noise_XX_25519_AESGCM_SHA256\0\0\0\0"


class NoiseError(ValueError):
    """A handshake message or a frame that does not follow the protocol."""


def _nonce(counter: int) -> bytes:
    return counter.to_bytes(12, "big")


def _split(salt: bytes, secret: bytes) -> tuple[bytes, bytes]:
    okm = HKDF(algorithm=SHA256(), length=64, salt=salt, info=b"").derive(secret)
    return okm[:32], okm[32:]


class SymmetricState:
    """The hash, salt and key that both sides advance together."""

    def __init__(self, header: bytes) -> None:
        self._hash = self._salt = PATTERN
        self._cipher = AESGCM(PATTERN)
        self._counter = 0
        self.authenticate(header)

    def authenticate(self, data: bytes) -> None:
        """Mix ``data`` into the transcript."""
        self._hash = sha256(self._hash + data).digest()

    def mix(self, secret: bytes) -> None:
        """Mix a shared secret into the key; the nonce starts again at 0."""
        self._salt, key = _split(self._salt, secret)
        self._cipher = AESGCM(key)
        self._counter = 0

    def encrypt(self, plaintext: bytes) -> bytes:
        """Encrypt under the present key, authenticated by the transcript."""
        ciphertext = self._cipher.encrypt(self._next_nonce(), plaintext, self._hash)
        self.authenticate(ciphertext)
        return ciphertext

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Decrypt what `encrypt` made. Raise NoiseError."""
        try:
            plaintext = self._cipher.decrypt(self._next_nonce(), ciphertext, self._hash)
        except InvalidTag as error:
            raise NoiseError("a handshake message does not decrypt") from error
        self.authenticate(ciphertext)
        return plaintext

    def finish(self) -> tuple[bytes, bytes]:
        """Return the keys that the initiator writes and reads with."""
        return _split(self._salt, b"")

    def _next_nonce(self) -> bytes:
        self._counter += 1
        return _nonce(self._counter - 1)


class Transport:
    """Frames after the handshake; each direction has its key and its counter."""

    def __init__(self, write_key: bytes, read_key: bytes) -> None:
        self._writer = AESGCM(write_key)
        self._reader = AESGCM(read_key)
        self._written = 0
        self._read = 0

    def encrypt(self, plaintext: bytes) -> bytes:
        """Return the next frame to write."""
        self._written += 1
        return self._writer.encrypt(_nonce(self._written - 1), plaintext, None)

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Return the content of the next frame read. Raise NoiseError."""
        self._read += 1
        try:
            return self._reader.decrypt(_nonce(self._read - 1), ciphertext, None)
        except InvalidTag as error:
            raise NoiseError(f"frame {self._read - 1} does not decrypt") from error


class Initiator:
    """One handshake. ``messages`` is the module of the handshake's protobufs; ``check`` gets the certificate chain and the server's static
    key, and raises when they are not WhatsApp's."""

    def __init__(self, header: bytes, static: KeyPair, messages: Any, check: Callable[[bytes, bytes], None]) -> None:
        self._state = SymmetricState(header)
        self._static = static
        self._messages = messages
        self._check = check
        self._ephemeral = KeyPair.generate()

    def hello(self) -> bytes:
        """Return our first message."""
        self._state.authenticate(self._ephemeral.public)
        message = self._messages.HandshakeMessage()
        message.clientHello.ephemeral = self._ephemeral.public
        return bytes(message.SerializeToString())

    def finish(self, answer: bytes, payload: bytes) -> tuple[bytes, Transport]:
        """Take the server's answer; return our second message, which carries ``payload``, and the transport for all later frames.

        Raise NoiseError, or what ``check`` raises.
        """
        server = self._read(answer)
        state = self._state
        try:
            state.authenticate(server.ephemeral)
            state.mix(self._ephemeral.agree(server.ephemeral))
            static = state.decrypt(server.static)
            state.mix(self._ephemeral.agree(static))
            self._check(state.decrypt(server.payload), static)
            message = self._messages.HandshakeMessage()
            message.clientFinish.static = state.encrypt(self._static.public)
            state.mix(self._static.agree(server.ephemeral))
        except BadKey as error:
            raise NoiseError(f"the server's answer: {error}") from error
        message.clientFinish.payload = state.encrypt(payload)
        return bytes(message.SerializeToString()), Transport(*state.finish())

    def _read(self, answer: bytes) -> Any:
        try:
            server = parsed(self._messages.HandshakeMessage(), answer).serverHello
        except Unreadable as error:
            raise NoiseError("the server's answer is no handshake message") from error
        if len(server.ephemeral) != KEY_SIZE or not server.static or not server.payload:
            raise NoiseError("the server's answer lacks a part of the handshake")
        return server
