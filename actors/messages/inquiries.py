"""Requests to a company that ask WhatsApp for something, or tell it something, other than sending messages.

Each may be refused with `no_active_session`, `overloaded`, `timeout`, `engine_unavailable` or `send_rejected`, and with the codes it names.
"""

from __future__ import annotations

from dataclasses import dataclass

from actors.engine.protocol.contents import MediaKind, StoredFile
from actors.engine.protocol.orders import GroupDescription, TypingState
from actors.messages.basis import Answer
from supervisor import Request


class ContactReport(Answer, frozen=True, kw_only=True):
    """Whether a number has an account, and its ids."""

    on_whatsapp: bool
    id: str | None
    """The account's JID as WhatsApp names it: with its phone number, which may be another than the one asked about; with the hidden id
    where WhatsApp names no number."""
    lid: str | None
    """JID with the hidden id, as far as WhatsApp named it."""


@dataclass(frozen=True, slots=True)
class CheckContact(Request[ContactReport]):
    """Ask whether a person has an account. Refused: `invalid_phone` for a hidden id whose number WhatsApp has not named."""

    jid: str
    """A person's JID: with a phone number or a hidden id."""


@dataclass(frozen=True, slots=True)
class ListGroups(Request[tuple[GroupDescription, ...]]):
    """Answered with the groups that the account is in."""


@dataclass(frozen=True, slots=True)
class GetGroup(Request[tuple[GroupDescription, ...]]):
    """Answered with that one group. Refused: `not_in_group`, `no_such_group`."""

    jid: str


@dataclass(frozen=True, slots=True)
class MarkRead(Request[None]):
    """Tell the sender of messages that they were read."""

    chat: str
    message_ids: tuple[str, ...]
    sender: str | None
    """Full JID; None: the chat itself."""


@dataclass(frozen=True, slots=True)
class SetTyping(Request[None]):
    """Show in a chat that the account is typing, is recording, or has stopped."""

    to: str
    state: TypingState


@dataclass(frozen=True, slots=True)
class UploadFile(Request[StoredFile]):
    """Give a local file to WhatsApp. Refused: `media_upload_failed`."""

    path: str
    kind: MediaKind


@dataclass(frozen=True, slots=True)
class DownloadFile(Request[None]):
    """Fetch a file to ``path``. Refused: `media_gone`, `media_download_failed`."""

    file: StoredFile
    path: str
