"""Messages of a linker beside those of an engine (actors/engine/protocol/messages.py): a passkey, and the hand-over."""

from __future__ import annotations

from actors.engine.protocol.wire import Message


class PasskeyWanted(Message, frozen=True, tag=True):
    """WhatsApp wants a passkey of the account before it links the device. A later one replaces the one before."""

    options: bytes
    """JSON, ``PublicKeyCredentialRequestOptionsJSON``."""
    valid_s: float


class PasskeyCode(Message, frozen=True, tag=True):
    """The phone has answered. With ``needs_confirmation`` the phone shows ``code`` too: send `ConfirmPasskey` once they were compared."""

    code: str
    """``ABCD-1234``."""
    needs_confirmation: bool


class PasskeyFailed(Message, frozen=True, tag=True):
    """This step of linking with a passkey failed; the code was not used, and another response may be sent."""

    text: str


class HandedOver(Message, frozen=True, tag=True):
    """The device is linked and its credentials are committed: have an engine log in with them."""

    jid: str
    lid: str


class AnswerPasskey(Message, frozen=True, tag=True):
    """The browser's response to `PasskeyWanted`. Answered with `Done`, or `Failed` with `no_passkey_wanted`, `invalid_passkey_response`,
    `passkey_rejected`."""

    call: int
    response: bytes
    """JSON of ``PublicKeyCredential.toJSON()``."""


class ConfirmPasskey(Message, frozen=True, tag=True):
    """The codes are the same. Answered with `Done`, or `Failed` with `no_passkey_wanted` or `passkey_rejected`."""

    call: int
