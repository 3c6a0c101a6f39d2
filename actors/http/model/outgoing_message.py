"""From the body of `send` to a message of valid form. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from msgspec import UNSET, UnsetType

from actors.engine.protocol import contents as c
from actors.http.model.bodies import MAX_MESSAGE
from actors.http.model.message_schema import (
    KINDS,
    AudioBody,
    ContactBody,
    DeleteBody,
    DocumentBody,
    EditBody,
    FileBody,
    ImageBody,
    LocationBody,
    PollBody,
    QuotedBody,
    ReactionBody,
    SendBody,
    VideoBody,
)
from actors.http.model.phones import Recipient, parse_phone, parse_recipient
from actors.http.model.problems import Problem
from actors.messages import Quoted, SendContent, SendText

_ABOUT_ANOTHER: Final = frozenset({"reaction", "edit", "delete"})
"""Kinds that change an earlier message; they cannot be replies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file to be sent."""

    kind: c.MediaKind
    media_id: str | None
    url: str | None
    caption: str = ""
    voice: bool = False
    file_name: str | None = None


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message of valid form; whether it can be sent is not known yet."""

    to: Recipient
    content: str | c.AnyContent | Attachment
    quoted: Quoted | None
    mentions: tuple[str, ...]
    expiration: int | None = None

    def request(self, content: str | c.AnyContent) -> SendText | SendContent:
        """Return the order to the company. ``content`` is the uploaded file in place of an attachment, else the message's own content."""
        if isinstance(content, str):
            return SendText(
                self.to.jid,
                self.to.phone,
                content,
                quoted=self.quoted,
                mentions=self.mentions,
                expiration=self.expiration,
            )
        return SendContent(self.to.jid, self.to.phone, content, self.quoted, self.mentions, self.expiration)


def draft_of(body: SendBody, region: str | None) -> OutgoingMessage:
    """Return the message that ``body`` describes. Raises `invalid_request`, `invalid_phone`, `invalid_message`, `message_too_long`."""
    to = parse_recipient(body.phone, region)
    given = [name for name in KINDS if getattr(body, name) is not UNSET]
    if len(given) != 1:
        raise Problem("invalid_request", f"give exactly one of {', '.join(KINDS)}; there are {len(given)}")
    kind = given[0]
    options = body.options
    quoted = options.quoted if options else None
    mentions = options.mentions if options else []
    expiration = UNSET if options is None else options.ephemeral_expiration
    if kind in _ABOUT_ANOTHER and quoted is not None:
        raise Problem("invalid_request", f"options.quoted: {kind} cannot be a reply")
    if kind in _ABOUT_ANOTHER and expiration is not UNSET:
        raise Problem("invalid_request", f"options.ephemeralExpiration: {kind} changes a message that has its own")
    return OutgoingMessage(
        to,
        _content(kind, getattr(body, kind), to, region),
        None if quoted is None else _quoted(quoted, to, region),
        tuple(parse_recipient(written, region).jid for written in mentions),
        None if expiration is UNSET else expiration,
    )


def checked_text(text: str) -> str:
    """Return ``text`` if WhatsApp accepts it. Raises `message_too_long` or `invalid_message`."""
    if len(text) > MAX_MESSAGE:
        raise Problem("message_too_long", f"message has {len(text)} characters; at most {MAX_MESSAGE} are allowed")
    if not text.strip():
        raise Problem("invalid_message", "message is empty")
    if "\0" in text:
        raise Problem("invalid_message", "message holds the character NUL")
    return text


def _content(kind: str, body: Any, to: Recipient, region: str | None) -> str | c.AnyContent | Attachment:
    match body:
        case str():
            return checked_text(body)
        case FileBody():
            return _attachment(kind, body)
        case LocationBody():
            if not (math.isfinite(body.latitude) and math.isfinite(body.longitude)):
                raise Problem("invalid_request", "location: latitude and longitude must be numbers")
            return c.Location(latitude=body.latitude, longitude=body.longitude, name=body.name, address=body.address)
        case ContactBody():
            return _contact(body, region)
        case PollBody():
            return _poll(body)
        case ReactionBody():
            return _reaction(body, to, region)
        case EditBody():
            return c.Edit(message_id=body.message_id, text=checked_text(body.message))
        case DeleteBody():
            return c.Delete(message_id=body.message_id, sender=_writer(body.sender, to, region))
        case _:
            raise TypeError(type(body).__name__)


def _attachment(kind: Any, body: FileBody) -> Attachment:
    if (body.media_id is UNSET) == (body.url is UNSET):
        raise Problem("invalid_request", f"{kind}: give either mediaId or url")
    caption = body.caption if isinstance(body, ImageBody | VideoBody | DocumentBody) else ""
    name = body.file_name if isinstance(body, DocumentBody) else UNSET
    return Attachment(
        kind=kind,
        media_id=body.media_id or None,
        url=body.url or None,
        caption=caption,
        voice=isinstance(body, AudioBody) and body.voice,
        file_name=name or None,
    )


def _contact(body: ContactBody, region: str | None) -> c.Contact:
    phone = parse_phone(body.phone, region)
    name, organization = body.name, body.organization
    lines = ["BEGIN:VCARD", "VERSION:3.0", f"N:;{_escaped(name)};;;", f"FN:{_escaped(name)}"]
    if organization:
        lines.append(f"ORG:{_escaped(organization)}")
    lines += [f"TEL;type=CELL;type=VOICE;waid={phone[1:]}:{phone}", "END:VCARD"]
    return c.Contact(name=name, vcard="\n".join(lines))


def _poll(body: PollBody) -> c.Poll:
    options = tuple(option.strip() for option in body.options)
    if len(set(options)) < len(options):
        raise Problem("invalid_request", "poll.options: two are the same, and votes could not be told apart")
    return c.Poll(
        question=body.question.strip(),
        options=options,
        selectable=body.selectable if body.selectable <= len(options) else 0,
    )


def _reaction(body: ReactionBody, to: Recipient, region: str | None) -> c.Reaction:
    if body.from_me:
        if body.sender is not UNSET:
            raise Problem("invalid_request", "reaction.sender: not with fromMe")
        return c.Reaction(message_id=body.message_id, emoji=body.emoji, sender=None)
    if body.sender is UNSET and to.jid.endswith("@g.us"):
        raise Problem(
            "invalid_request", "reaction.sender: needed in a group, unless the message is this company's (fromMe)"
        )
    sender = to.jid if body.sender is UNSET else parse_recipient(body.sender, region).jid
    return c.Reaction(message_id=body.message_id, emoji=body.emoji, sender=sender)


def _writer(written: str | UnsetType, to: Recipient, region: str | None) -> str | None:
    if written is UNSET:
        return None
    if not to.jid.endswith("@g.us"):
        raise Problem(
            "invalid_request", "delete.sender: only in a group; with one person, only own messages can be deleted"
        )
    return parse_recipient(written, region).jid


def _quoted(body: QuotedBody, to: Recipient, region: str | None) -> Quoted:
    if body.sender is None and to.jid.endswith("@g.us"):
        raise Problem("invalid_request", "options.quoted.sender: needed in a group")
    sender = to if body.sender is None else parse_recipient(body.sender, region)
    return Quoted(message_id=body.message_id, sender=sender.jid, text=body.text)


def _escaped(text: str) -> str:
    for special in ("\\", ";", ","):
        text = text.replace(special, f"\\{special}")
    return text
