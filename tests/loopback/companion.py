"""A client that only links, for tests of the server's and the phone's half: whatsmeow's steps, one at a time, also out of order.

It holds no Signal code, verifies what whatsmeow verifies, and takes no step by itself.
"""

from __future__ import annotations

import base64
import hmac
import itertools
import json
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, cast
from urllib.parse import urlsplit

import trio
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from actors.linker.wire.binary import decode, encode
from actors.linker.wire.jid import SERVER
from actors.linker.wire.nodes import Node, leaf, node
from tests.loopback import protobuf
from tests.loopback.curve import DJB_TYPE, KeyPair, verify
from tests.loopback.endpoints import Endpoints
from tests.loopback.frames import FrameReader, frame
from tests.loopback.initiator import Initiator
from tests.loopback.noise import SymmetricState, Transport
from tests.loopback.tokens import dictionary

HEADER: Final = b"WA\6\3"
DEVICE_TYPE: Final = 1
"""CHROME, as whatsmeow numbers the kinds of device."""
WAIT_S: Final = 10.0
_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTVWXYZ"


class RefusedError(Exception):
    """The server answered a query with an error; the text is its code and its word."""


@dataclass(slots=True)
class Prologue:
    """One attempt with a passkey: what whatsmeow keeps between its two halves."""

    ref: bytes
    ephemeral: KeyPair = field(default_factory=KeyPair.generate)
    nonce: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    key: bytes = b""

    @property
    def payload(self) -> bytes:
        """The prologue payload: the ephemeral identity and the commitment to it and the nonce."""
        identity = protobuf.build({1: self.ephemeral.public, 2: DEVICE_TYPE, 3: self.ref})
        commitment = protobuf.build({1: sha256(identity + self.nonce).digest()})
        return protobuf.build({1: identity, 2: commitment})


class Companion:
    """A client on an open stream. Get one from `open_companion`; `event` takes what the server sends unasked."""

    def __init__(self, websocket: WebSocketConnection) -> None:
        self._websocket = websocket
        self._reader = FrameReader()
        self._reader.header = HEADER
        self._arrived: deque[bytes] = deque()
        self._nodes: deque[Node] = deque()
        self._ids = itertools.count(1)
        self._words = dictionary(HEADER[3])
        self._transport: Transport | None = None
        self.noise, self.identity = KeyPair.generate(), KeyPair.generate()
        self.adv_secret = secrets.token_bytes(32)
        self.handoff_key = b""

    async def register(self, payload: bytes = b"") -> str:
        """Handshake and registration (``payload``: more of the client payload); the text of the first QR code."""
        await self._greet(payload)
        offer = await self.event("iq")
        await self.send(Node("iq", {"to": SERVER, "id": offer.text("id"), "type": "result"}))
        return self.qr(offer.child("pair-device").child("ref").data)

    async def refused(self, payload: bytes) -> str:
        """Register; return the reason of the refusal."""
        await self._greet(payload)
        return (await self.event("failure")).text("reason")

    async def _greet(self, payload: bytes) -> None:
        initiator = Initiator(self.noise, KeyPair.generate(), SymmetricState(HEADER))
        await self._websocket.send_message(HEADER + frame(initiator.hello()))
        signed = KeyPair.generate().public
        device = protobuf.build(
            {1: bytes(4), 3: self.identity.public, 4: b"\0\0\1", 5: signed, 6: self.identity.sign(DJB_TYPE + signed)}
        )
        finish = initiator.finish(await self._frame(), payload + protobuf.build({19: device}))
        await self._websocket.send_message(frame(finish))
        self._transport = Transport(*initiator.state.finish())

    def qr(self, ref: bytes) -> str:
        """A QR code for one reference."""
        keys = (self.noise.public, self.identity.public, self.adv_secret)
        return ",".join([ref.decode(), *(base64.b64encode(key).decode() for key in keys)])

    async def passkey_options(self) -> dict[str, object]:
        """Take the request for a passkey; return its options. As whatsmeow does, keep the handoff key and renew the ADV secret."""
        asked = await self.event("notification", "passkey_prologue_request")
        self.handoff_key = _hkdf(self.adv_secret, b"shortcake-passkey-handoff-v1", None)
        self.adv_secret = secrets.token_bytes(32)
        return read_options(asked)

    async def prologue(
        self, assertion: Mapping[str, object], *, proof: bool | bytes = True, attempt: Prologue | None = None
    ) -> Prologue:
        """Ask for a reference and send the prologue; RefusedError. ``proof``: with the handoff proof, without, or this one."""
        attempt = attempt or Prologue((await self.ask("get", node("ref"))).child("ref").data)
        parts = [
            leaf("credential_id", _decoded(cast("str", assertion["rawId"]))),
            leaf("webauthn_assertion", json.dumps(assertion).encode()),
            leaf("prologue_payload", attempt.payload),
        ]
        if proof:
            right = hmac.digest(self.handoff_key, attempt.payload, "sha256")
            parts.append(leaf("pairing_handoff_proof", proof if isinstance(proof, bytes) else right))
        await self.ask("set", node("passkey_prologue", *parts))
        return attempt

    async def reveal(self, attempt: Prologue) -> str:
        """Take the phone's ephemeral identity, reveal the nonce; the code to compare."""
        told = await self.event("notification", "crsc_continuation")
        phone = protobuf.parse(told.child("primary_ephemeral_identity").data)
        public, nonce = phone.data(1), phone.data(2)
        await self.ask("set", leaf("companion_nonce", attempt.nonce))
        salt = f"Companion Pairing {DEVICE_TYPE} with ref {attempt.ref.decode()}".encode()
        attempt.key = _hkdf(attempt.ephemeral.agree(public), b"Pairing Information Encryption Key", salt)
        digest = sha256(attempt.nonce + public).digest()
        number = int.from_bytes(bytes(nonce[at] ^ digest[at] for at in range(5)), "big")
        return "".join(_ALPHABET[number >> 5 * (7 - at) & 31] for at in range(8))

    async def request(self, attempt: Prologue, *, identity: bytes = b"") -> None:
        """Send the sealed pairing request; RefusedError. ``identity``: another identity key than its own."""
        told = protobuf.build({1: self.noise.public, 2: identity or self.identity.public, 3: self.adv_secret})
        iv = secrets.token_bytes(12)
        sealed = protobuf.build({1: AESGCM(attempt.key).encrypt(iv, told, None), 2: iv})
        await self.ask("set", leaf("encrypted_pairing_request", sealed))

    async def countersign(self) -> str:
        """Take pair-success, verify it, countersign; the address of the new device."""
        success = await self.event("iq", where=lambda told: told.find("pair-success") is not None)
        pair = success.child("pair-success")
        sealed = protobuf.parse(pair.child("device-identity").data)
        signed, phone = sealed.message(1), sealed.message(1).data(2)
        assert hmac.digest(self.adv_secret, sealed.data(1), "sha256") == sealed.data(2)
        assert verify(phone, b"\6\0" + signed.data(1) + self.identity.public, signed.data(3))
        own = self.identity.sign(b"\6\1" + signed.data(1) + self.identity.public + phone)
        identity = protobuf.build({1: signed.data(1), 3: signed.data(3), 4: own})
        answer = node("pair-device-sign", leaf("device-identity", identity))
        await self.send(Node("iq", {"to": SERVER, "id": success.text("id"), "type": "result"}, (answer,)))
        await self.event("stream:error")
        return str(pair.child("device").jid("jid"))

    async def ask(self, kind: str, question: Node) -> Node:
        """Send a query of linking; return its answer, or raise RefusedError."""
        id_ = str(next(self._ids))
        await self.send(Node("iq", {"to": SERVER, "id": id_, "xmlns": "md", "type": kind}, (question,)))
        answer = await self.event("iq", where=lambda told: told.text("id", "") == id_)
        if answer.text("type") == "error":
            error = answer.child("error")
            raise RefusedError(f"{error.text('code')} {error.text('text')}")
        return answer

    async def event(self, tag: str, kind: str = "", *, where: Callable[[Node], bool] = lambda _: True) -> Node:
        """Take the next node of this tag and ``type``; TooSlowError after 10 s, ConnectionClosed at the stream's end."""
        with trio.fail_after(WAIT_S):
            while True:
                for told in self._nodes:
                    if told.tag == tag and kind in ("", told.text("type", "")) and where(told):
                        self._nodes.remove(told)
                        return told
                self._nodes.append(decode(self._ready().decrypt(await self._frame()), self._words))

    async def ended(self) -> bool:
        """Whether the server ends the stream within 10 s; what it sends until then is lost."""
        with trio.move_on_after(WAIT_S):
            try:
                while True:
                    await self._frame()
            except ConnectionClosed:
                return True
        return False

    async def send(self, told: Node) -> None:
        """Send any node."""
        await self._websocket.send_message(frame(self._ready().encrypt(encode(told, self._words))))

    def _ready(self) -> Transport:
        assert self._transport is not None, "register() first"
        return self._transport

    async def _frame(self) -> bytes:
        while not self._arrived:
            message = await self._websocket.get_message()
            assert isinstance(message, bytes), "WhatsApp sends no text"
            self._arrived.extend(self._reader.feed(message))
        return self._arrived.popleft()


@asynccontextmanager
async def open_companion(endpoints: Endpoints) -> AsyncGenerator[Companion]:
    """A client on a stream of its own, over the door without TLS."""
    url = urlsplit(endpoints.websocket_url)
    # The stream is ours to close: trio-websocket leaves it open when the server is gone without a close frame.
    async with await trio.open_tcp_stream(url.hostname or "", url.port or 80) as stream, trio.open_nursery() as nursery:
        websocket = await wrap_client_stream(nursery, stream, url.netloc, url.path)
        yield Companion(websocket)
        nursery.cancel_scope.cancel(reason="the test is done with it")


def read_options(told: Node) -> dict[str, object]:
    """The request options in a notification or an answer."""
    return cast("dict[str, object]", json.loads(told.child("passkey_request_options").data))


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _hkdf(secret: bytes, info: bytes, salt: bytes | None) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)
