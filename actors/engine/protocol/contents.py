"""The contents of a message beside plain text, as the API hands them to the engine."""

from __future__ import annotations

from typing import Literal

import msgspec

MediaKind = Literal["image", "video", "audio", "document", "sticker"]


class Content(msgspec.Struct, frozen=True, tag_field="t", forbid_unknown_fields=True):
    """Base of the kinds of content."""


class StoredFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file on WhatsApp's servers: where it is, and the key that opens it. WhatsApp deletes it after some weeks."""

    kind: MediaKind
    direct_path: str
    media_key: bytes
    file_sha256: bytes
    file_enc_sha256: bytes
    size: int
    """Size of the plain file in bytes."""
    url: str = ""
    mimetype: str = ""
    file_name: str = ""
    seconds: int = 0
    """Length of audio and video; 0 when not known."""
    codec: str = ""
    """Codec of the sound by FFmpeg's name; empty when not known."""
    width: int = 0
    height: int = 0
    thumbnail: bytes = b""
    """A small JPEG, for pictures and films."""
    animated: bool = False
    """A sticker that moves."""


class Media(Content, frozen=True, tag="media"):
    """A file that was uploaded, as an image, video, audio, document or sticker."""

    file: StoredFile
    caption: str = ""
    voice: bool = False
    """Show the audio as a voice note."""


class Location(Content, frozen=True, tag="location"):
    latitude: float
    longitude: float
    name: str = ""
    address: str = ""


class Contact(Content, frozen=True, tag="contact"):
    name: str
    vcard: str


class Poll(Content, frozen=True, tag="poll"):
    question: str
    options: tuple[str, ...]
    selectable: int
    """How many options a voter may choose; 0: any number."""


class Reaction(Content, frozen=True, tag="reaction"):
    message_id: str
    emoji: str
    """The reaction; empty: take an earlier reaction back."""
    sender: str | None
    """Full JID of the message's author; None: this company."""


class Edit(Content, frozen=True, tag="edit"):
    """A new text for a message of this company."""

    message_id: str
    text: str


class Delete(Content, frozen=True, tag="delete"):
    """Deletes a message for all members of the chat."""

    message_id: str
    sender: str | None
    """Full JID of its author (an admin may delete others' messages in a group); None: this company."""


AnyContent = Media | Location | Contact | Poll | Reaction | Edit | Delete
