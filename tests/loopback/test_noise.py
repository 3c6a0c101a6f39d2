"""The Noise handshake against an initiator written here, and the certificates it carries."""

from __future__ import annotations

import time

import pytest

from tests.loopback import protobuf
from tests.loopback.certificates import Authority
from tests.loopback.curve import KeyPair, verify
from tests.loopback.initiator import Initiator
from tests.loopback.noise import CLIENT_FINISH, NoiseError, Responder, SymmetricState, Transport

HEADER = b"WA\6\3"


@pytest.fixture
def authority() -> Authority:
    """Fresh keys."""
    return Authority()


@pytest.fixture
def initiator() -> Initiator:
    """A client."""
    return Initiator(KeyPair.generate(), KeyPair.generate(), SymmetricState(HEADER))


@pytest.fixture
def responder(authority: Authority) -> Responder:
    """The server's half."""
    return Responder(HEADER, authority.static, authority.noise_chain)


def test_both_sides_agree(initiator: Initiator, responder: Responder) -> None:
    """After the handshake the server knows the client's key and payload, and frames pass both ways, in order."""
    finished = responder.read_finish(initiator.finish(responder.read_hello(initiator.hello()), b"payload"))
    writes, reads = initiator.state.finish()
    client = Transport(writes, reads)

    assert finished.client_static == initiator.static.public
    assert finished.client_payload == b"payload"
    for text in (b"one", b"two"):
        assert finished.transport.decrypt(client.encrypt(text)) == text
        assert client.decrypt(finished.transport.encrypt(text)) == text


def test_the_certificate_chain_is_valid(initiator: Initiator, responder: Responder, authority: Authority) -> None:
    """The root key signs the intermediate, that signs the leaf, and the leaf names the server's static key."""
    initiator.finish(responder.read_hello(initiator.hello()), b"")

    chain = protobuf.parse(initiator.certificate)
    leaf, intermediate = chain.message(1), chain.message(2)
    assert verify(authority.root_key, intermediate.data(1), intermediate.data(2))
    assert verify(intermediate.message(1).data(3), leaf.data(1), leaf.data(2))
    assert leaf.message(1).data(3) == initiator.server_static
    assert (intermediate.message(1).number(2, 9), leaf.message(1).number(2)) == (0, 1)
    assert leaf.message(1).number(4) < time.time() < leaf.message(1).number(5)


def test_another_root_does_not_verify(initiator: Initiator, responder: Responder) -> None:
    """A client that trusts another root key refuses the chain."""
    initiator.finish(responder.read_hello(initiator.hello()), b"")

    intermediate = protobuf.parse(initiator.certificate).message(2)
    assert not verify(Authority().root_key, intermediate.data(1), intermediate.data(2))


def test_another_header_breaks_the_handshake(responder: Responder) -> None:
    """The header is authenticated: a client that sent another dictionary version does not get through."""
    initiator = Initiator(KeyPair.generate(), KeyPair.generate(), SymmetricState(b"WA\6\2"))

    with pytest.raises(NoiseError):
        initiator.finish(responder.read_hello(initiator.hello()), b"")


def test_a_tampered_finish_is_refused(initiator: Initiator, responder: Responder) -> None:
    """A changed bit in the client's second message is a NoiseError."""
    finish = bytearray(initiator.finish(responder.read_hello(initiator.hello()), b"payload"))
    finish[-1] ^= 1

    with pytest.raises(NoiseError):
        responder.read_finish(bytes(finish))


def test_a_hello_without_a_key_is_refused(responder: Responder) -> None:
    """A first message without an ephemeral key is no handshake."""
    with pytest.raises(protobuf.BadMessageError, match="field 2 is missing"):
        responder.read_hello(protobuf.build({CLIENT_FINISH: b""}))


def test_a_repeated_frame_does_not_decrypt() -> None:
    """Frames are numbered: the same bytes a second time are refused."""
    writer, reader = Transport(bytes(32), bytes(32)), Transport(bytes(32), bytes(32))
    frame = writer.encrypt(b"once")
    reader.decrypt(frame)

    with pytest.raises(NoiseError, match="frame 1"):
        reader.decrypt(frame)
