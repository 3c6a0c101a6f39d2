"""Calls on a company beside linking and sending: files, numbers, groups, receipts, typing; and their answers.

Part of actors/engine/protocol/messages.py, which has the rules of the protocol.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from actors.engine.protocol.contents import MediaKind, StoredFile
from actors.engine.protocol.wire import Message

TypingState = Literal["composing", "recording", "paused"]


class Upload(Message, frozen=True, tag=True):
    """Encrypt the file at ``path`` and upload it to WhatsApp. Answered with `Uploaded`; `Failed` with `upload_failed` when refused."""

    call: int
    path: str
    kind: MediaKind
    timeout_s: float


class Download(Message, frozen=True, tag=True):
    """Fetch a file, decrypt and check it, write it to ``path``. Answered with `Done`.

    `Failed` with `media_gone` when WhatsApp does not have the file any more, `download_failed` for every other reason.
    """

    call: int
    file: StoredFile
    path: str
    timeout_s: float


class CheckNumber(Message, frozen=True, tag=True):
    """Ask WhatsApp for the account of ``jid``, a person's. Answered with `NumberChecked`.

    `Failed` with `no_such_recipient` for a LID whose number is not known.
    """

    call: int
    jid: str
    timeout_s: float


class ListGroups(Message, frozen=True, tag=True):
    """List the groups this account is in. Answered with `Groups`."""

    call: int
    timeout_s: float


class GetGroup(Message, frozen=True, tag=True):
    """Describe one group with its members. Answered with `Groups`; `Failed` with `not_in_group` or `no_such_group`."""

    call: int
    jid: str
    timeout_s: float


class MarkRead(Message, frozen=True, tag=True):
    """Tell ``sender`` (of the chat, when None) that its messages were read. Answered with `Done`."""

    call: int
    chat: str
    message_ids: tuple[str, ...]
    sender: str | None
    timeout_s: float


class SetTyping(Message, frozen=True, tag=True):
    """Show a chat what this account is doing. Answered with `Done`."""

    call: int
    to: str
    state: TypingState
    timeout_s: float


class Uploaded(Message, frozen=True, tag=True):
    call: int
    file: StoredFile
    """The file without the fields that only the daemon knows: mimetype, name, duration."""


class NumberChecked(Message, frozen=True, tag=True):
    call: int
    exists: bool
    pn: str | None
    """JID with the account's phone number, as far as WhatsApp named it; it may differ from the number asked about."""
    lid: str | None
    """The account's LID, as far as WhatsApp named it."""


class GroupMember(msgspec.Struct, frozen=True):
    """A member of a group."""

    id: str
    """The JID by which the group names the member."""
    pn: str | None
    lid: str | None
    admin: bool
    owner: bool


class GroupDescription(msgspec.Struct, frozen=True):
    """A group as WhatsApp describes it."""

    jid: str
    subject: str
    description: str
    owner: str | None
    announcement: bool
    """Only admins may send."""
    locked: bool
    """Only admins may change subject and description."""
    members: tuple[GroupMember, ...]


class Groups(Message, frozen=True, tag=True):
    call: int
    groups: tuple[GroupDescription, ...]


class MediaArrived(msgspec.Struct, frozen=True):
    """The payload of a `media` event, as JSON: what is needed to fetch a file that a message announces."""

    media_id: str
    message_id: str
    file: StoredFile
