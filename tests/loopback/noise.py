"""Noise_XX_25519_AESGCM_SHA256, the server's side, without any I/O.

`Responder.read_hello` and `Responder.read_finish` turn the client's two messages into ours and into a `Transport`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.loopback import protobuf
from tests.loopback.curve import KeyPair

PATTERN: Final = b"Noise_XX_25519_AESGCM_SHA256\0\0\0\0"
CLIENT_HELLO: Final = 2
SERVER_HELLO: Final = 3
CLIENT_FINISH: Final = 4
EPHEMERAL: Final = 1
STATIC: Final = 2
PAYLOAD: Final = 3
FINISH_STATIC: Final = 1
FINISH_PAYLOAD: Final = 2


class NoiseError(ValueError):
    """A handshake message or a frame that does not decrypt."""


def _nonce(counter: int) -> bytes:
    return counter.to_bytes(12, "big")


def _split(salt: bytes, secret: bytes) -> tuple[bytes, bytes]:
    okm = HKDF(algorithm=SHA256(), length=64, salt=salt, info=b"").derive(secret)
    return okm[:32], okm[32:]


class SymmetricState:
    """The hash, salt and key that both sides advance together. Used by the responder and, in tests, by an initiator."""

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
        """The inverse of `encrypt`, or NoiseError."""
        try:
            plaintext = self._cipher.decrypt(self._next_nonce(), ciphertext, self._hash)
        except InvalidTag as exc:
            raise NoiseError("handshake message does not decrypt") from exc
        self.authenticate(ciphertext)
        return plaintext

    def finish(self) -> tuple[bytes, bytes]:
        """The keys the initiator writes and reads with."""
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
        """The next frame to write."""
        self._written += 1
        return self._writer.encrypt(_nonce(self._written - 1), plaintext, None)

    def decrypt(self, ciphertext: bytes) -> bytes:
        """The next frame read, or NoiseError."""
        self._read += 1
        try:
            return self._reader.decrypt(_nonce(self._read - 1), ciphertext, None)
        except InvalidTag as exc:
            raise NoiseError(f"frame {self._read - 1} does not decrypt") from exc


@dataclass(frozen=True, slots=True)
class Finished:
    """What a completed handshake yields."""

    client_static: bytes
    client_payload: bytes
    transport: Transport


class Responder:
    """One handshake. ``certificate`` makes the certificate chain for a server static key."""

    def __init__(self, header: bytes, static: KeyPair, certificate: Callable[[bytes], bytes]) -> None:
        self._state = SymmetricState(header)
        self._static = static
        self._certificate = certificate
        self._ephemeral = KeyPair.generate()

    def read_hello(self, message: bytes) -> bytes:
        """Take the client's first message, give ours; BadMessageError for one that has no ephemeral key."""
        client_ephemeral = protobuf.parse(message).message(CLIENT_HELLO).data(EPHEMERAL)
        state = self._state
        state.authenticate(client_ephemeral)
        state.authenticate(self._ephemeral.public)
        state.mix(self._ephemeral.agree(client_ephemeral))
        static = state.encrypt(self._static.public)
        state.mix(self._static.agree(client_ephemeral))
        payload = state.encrypt(self._certificate(self._static.public))
        hello = protobuf.build({EPHEMERAL: self._ephemeral.public, STATIC: static, PAYLOAD: payload})
        return protobuf.build({SERVER_HELLO: hello})

    def read_finish(self, message: bytes) -> Finished:
        """Take the client's second message; NoiseError or BadMessageError when it is not that."""
        finish = protobuf.parse(message).message(CLIENT_FINISH)
        client_static = self._state.decrypt(finish.data(FINISH_STATIC))
        self._state.mix(self._ephemeral.agree(client_static))
        payload = self._state.decrypt(finish.data(FINISH_PAYLOAD))
        client_writes, client_reads = self._state.finish()
        return Finished(client_static, payload, Transport(client_reads, client_writes))
