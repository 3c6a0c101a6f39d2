"""Checks and countersigns what the server sends when the phone has accepted a device. Pure."""

from __future__ import annotations

import hmac
from typing import Any, Final

from actors.linker.device import Acceptance, NewDevice
from actors.linker.wire.jid import LID_SERVER, PN_SERVER, SERVER, Jid
from actors.linker.wire.keys import mac
from actors.linker.wire.messages import Messages, Unreadable, parsed
from actors.linker.wire.nodes import MissingPartError, Node, node
from storage.baileys.curve import is_signed

_ACCOUNT_PREFIX: Final = b"\x06\x00"
_HOSTED_ACCOUNT_PREFIX: Final = b"\x06\x05"
_DEVICE_PREFIX: Final = b"\x06\x01"
_SIGNATURE_SIZE: Final = 64


class NotAccepted(Exception):
    """The acceptance is not valid; ``code`` and ``word`` go into the answer to the server."""

    def __init__(self, code: int, word: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.word = word


def check(success: Node, device: NewDevice, messages: Messages) -> tuple[Acceptance, Node]:
    """Return what ``<pair-success>`` says, and our countersignature as the content of the answer. Raise `NotAccepted`.

    The outer MAC proves that it comes from the phone that saw the QR code, the account's signature that the phone means this device.
    """
    try:
        identity_bytes = success.child("device-identity").data
        jid, lid = success.child("device").jid("jid"), success.child("device").jid("lid")
    except MissingPartError as error:
        raise NotAccepted(500, "internal-error", f"WhatsApp's acceptance is incomplete: {error}") from error
    if jid.server != PN_SERVER or lid.server != LID_SERVER or not jid.device or not jid.user or not lid.user:
        raise NotAccepted(500, "internal-error", "WhatsApp's acceptance names no device")
    signed = _opened(identity_bytes, device, messages)
    details = _parsed(messages.identity.ADVDeviceIdentity(), signed.details)
    _check_account(signed, details, device, messages)
    own = device.identity.sign(_DEVICE_PREFIX + signed.details + device.identity.public + signed.accountSignatureKey)
    accepted = _acceptance(success, jid, lid, signed, own)
    signed.deviceSignature = own
    signed.ClearField("accountSignatureKey")
    countersigned = bytes(signed.SerializeToString())
    content = Node("device-identity", {"key-index": str(details.keyIndex)}, countersigned)
    return accepted, node("pair-device-sign", content)


def answer_to(request: Node, content: Node) -> Node:
    """Return the result of the server's request."""
    return node("iq", content, to=SERVER, type_="result", id=request.text("id", ""))


def refusal_of(request: Node, why: NotAccepted) -> Node:
    """Return the error that tells server and phone that linking failed."""
    error = node("error", code=str(why.code), text=why.word)
    return node("iq", error, to=SERVER, type_="error", id=request.text("id", ""))


def _opened(data: bytes, device: NewDevice, messages: Messages) -> Any:
    outer = _parsed(messages.identity.ADVSignedDeviceIdentityHMAC(), data)
    is_hosted = outer.accountType == messages.identity.HOSTED
    expected = mac(device.adv_secret, (_HOSTED_ACCOUNT_PREFIX if is_hosted else b"") + outer.details)
    if not hmac.compare_digest(expected, outer.HMAC):
        raise NotAccepted(401, "hmac-mismatch", "the phone that accepted this device did not see its code")
    return _parsed(messages.identity.ADVSignedDeviceIdentity(), outer.details)


def _check_account(signed: Any, details: Any, device: NewDevice, messages: Messages) -> None:
    prefix = _HOSTED_ACCOUNT_PREFIX if details.deviceType == messages.identity.HOSTED else _ACCOUNT_PREFIX
    message = prefix + signed.details + device.identity.public
    if len(signed.accountSignature) != _SIGNATURE_SIZE or not is_signed(
        signed.accountSignatureKey, message, signed.accountSignature
    ):
        raise NotAccepted(401, "signature-mismatch", "the account's signature does not fit this device")


def _acceptance(success: Node, jid: Jid, lid: Jid, signed: Any, own: bytes) -> Acceptance:
    platform, business = success.find("platform"), success.find("biz")
    return Acceptance(
        jid=jid,
        lid=lid,
        platform=platform.text("name", "") if platform is not None else "",
        business_name=business.text("name", "") if business is not None else "",
        details=bytes(signed.details),
        account_key=bytes(signed.accountSignatureKey),
        account_signature=bytes(signed.accountSignature),
        device_signature=own,
    )


def _parsed(message: Any, data: bytes) -> Any:
    try:
        return parsed(message, data)
    except Unreadable as error:
        raise NotAccepted(500, "internal-error", "WhatsApp's acceptance cannot be read") from error
