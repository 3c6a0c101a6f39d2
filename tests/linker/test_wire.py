"""The linker's wire: known bytes, a handshake with a server's half, and every certificate that must be refused."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from actors.linker import pairing_code
from actors.linker.device import DEFAULT_VERSION, device_properties, new_device, registration_payload
from actors.linker.wire.binary import BadNodeError, decode, encode
from actors.linker.wire.certificate import BadCertificate, check_chain
from actors.linker.wire.dial import proxy_of_host
from actors.linker.wire.frames import BadFrame, FrameReader, frame, header
from actors.linker.wire.jid import Jid
from actors.linker.wire.keys import BadKey, KeyPair, derive
from actors.linker.wire.messages import Messages, load_messages
from actors.linker.wire.nodes import Node
from actors.linker.wire.noise import Initiator, NoiseError
from actors.linker.wire.socks import SocksFailed, connect_by_socks
from actors.linker.wire.tokens import dictionary
from storage.baileys.curve import is_signed
from tests.loopback import curve
from tests.loopback.certificates import Authority
from tests.loopback.noise import Responder


@pytest.fixture(scope="module")
def messages() -> Messages:
    return load_messages()


def test_a_node_is_written_byte_for_byte_as_clients_write_it() -> None:
    """Words, packed digits, an address without user and one with a device."""
    words = dictionary()
    node = Node("iq", {"id": "12-3", "to": Jid("", "s.whatsapp.net"), "from": Jid("123", "lid", 2)})
    expected = bytes([0, 248, 7, 25, 8, 255, 2, 0x12, 0xA3, 17, 250, 0, 3, 6, 247, 1, 2, 255, 0x82, 0x12, 0x3F])

    assert encode(node, words) == expected
    assert decode(expected, words) == node


@pytest.mark.parametrize("payload", [b"", b"\0", b"\0\xf8", b"\0\xf8\x02\x19", b"\x02nozlib", b"\0\xf8\x01\x19\x00"])
def test_what_is_no_node_is_refused(payload: bytes) -> None:
    """Cut off, not compressed, or with bytes behind it."""
    with pytest.raises(BadNodeError):
        decode(payload, dictionary())


def test_frames_are_found_wherever_they_are_cut() -> None:
    """Byte by byte, and two in one."""
    reader = FrameReader()
    data = frame(b"one") + frame(b"") + frame(b"three")

    assert [found for byte in data for found in reader.feed(bytes((byte,)))] == [b"one", b"", b"three"]
    assert list(reader.feed(data)) == [b"one", b"", b"three"]


def test_a_frame_that_is_too_long_is_refused_by_its_head() -> None:
    """Before any of it is kept."""
    with pytest.raises(BadFrame):
        list(FrameReader().feed(b"\xff\xff\xff"))


def test_hkdf_gives_rfc_5869s_bytes() -> None:
    """Its first test case."""
    derived = derive(b"\x0b" * 22, salt=bytes(range(13)), info=bytes(range(0xF0, 0xFA)), size=42)

    assert derived.hex() == ("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")


def test_two_parties_agree() -> None:
    """On the same secret; with a point of low order there is none."""
    alice, bob = KeyPair.generate(), KeyPair.generate()

    assert alice.agree(bob.public) == bob.agree(alice.public)
    with pytest.raises(BadKey):
        alice.agree(bytes(32))


def test_signatures_are_libsignals() -> None:
    """Checked by two independent verifiers; another message or key does not fit."""
    pair = KeyPair.generate()
    signature = pair.sign(b"message")

    assert is_signed(pair.public, b"message", signature)
    assert curve.verify(pair.public, b"message", signature)
    assert not is_signed(pair.public, b"another", signature)
    assert not is_signed(KeyPair.generate().public, b"message", signature)


def test_a_fresh_key_is_clamped() -> None:
    """As other clients store it, so that the record has one form."""
    private = KeyPair.generate().private

    assert (private[0] & 7, private[31] & 0xC0) == (0, 0x40)
    assert X25519PrivateKey.from_private_bytes(private).private_bytes_raw() == private


def handshake(messages: Messages, check: Callable[[bytes, bytes], None], authority: Authority) -> Any:
    responder = Responder(header(), authority.static, authority.noise_chain)
    initiator = Initiator(header(), KeyPair.generate(), messages.handshake, check)
    answer = responder.read_hello(initiator.hello())
    finish, transport = initiator.finish(answer, b"payload")
    return responder.read_finish(finish), transport


def test_both_sides_of_a_handshake_read_each_other(messages: Messages) -> None:
    """The payload arrives, and frames in both directions."""
    authority = Authority()
    check = partial(check_chain, messages.certificate, authority.root_key)
    finished, transport = handshake(messages, lambda chain, key: check(chain, key, time.time()), authority)

    assert finished.client_payload == b"payload"
    assert finished.transport.decrypt(transport.encrypt(b"there")) == b"there"
    assert transport.decrypt(finished.transport.encrypt(b"back")) == b"back"


def test_a_tampered_answer_is_refused(messages: Messages) -> None:
    """One bit of the server's answer."""
    authority = Authority()
    initiator = Initiator(header(), KeyPair.generate(), messages.handshake, lambda chain, key: None)
    answer = bytearray(Responder(header(), authority.static, authority.noise_chain).read_hello(initiator.hello()))
    answer[-1] ^= 1

    with pytest.raises(NoiseError):
        initiator.finish(bytes(answer), b"")


@pytest.mark.parametrize("answer", [b"", b"\xff", b"\x1a\x00"])
def test_an_answer_that_is_none_is_refused(messages: Messages, answer: bytes) -> None:
    """Nothing, garbage, and an answer without its parts."""
    initiator = Initiator(header(), KeyPair.generate(), messages.handshake, lambda chain, key: None)
    initiator.hello()

    with pytest.raises(NoiseError):
        initiator.finish(answer, b"")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda good: {**good, "root_key": Authority().root_key}, "signature of the intermediate"),
        (lambda good: {**good, "static": bytes(32)}, "another key"),
        (lambda good: {**good, "now": time.time() + 2 * 365 * 86_400}, "clock"),
        (lambda good: {**good, "now": 0.0}, "clock"),
        (lambda good: {**good, "chain": b""}, "signature"),
        (lambda good: {**good, "chain": b"\xff"}, "cannot be read"),
        (lambda good: {**good, "chain": good["chain"][:-1] + bytes((good["chain"][-1] ^ 1,))}, "signature"),
    ],
)  # fmt: skip
def test_a_certificate_that_is_not_whatsapps_is_not_believed(
    messages: Messages, change: Callable[[dict[str, Any]], dict[str, Any]], said: str
) -> None:
    """Another root, another key, another time, nothing, garbage, one bit."""
    authority = Authority()
    static = authority.static.public
    good: dict[str, Any] = {
        "root_key": authority.root_key,
        "chain": authority.noise_chain(static),
        "static": static,
        "now": time.time(),
    }
    check_chain(messages.certificate, **good)

    with pytest.raises(BadCertificate, match=said):
        check_chain(messages.certificate, **change(good))


def test_the_registration_names_the_device_and_the_history_it_wants(messages: Messages) -> None:
    """Signed pre-key, build hash, and the device's name as the phone shows it."""
    device = new_device()
    payload = messages.handshake.ClientPayload.FromString(
        registration_payload(device, "wasup", DEFAULT_VERSION, messages)
    )
    data = payload.devicePairingData
    properties = messages.registration.DeviceProps.FromString(data.deviceProps)

    assert is_signed(data.eIdent, b"\x05" + data.eSkeyVal, data.eSkeySig)
    assert (len(data.eRegid), len(data.eSkeyID), len(data.buildHash)) == (4, 3, 16)
    assert (properties.os, properties.requireFullSync) == ("wasup", False)
    assert properties == device_properties("wasup", messages)


def test_a_qr_code_carries_the_reference_and_three_keys() -> None:
    """In the order that phones read them."""
    device = new_device()
    prefix, _, rest = device.qr(b"2@ref").partition("#")
    ref, *keys, kind = rest.split(",")

    assert (prefix, ref, kind) == ("https://wa.me/settings/linked_devices", "2@ref", "1")
    assert [base64.b64decode(key) for key in keys] == [device.noise.public, device.identity.public, device.adv_secret]


def test_codes_are_written_in_the_phones_alphabet() -> None:
    """32 characters without those that look alike; five bits each, from the left."""
    assert pairing_code.in_characters(bytes(5)) == "11111111"
    assert pairing_code.in_characters(b"\xff" * 5) == "ZZZZZZZZ"
    assert (
        pairing_code.in_characters(
            int("00001000100001100100001010011000111 01000".replace(" ", ""), 2).to_bytes(5, "big")
        )
        == "23456789"
    )
    assert not set("0IOU") & set("".join(pairing_code.begin("79000000001").code for _ in range(3)))


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://a:1"}, "http://a:1"),
        ({"https_proxy": "http://b:1", "NO_PROXY": "example.org"}, "http://b:1"),
        ({"https_proxy": "http://b:1", "no_proxy": "localhost, .whatsapp.com"}, None),
        ({"https_proxy": "http://b:1", "NO_PROXY": "*"}, None),
    ],
)
def test_the_hosts_proxy_is_used_as_gos_clients_do(environment: dict[str, str], proxy: str | None) -> None:
    """Where the company has none of its own."""
    assert proxy_of_host(environment, "web.whatsapp.com") == proxy


async def socks_server(stream: trio.abc.Stream, answers: list[bytes], heard: list[bytes]) -> None:
    for answer in answers:
        heard.append(bytes(await stream.receive_some(1000)))
        await stream.send_all(answer)


async def test_a_socks_proxy_looks_the_name_up() -> None:
    """User and password are sent; bytes behind the last reply belong to the tunnel."""
    ours, theirs = trio.testing.memory_stream_pair()
    heard: list[bytes] = []
    answers = [b"\5\2", b"\1\0", b"\5\0\0\1\x7f\0\0\1\0\1tunnel"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(socks_server, theirs, answers, heard)
        await connect_by_socks(ours, "web.whatsapp.com", 443, ("user", "secret"))

        assert await ours.receive_some(10) == b"tunnel"
    assert heard == [b"\5\2\0\2", b"\1\4user\6secret", b"\5\1\0\3\x10web.whatsapp.com\1\xbb"]


@pytest.mark.parametrize(
    ("answers", "said"),
    [([b"\5\xff"], "another way"), ([b"\5\2", b"\1\1"], "wrong"), ([b"\5\0", b"\5\5\0\1\0\0\0\0\0\0"], "refused")],
)
async def test_a_socks_proxy_that_does_not_connect_says_why(answers: list[bytes], said: str) -> None:
    """No way to log in, a wrong password, a refused connection."""
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(socks_server, theirs, answers, [])
        with pytest.raises(SocksFailed, match=said):
            await connect_by_socks(ours, "web.whatsapp.com", 443, ("user", "secret"))
