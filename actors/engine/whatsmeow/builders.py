"""Builds messages of every kind as the library's protobufs. Pure."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any, Final

from actors.engine.protocol import contents as c
from actors.engine.protocol.messages import QuotedMessage, SendContent, SendText
from actors.engine.whatsmeow.timers import Timer

_FIELDS: Final = {
    "image": "imageMessage",
    "video": "videoMessage",
    "audio": "audioMessage",
    "document": "documentMessage",
    "sticker": "stickerMessage",
}
_REVOKE: Final = 0
_EDIT: Final = 14
_SECRET_BYTES: Final = 32


def build_message(e2e: Any, request: SendText | SendContent, timer: Timer | None = None) -> Any:
    """Return the message that ``request`` asks for, disappearing by ``timer``. The caller has checked the recipient."""
    message = _build(e2e, request, timer)
    if not _is_about_another(request):
        # As WhatsApp's own clients do: votes are encrypted under the secret, and the library records sent messages by it.
        message.messageContextInfo.messageSecret = secrets.token_bytes(_SECRET_BYTES)
    return message


def _is_about_another(request: SendText | SendContent) -> bool:
    return isinstance(request, SendContent) and isinstance(request.content, c.Reaction | c.Edit | c.Delete)


def _build(e2e: Any, request: SendText | SendContent, timer: Timer | None) -> Any:
    context = _context(e2e, request.quoted, request.mentions, timer)
    if isinstance(request, SendText):
        return _text_message(e2e, request.text, context)
    match request.content:
        case c.Media():
            return _media(e2e, request.content, context)
        case c.Location() as place:
            return e2e.Message(
                locationMessage=e2e.LocationMessage(
                    degreesLatitude=place.latitude,
                    degreesLongitude=place.longitude,
                    name=place.name or None,
                    address=place.address or None,
                    contextInfo=context,
                )
            )
        case c.Contact(name, vcard):
            return e2e.Message(contactMessage=e2e.ContactMessage(displayName=name, vcard=vcard, contextInfo=context))
        case c.Poll() as poll:
            return _poll(e2e, poll, context)
        case _:
            return _about_another(e2e, request)


def _about_another(e2e: Any, request: SendContent) -> Any:
    """Return a message that changes an earlier one."""
    match request.content:
        case c.Reaction(message_id, emoji, sender):
            key = _key(e2e, request.to, message_id, sender)
            now_ms = int(time.time() * 1000)
            return e2e.Message(reactionMessage=e2e.ReactionMessage(key=key, text=emoji, senderTimestampMS=now_ms))
        case c.Edit(message_id, text):
            key = _key(e2e, request.to, message_id, None)
            protocol = e2e.ProtocolMessage(
                key=key,
                type=_EDIT,
                editedMessage=_text_message(e2e, text, _context(e2e, None, request.mentions)),
                timestampMS=int(time.time() * 1000),
            )
            inner = e2e.Message(protocolMessage=protocol)
            return e2e.Message(editedMessage=e2e.FutureProofMessage(message=inner))
        case c.Delete(message_id, sender):
            key = _key(e2e, request.to, message_id, sender)
            return e2e.Message(protocolMessage=e2e.ProtocolMessage(key=key, type=_REVOKE))
        case _:
            raise TypeError(type(request.content).__name__)


def _text_message(e2e: Any, text: str, context: Any) -> Any:
    if context is None:
        return e2e.Message(conversation=text)
    return e2e.Message(extendedTextMessage=e2e.ExtendedTextMessage(text=text, contextInfo=context))


def _media(e2e: Any, media: c.Media, context: Any) -> Any:
    file = media.file
    message = e2e.Message()
    part = getattr(message, _FIELDS[file.kind])
    part.URL = file.url
    part.directPath = file.direct_path
    part.mediaKey = file.media_key
    part.fileSHA256 = file.file_sha256
    part.fileEncSHA256 = file.file_enc_sha256
    part.fileLength = file.size
    part.mimetype = file.mimetype
    part.mediaKeyTimestamp = int(time.time())
    if media.caption:
        part.caption = media.caption
    if file.kind == "document":
        part.fileName = part.title = file.file_name
    if file.kind == "audio":
        part.PTT = media.voice
    if file.kind in {"audio", "video"}:
        part.seconds = file.seconds
    _describe_picture(part, file)
    if context is not None:
        part.contextInfo.CopyFrom(context)
    return message


def _describe_picture(part: Any, file: c.StoredFile) -> None:
    if file.kind in {"image", "video", "sticker"} and file.width and file.height:
        part.width, part.height = file.width, file.height
    if file.kind in {"image", "video"} and file.thumbnail:
        part.JPEGThumbnail = file.thumbnail
    if file.kind == "sticker":
        part.isAnimated = file.animated


def _poll(e2e: Any, poll: c.Poll, context: Any) -> Any:
    options = [e2e.PollCreationMessage.Option(optionName=option) for option in poll.options]
    creation = e2e.PollCreationMessage(
        name=poll.question, options=options, selectableOptionsCount=poll.selectable, contextInfo=context
    )
    return e2e.Message(pollCreationMessage=creation)


def _key(e2e: Any, chat: str, message_id: str, sender: str | None) -> Any:
    """Return the key of an earlier message as WhatsApp names it: in a group with its author, unless that is this company."""
    key = e2e.ReactionMessage().key
    key.remoteJID = chat
    key.fromMe = sender is None
    key.ID = message_id
    if sender is not None and chat.endswith("@g.us"):
        key.participant = _without_device(sender)
    return key


def _context(e2e: Any, quoted: QuotedMessage | None, mentions: Sequence[str], timer: Timer | None = None) -> Any:
    """Return the context of a message; None when it would be empty."""
    if quoted is None and not mentions and timer is None:
        return None
    context = e2e.ContextInfo(mentionedJID=[_without_device(jid) for jid in mentions])
    if timer is not None:
        context.expiration = timer.seconds
        if timer.since:
            context.ephemeralSettingTimestamp = timer.since
    if quoted is not None:
        context.stanzaID = quoted.message_id
        context.participant = _without_device(quoted.sender)
        context.quotedMessage.conversation = quoted.text
    return context


def _without_device(jid: str) -> str:
    user, at, server = jid.partition("@")
    return user.partition(":")[0] + at + server
