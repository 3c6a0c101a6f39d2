"""Requests to a company to send a message, and its replies."""

from __future__ import annotations

from dataclasses import dataclass

from actors.engine.protocol.contents import AnyContent
from actors.messages.basis import Answer
from supervisor import Request


class Sent(Answer, frozen=True, kw_only=True):
    company_id: str
    phone: str
    message_id: str
    timestamp: float


@dataclass(frozen=True, slots=True)
class Quoted:
    message_id: str
    sender: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class SendText(Request[Sent]):
    """Answered once WhatsApp has acknowledged the message and its ratchet step is committed.

    Refused: `no_active_session`, `send_timeout`, `send_rejected`, `account_restricted`, `storage_unavailable`, `recipient_not_on_whatsapp`,
    `engine_unavailable`.
    """

    to: str
    """Full JID."""
    phone: str
    """The recipient as the caller wrote it, normalised; repeated in the reply."""
    text: str
    quoted: Quoted | None = None
    mentions: tuple[str, ...] = ()
    """Full JIDs."""
    expiration: int | None = None
    """Seconds until the message disappears; 0: never; None: by the chat's timer."""


@dataclass(frozen=True, slots=True)
class SendContent(Request[Sent]):
    """Anything but plain text; answered and refused as `SendText`, and with `not_in_group`, `no_such_group`, `no_such_message`."""

    to: str
    phone: str
    content: AnyContent
    quoted: Quoted | None = None
    mentions: tuple[str, ...] = ()
    expiration: int | None = None
