"""The server's part of linking: streams that offer a device, their QR references, and the pairing-code exchange."""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from actors.linker.wire.jid import SERVER, Jid
from actors.linker.wire.nodes import Node, leaf, node
from tests.loopback.accounts import Account, Device
from tests.loopback.connection import Connection
from tests.loopback.curve import verify
from tests.loopback.prekeys import KeyBundle, SignedKey
from tests.loopback.protobuf import Fields, build, parse

REFS: Final = 6
PAIRING_TIMEOUT_S: Final = 20.0
ACCOUNT_SIGNATURE_PREFIX: Final = b"\6\0"
DEVICE_SIGNATURE_PREFIX: Final = b"\6\1"
RESTART_CODE: Final = "515"
_REGISTRATION, _IDENTITY, _SIGNED_ID, _SIGNED_VALUE, _SIGNED_SIGNATURE = 1, 3, 4, 5, 6
_RAW_ID, _TIMESTAMP, _KEY_INDEX = 1, 2, 3
_DETAILS, _SIGNATURE_KEY, _SIGNATURE, _DEVICE_SIGNATURE = 1, 2, 3, 4
_HMAC_DETAILS, _HMAC = 1, 2


class PairingError(Exception):
    """A phone and a client could not be linked; the text says why."""


@dataclass(slots=True, eq=False)
class CodeExchange:
    """A client's request to be linked by a code: what it sent, and the events of the exchange."""

    phone: str
    ref: bytes
    wrapped_ephemeral: bytes
    """Salt (32), IV (16) and the client's ephemeral key, encrypted under the code."""
    bundle: bytes | None = None
    """The client's answer: salt (32), nonce (12), the encrypted key bundle."""
    finished: trio.Event = field(default_factory=trio.Event)


@dataclass(slots=True, eq=False)
class Registration:
    """A stream that wants to become a linked device."""

    connection: Connection
    noise_key: bytes
    keys: KeyBundle
    refs: tuple[bytes, ...]
    code: CodeExchange | None = None
    linked: trio.Event = field(default_factory=trio.Event)
    device: Device | None = None
    failure: str | None = None

    @property
    def identity(self) -> bytes:
        """The identity key of the device to be."""
        return self.keys.identity

    async def until_linked(self) -> Jid:
        """The linked device's address, once it is one; PairingError when the client refuses, is gone, or takes longer than 20 s."""
        with trio.move_on_after(PAIRING_TIMEOUT_S):
            await self.linked.wait()
        if self.device is None:
            raise PairingError(self.failure or f"the client did not answer within {PAIRING_TIMEOUT_S:g} s")
        return self.device.pn


def registration(connection: Connection, noise_key: bytes, data: Fields) -> Registration:
    """Read the client's ``devicePairingData``; BadMessageError when something is missing."""
    signed = SignedKey(data.data(_SIGNED_ID), data.data(_SIGNED_VALUE), data.data(_SIGNED_SIGNATURE))
    keys = KeyBundle(data.data(_REGISTRATION), data.data(_IDENTITY), signed)
    refs = tuple(b"2@" + base64.b64encode(secrets.token_bytes(30)) for _ in range(REFS))
    return Registration(connection, noise_key, keys, refs)


class Registrations:
    """The streams that wait to be linked, and what happens when a phone accepts one."""

    def __init__(self, on_linked: Callable[[Device], None], *, cut_after: Callable[[], bool]) -> None:
        self._open: set[Registration] = set()
        self._on_linked = on_linked
        self._cut_after = cut_after

    def __len__(self) -> int:
        """How many streams wait."""
        return len(self._open)

    def offer(self, waiting: Registration) -> None:
        """Offer QR references on this stream."""
        self._open.add(waiting)
        refs = (leaf("ref", ref) for ref in waiting.refs)
        connection = waiting.connection
        ask = node("iq", node("pair-device", *refs), from_=SERVER, type_="set", id=connection.next_id(), xmlns="md")
        connection.request(ask, lambda _: None)

    def forget(self, waiting: Registration) -> None:
        """The stream is gone."""
        self._open.discard(waiting)
        waiting.failure = waiting.failure or "the client closed the connection"
        waiting.linked.set()
        if waiting.code:
            waiting.code.finished.set()

    def close_all(self) -> None:
        """End every waiting stream, as WhatsApp does when no phone has scanned its references."""
        for waiting in tuple(self._open):
            waiting.connection.close()

    def by_ref(self, ref: bytes) -> Registration:
        """The stream that offers a QR reference; PairingError when there is none."""
        for waiting in self._open:
            if ref in waiting.refs:
                return waiting
        raise PairingError("no client offers this reference: the QR code has expired")

    def by_phone(self, phone: str) -> Registration:
        """The stream that asked last to be linked to ``phone`` by a code; PairingError when none did."""
        for waiting in self._open:
            if waiting.code and waiting.code.phone == phone:
                return waiting
        raise PairingError(f"no client asked for a pairing code of {phone}")

    def companion_hello(self, connection: Connection, request: Node) -> Node:
        """A client asks for a code: remember its wrapped key, answer with a reference."""
        waiting = self._of(connection)
        ref = secrets.token_urlsafe(24).encode()
        wrapped = request.child("link_code_pairing_wrapped_companion_ephemeral_pub").data
        waiting.code = CodeExchange(request.jid("jid").user, ref, wrapped)
        return node("link_code_companion_reg", leaf("link_code_pairing_ref", ref), stage="companion_hello")

    def companion_finish(self, connection: Connection, request: Node) -> None:
        """The client's second half of the code exchange."""
        code = self._of(connection).code
        if code is None or request.child("link_code_pairing_ref").data != code.ref:
            raise PairingError("companion_finish without a companion_hello")
        code.bundle = request.child("link_code_pairing_wrapped_key_bundle").data
        code.finished.set()

    def accept(self, waiting: Registration, account: Account, adv_secret: bytes) -> None:
        """Tell the client that the phone accepted it; it becomes a device when it has countersigned its identity."""
        number = account.next_device()
        success = node(
            "pair-success",
            leaf("device-identity", _signed_identity(account, waiting.identity, adv_secret)),
            node("device", jid=account.pn.with_device(number), lid=account.lid.with_device(number)),
            node("platform", name="android"),
        )
        connection = waiting.connection
        ask = node("iq", success, from_=SERVER, type_="set", id=connection.next_id())
        connection.request(ask, lambda reply: self._countersigned(waiting, account, number, reply))

    def _countersigned(self, waiting: Registration, account: Account, number: int, reply: Node) -> None:
        if reply.text("type") != "result":
            error = reply.find("error")
            waiting.failure = f"the client refused: {error.text('text', '') if error else 'no reason given'}"
            waiting.linked.set()
            return
        signed = parse(reply.child("pair-device-sign").child("device-identity").data)
        message = DEVICE_SIGNATURE_PREFIX + signed.data(_DETAILS) + waiting.identity + account.identity.public
        if not verify(waiting.identity, message, signed.data(_DEVICE_SIGNATURE)):
            waiting.failure = "the client's signature is wrong"
            waiting.linked.set()
            return
        device = Device(number, account, waiting.noise_key, waiting.keys, "android")
        account.devices[number] = device
        waiting.device = device
        self._on_linked(device)
        if self._cut_after():
            waiting.connection.cut()
        else:
            waiting.connection.send(node("stream:error", code=RESTART_CODE))
        waiting.linked.set()

    def _of(self, connection: Connection) -> Registration:
        for waiting in self._open:
            if waiting.connection is connection:
                return waiting
        raise PairingError("this stream is not waiting to be linked")


def _signed_identity(account: Account, identity: bytes, adv_secret: bytes) -> bytes:
    """What the phone signs for a device: its details under the phone's key, sealed with the secret the device chose."""
    phone = account.identity
    details = build({_RAW_ID: secrets.randbits(31), _TIMESTAMP: int(time.time()), _KEY_INDEX: 1})
    signature = phone.sign(ACCOUNT_SIGNATURE_PREFIX + details + identity)
    signed = build({_DETAILS: details, _SIGNATURE_KEY: phone.public, _SIGNATURE: signature})
    return build({_HMAC_DETAILS: signed, _HMAC: hmac.digest(adv_secret, signed, "sha256")})


def code_notification(exchange: CodeExchange, wrapped_ephemeral: bytes, identity: bytes, id_: str, now: int) -> Node:
    """The notification to the client after the code was typed in."""
    return node(
        "notification",
        node(
            "link_code_companion_reg",
            leaf("link_code_pairing_wrapped_primary_ephemeral_pub", wrapped_ephemeral),
            leaf("primary_identity_pub", identity),
            leaf("link_code_pairing_ref", exchange.ref),
            stage="primary_hello",
        ),
        from_=SERVER,
        type_="link_code_companion_reg",
        id=id_,
        t=str(now),
    )
