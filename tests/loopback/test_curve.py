"""Signatures in libsignal's form."""

from __future__ import annotations

import pytest

from tests.loopback.curve import KeyPair, verify


def test_signatures_of_both_signs_verify() -> None:
    """Keys whose Edwards form has the sign bit set sign as well as the others; the bit travels in the signature."""
    seen: set[bool] = set()
    while len(seen) < 2:
        pair = KeyPair.generate()
        signature = pair.sign(b"message")
        seen.add(bool(signature[63] & 0x80))

        assert verify(pair.public, b"message", signature)


@pytest.mark.parametrize("at", [0, 31, 32, 63])
def test_a_changed_signature_does_not_verify(at: int) -> None:
    """No bit of a signature may change."""
    pair = KeyPair.generate()
    signature = bytearray(pair.sign(b"message"))
    signature[at] ^= 1

    assert not verify(pair.public, b"message", bytes(signature))


def test_another_message_does_not_verify() -> None:
    """A signature is for one message."""
    pair = KeyPair.generate()

    assert not verify(pair.public, b"other", pair.sign(b"message"))


@pytest.mark.parametrize("size", [0, 63, 65])
def test_a_signature_of_the_wrong_size_does_not_verify(size: int) -> None:
    """A wrong size is no error, just no signature."""
    assert not verify(KeyPair.generate().public, b"message", bytes(size))


def test_agreement() -> None:
    """Both sides compute the same secret."""
    one, other = KeyPair.generate(), KeyPair.generate()

    assert one.agree(other.public) == other.agree(one.public)
