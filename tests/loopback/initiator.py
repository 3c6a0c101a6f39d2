"""A client's half of the Noise handshake, for tests of the server's."""

from __future__ import annotations

from dataclasses import dataclass

from tests.loopback import protobuf
from tests.loopback.curve import KeyPair
from tests.loopback.noise import (
    CLIENT_FINISH,
    CLIENT_HELLO,
    EPHEMERAL,
    FINISH_PAYLOAD,
    FINISH_STATIC,
    PAYLOAD,
    SERVER_HELLO,
    STATIC,
    SymmetricState,
)


@dataclass
class Initiator:
    """A client's half of the handshake."""

    static: KeyPair
    ephemeral: KeyPair
    state: SymmetricState
    certificate: bytes = b""
    server_static: bytes = b""

    def hello(self) -> bytes:
        """The first message."""
        self.state.authenticate(self.ephemeral.public)
        return protobuf.build({CLIENT_HELLO: protobuf.build({EPHEMERAL: self.ephemeral.public})})

    def finish(self, answer: bytes, payload: bytes) -> bytes:
        """Read the server's answer, give the second message."""
        hello = protobuf.parse(answer).message(SERVER_HELLO)
        server_ephemeral = hello.data(EPHEMERAL)
        self.state.authenticate(server_ephemeral)
        self.state.mix(self.ephemeral.agree(server_ephemeral))
        self.server_static = self.state.decrypt(hello.data(STATIC))
        self.state.mix(self.ephemeral.agree(self.server_static))
        self.certificate = self.state.decrypt(hello.data(PAYLOAD))
        static = self.state.encrypt(self.static.public)
        self.state.mix(self.static.agree(server_ephemeral))
        finish = protobuf.build({FINISH_STATIC: static, FINISH_PAYLOAD: self.state.encrypt(payload)})
        return protobuf.build({CLIENT_FINISH: finish})
