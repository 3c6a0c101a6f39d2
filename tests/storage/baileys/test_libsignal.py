"""The conversions against Baileys' own Signal library: what it wrote opens what it sent, and it goes on with what came back."""

from __future__ import annotations

import base64
import hmac
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from storage.baileys import sender_key as baileys_sender_key
from storage.baileys.session import Own, from_baileys
from storage.baileys.session_export import to_baileys
from storage.whatsmeow.codec import decode_buffer, encode_buffer
from tests.loopback.node.install import NodeMissingError, installed

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).with_name("conversation.mjs")
NOW_MS = 1_700_000_000_000
OTHERS = "1@g.us::79000000001::1"


@final
class Conversation:
    """Alice and Bob, who have talked."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.said = self.call("talk")
        identity = base64.b64decode(self.said["identity"])
        self.session = from_baileys(self.said["session"], Own(identity, self.said["registrationId"])).record
        self.senders = {
            name: baileys_sender_key.from_baileys(encode_buffer(base64.b64decode(key))).record
            for name, key in self.said["senderKeys"].items()
        }

    def call(self, call: str, **args: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"call": call, "args": args}), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        assert not (isinstance(answer, dict) and "error" in answer), answer["error"]
        return answer


@pytest.fixture
def conversation() -> Iterator[Conversation]:
    """Bob has an archived session, messages that did not arrive, his own sender key and Alice's."""
    try:
        modules = installed()
    except NodeMissingError as error:
        pytest.skip(str(error))
    command = ["node", str(SCRIPT), str(modules)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Conversation(process)
        finally:
            process.kill()


def test_a_withheld_message_opens_with_the_converted_key(conversation: Conversation) -> None:
    """The key that Go is given authenticates and decrypts what real libsignal sent."""
    record = msgspec.json.decode(conversation.session)
    message = base64.b64decode(conversation.said["withheld"])
    (key,) = [key for chain in record["SessionState"]["ReceiverChains"] for key in chain["MessageKeys"]]
    signed = (
        base64.b64decode(conversation.said["other"]) + base64.b64decode(conversation.said["identity"]) + message[:-8]
    )

    assert hmac.digest(base64.b64decode(key["MacKey"]), signed, "sha256")[:8] == message[-8:]
    assert _decrypt(key, _field(message[1:-8], 4)) == b"withheld"
    assert len(record["PreviousStates"]) == 1


def test_a_missed_group_message_opens_with_the_converted_key(conversation: Conversation) -> None:
    """The same for a group: by its iteration, with Go's cipher key and IV."""
    (state,) = msgspec.json.decode(conversation.senders[OTHERS])["SenderKeyStates"]
    message = base64.b64decode(conversation.said["missed"])[1:-64]
    opened = {key["Iteration"]: key for key in state["Keys"]}

    assert any(_decrypt_or_none(key, _field(message, 3)) == b"missed" for key in opened.values())


def test_baileys_goes_on_with_what_came_back(conversation: Conversation) -> None:
    """Bob's records went to whatsmeow's form and back: real libsignal decrypts and answers with them, and no session begins anew."""
    back = to_baileys(conversation.session, NOW_MS)
    senders = {
        name: base64.b64encode(decode_buffer(baileys_sender_key.to_baileys(record))).decode()
        for name, record in conversation.senders.items()
    }

    resumed = conversation.call("resume", session=back.value, senderKeys=senders, missed=conversation.said["missed"])

    assert resumed["heard"] == [[1, "to bob one", 1, "to alice one"], [1, "to bob two", 1, "to alice two"]]
    assert resumed["group"] == ["missed", "group, to bob", "group, to alice"]
    assert back.skipped_messages == 1


def _decrypt(key: dict[str, str], ciphertext: bytes) -> bytes:
    decryptor = Cipher(AES(base64.b64decode(key["CipherKey"])), CBC(base64.b64decode(key["IV"]))).decryptor()
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    return padded[: -padded[-1]]


def _decrypt_or_none(key: dict[str, str], ciphertext: bytes) -> bytes | None:
    try:
        return _decrypt(key, ciphertext)
    except ValueError:
        return None


def _field(message: bytes, number: int) -> bytes:
    """The bytes of a length-delimited field of a protobuf message."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        value, position = _varint(message, position)
        if tag & 7 == 2:
            if tag >> 3 == number:
                return message[position : position + value]
            position += value
    raise AssertionError(f"no field {number}")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        number |= (data[position] & 0x7F) << shift
        shift += 7
        position += 1
        if data[position - 1] < 0x80:
            return number, position
