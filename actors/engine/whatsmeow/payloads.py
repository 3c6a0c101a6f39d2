"""Messages and receipts of the library as the event payloads that applications see. Pure; reads protobuf objects, writes JSON.

A payload holds: messageId, chat ``{id, pn, lid, kind}``, sender ``{id, pn, lid}``, fromMe, pushName, timestamp (unix seconds), kind, and
by kind ``text``, ``media``, ``location``, ``contact``, ``poll`` …; ``quotedId`` for a reply, ``mentions``. Ids are JIDs without device
part.
"""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import Any, Final, cast

import msgspec

from actors.engine.whatsmeow import choices, kinds
from actors.engine.whatsmeow.shapes import rendered
from actors.engine.whatsmeow.timers import SETTING

MAX_TEXT_CHARACTERS: Final = 65_536
"""WhatsApp's own limit for a text message; a longer one from a peer is cut."""

MAX_MENTIONS: Final = 256
MAX_OPTIONS: Final = 32

_MAX_WRAPPERS: Final = 100
"""The depth to which the library reads a protobuf."""

MEDIA: Final = {
    "imageMessage": "image",
    "videoMessage": "video",
    "audioMessage": "audio",
    "documentMessage": "document",
    "stickerMessage": "sticker",
    "ptvMessage": "video",
}
FILES: Final = {"ImageMessage": "image", "VideoMessage": "video", "DocumentMessage": "document"}
OTHERS: Final = {
    "locationMessage": "location",
    "liveLocationMessage": "location",
    "contactMessage": "contact",
    "contactsArrayMessage": "contact",
    "reactionMessage": "reaction",
    "pollCreationMessage": "poll",
    "pollCreationMessageV2": "poll",
    "pollCreationMessageV3": "poll",
    "pollCreationMessageV5": "poll",
    "pollCreationMessageV6": "poll",
    "pollUpdateMessage": "poll_vote",
    "protocolMessage": "protocol",
}

_RECEIPTS: Final = {
    1: "delivered", 2: "sender", 3: "retry", 4: "read", 5: "read_self", 6: "played", 7: "played_self", 8: "server_error", 9: "inactive",
    10: "peer", 11: "history_sync",
}  # fmt: skip

_REVOKE: Final = 0
_EDIT: Final = 14
_TIMERS: Final = frozenset({3, 4})
"""Types of protocol messages that set a chat's timer or repeat it to another device."""


def message_payload(event: Any) -> dict[str, Any] | None:
    """Return the payload of a Message event; None for one that is for devices alone (key distribution, history and state sync)."""
    message = unwrap(event.Message)
    content = _content(message)
    if content is None:
        return None
    payload = _envelope(event.Info) | content
    context = _context(message)
    if context is None:
        return payload
    if context.stanzaID:
        payload["quotedId"] = _clean(context.stanzaID)
    if context.mentionedJID:
        payload["mentions"] = [_clean(jid) for jid in context.mentionedJID[:MAX_MENTIONS]]
    if (referral := choices.ad_referral(context)) is not None:
        payload["adReferral"] = _cleaned(referral)
    if context.expiration:
        payload |= _timer(context.expiration, context.ephemeralSettingTimestamp)
    return payload


def find_media(message: Any) -> tuple[Any, Any] | None:
    """Return the kind and the part of a message that describes a file; None when it has no file."""
    message = unwrap(message)
    field = next((name for name in MEDIA if message.HasField(name)), None)
    if field is not None:
        return MEDIA[field], getattr(message, field)
    named = next((name for name in _names(message) if name in kinds.NAMED), None)
    part = None if named is None else kinds.file_in(named, getattr(message, named))
    return None if part is None else (FILES[part.DESCRIPTOR.name], part)


def content_of(message: Any) -> dict[str, Any] | None:
    """Return the part of a payload that says what a message is; None for a message that is for devices alone."""
    return _content(unwrap(message))


def receipt_payload(event: Any) -> dict[str, Any]:
    """Return the payload of a Receipt event: which messages, of which chat, and what happened to them."""
    source = event.MessageSource
    return {
        "messageIds": [_clean(identifier) for identifier in event.MessageIDs],
        "chat": _chat(source),
        "sender": _party(source.Sender, source.SenderAlt),
        "kind": _RECEIPTS.get(event.Type, "unknown"),
        "timestamp": event.Timestamp,
    }


_UNDECRYPTABLE: Final = MappingProxyType({"kind": "undecryptable", "code": "undecryptable"})
"""``code`` is a field of every `error` event."""


def undecryptable_payload(event: Any) -> dict[str, Any]:
    """Return the payload for a message that could not be decrypted; ``unavailable``: WhatsApp never sent its contents to this device."""
    return _envelope(event.Info) | dict(_UNDECRYPTABLE) | {"unavailable": bool(event.IsUnavailable)}


def lost_payload(message_id: str, sender: str, chat: str) -> dict[str, Any]:
    """Return the payload for a message that was lost here, of which only these facts are known (JIDs as the library writes them)."""
    kind = _chat_kind(chat.rpartition("@")[2])
    return {
        "messageId": _clean(message_id),
        "chat": _named_party(chat) | {"kind": kind},
        "sender": _named_party(sender),
        "fromMe": False,
        "pushName": "",
        "timestamp": time.time(),
        "unavailable": False,
    } | dict(_UNDECRYPTABLE)


def _named_party(jid: str) -> dict[str, str | None]:
    user, _, server = jid.partition("@")
    text = f"{user.partition(':')[0]}@{server}"
    return {"id": text, "pn": text if server == "s.whatsapp.net" else None, "lid": text if server == "lid" else None}


def encode(payload: dict[str, Any]) -> bytes:
    """Return the payload as JSON."""
    return msgspec.json.encode(payload)


def jid_text(jid: Any) -> str | None:
    """Return ``user@server`` of a protobuf JID, without agent and device; None for an empty JID."""
    if jid is None or not jid.Server:
        return None
    return _clean(f"{jid.User}@{jid.Server}" if jid.User else jid.Server)


# --- parts ------------------------------------------------------------------------------------------------------------


def _envelope(info: Any) -> dict[str, Any]:
    source = info.MessageSource
    return {
        "messageId": _clean(info.ID),
        "chat": _chat(source),
        "sender": _party(source.Sender, source.SenderAlt),
        "fromMe": bool(source.IsFromMe),
        "pushName": _clean(info.Pushname),
        "timestamp": info.Timestamp / 1000,
    }


def _chat(source: Any) -> dict[str, Any]:
    chat = source.Chat
    kind = _chat_kind(chat.Server)
    if kind != "user":
        return {"id": jid_text(chat), "pn": None, "lid": None, "kind": kind}
    other = source.RecipientAlt if source.IsFromMe else source.SenderAlt
    return _party(chat, other) | {"kind": kind}


def _chat_kind(server: str) -> str:
    match server:
        case "g.us":
            return "group"
        case "broadcast":
            return "broadcast"
        case "newsletter":
            return "newsletter"
        case _:
            return "user"


def _party(jid: Any, other: Any) -> dict[str, str | None]:
    """Return the id of a chat or sender as it came, and both its forms as far as WhatsApp gave them."""
    texts = [text for text in (jid_text(jid), jid_text(other)) if text is not None]
    return {
        "id": texts[0] if texts else None,
        "pn": next((text for text in texts if text.endswith("@s.whatsapp.net")), None),
        "lid": next((text for text in texts if text.endswith("@lid")), None),
    }


def unwrap(message: Any) -> Any:
    """Return the message inside all its wrappers."""
    for _ in range(_MAX_WRAPPERS):
        inner = _wrapped(message)
        if inner is None:
            return message
        message = inner
    return message


def _wrapped(message: Any) -> Any | None:
    """Return the message inside a wrapper; None when the message is not a wrapper."""
    for descriptor, value in message.ListFields():
        if descriptor.name in kinds.WRAPPERS:
            return value.message
    return None


def _names(message: Any) -> list[str]:
    return [descriptor.name for descriptor, _ in message.ListFields()]


def _content(message: Any) -> dict[str, Any] | None:
    if message.HasField("conversation"):
        return {"kind": "text", "text": clean_text(message.conversation)}
    if message.HasField("extendedTextMessage"):
        return {"kind": "text", "text": clean_text(message.extendedTextMessage.text)}
    for field, kind in MEDIA.items():
        if message.HasField(field):
            return _media(kind, getattr(message, field))
    for field, kind in OTHERS.items():
        if message.HasField(field):
            return _other(kind, getattr(message, field))
    for field, kind in choices.FIELDS.items():
        if message.HasField(field):
            found = choices.described(kind, getattr(message, field))
            return _named_kind(field, getattr(message, field)) if found is None else _cleaned(found)
    names = [name for name in _names(message) if name not in kinds.PROTOCOL]
    return _named_kind(names[0], getattr(message, names[0])) if names else None


def _named_kind(field: str, content: Any) -> dict[str, Any]:
    """Describe a field of `NAMED`; any other is `unsupported`, with its name and content."""
    named = kinds.NAMED.get(field)
    if named is None:
        return _cleaned({"kind": "unsupported", "field": field, "content": rendered(content)})
    found = _cleaned(named.describe(content))
    part = kinds.file_in(field, content)
    return found if part is None else found | {"media": _media(FILES[part.DESCRIPTOR.name], part)["media"]}


def _media(kind: str, media: Any) -> dict[str, Any]:
    described: dict[str, Any] = {"mimetype": _clean(media.mimetype), "size": media.fileLength}
    caption = clean_text(getattr(media, "caption", ""))
    if caption:
        described["caption"] = caption
    if kind == "document":
        described["fileName"] = _clean(media.fileName)
    if kind in {"audio", "video"}:
        described["seconds"] = media.seconds
    if kind == "audio":
        described["voice"] = bool(media.PTT)
    return {"kind": kind, "media": described} | ({"text": caption} if caption else {})


def _other(kind: str, content: Any) -> dict[str, Any] | None:
    match kind:
        case "location":
            return {
                "kind": kind,
                "location": {"latitude": content.degreesLatitude, "longitude": content.degreesLongitude}
                | _place(content),
            }
        case "contact":
            more: dict[str, Any] = (
                {"vcard": clean_text(content.vcard)}
                if hasattr(content, "vcard")
                else {"contacts": [_cleaned(each) for each in choices.contacts(content)]}
            )
            return {"kind": kind, "text": clean_text(content.displayName)} | more
        case "reaction":
            return {"kind": kind, "text": clean_text(content.text), "reactionTo": _clean(content.key.ID)}
        case "poll":
            options = [clean_text(option.optionName) for option in content.options[:MAX_OPTIONS]]
            poll = {"options": options, "selectable": content.selectableOptionsCount}
            return {"kind": kind, "text": clean_text(content.name), "poll": poll}
        case "protocol":
            return _protocol(content)
        case _:
            return {"kind": kind}


def _protocol(content: Any) -> dict[str, Any] | None:
    """Describe an edit, a deletion or a timer; None for the others, which are for devices alone."""
    if content.type == _REVOKE and content.HasField("key") and content.key.ID:
        return {"kind": "deleted", "deletedId": _clean(content.key.ID)}
    if content.type == _EDIT:
        edited = _content(unwrap(content.editedMessage)) or {}
        return {"kind": "edited", "editedId": _clean(content.key.ID), "text": edited.get("text", "")}
    if content.type in _TIMERS:
        return {"kind": SETTING} | _timer(content.ephemeralExpiration, content.ephemeralSettingTimestamp)
    return None


def _timer(seconds: int, since: int) -> dict[str, int]:
    """Describe how long the chat's messages stay, and since when, as far as the sender says."""
    return {"ephemeralExpiration": seconds} | ({"ephemeralSettingTimestamp": since} if since > 0 else {})


def _place(content: Any) -> dict[str, str]:
    named = {name: clean_text(getattr(content, name, "")) for name in ("name", "address")}
    return {name: text for name, text in named.items() if text}


def _context(message: Any) -> Any:
    """Return the context (quoted message, mentions …) of a message; None when it has none."""
    for descriptor, value in message.ListFields():
        if (
            descriptor.message_type is not None
            and "contextInfo" in descriptor.message_type.fields_by_name
            and descriptor.name != "messageContextInfo"
        ):
            return value.contextInfo
    return None


def _cleaned(found: dict[str, Any]) -> dict[str, Any]:
    """Return the payload with every text, at any depth, cleaned and cut for Postgres."""
    return {name: _cleaned_value(value) for name, value in found.items()}


def _cleaned_value(value: Any) -> Any:
    if isinstance(value, dict):
        return _cleaned(cast("dict[str, Any]", value))
    if isinstance(value, list):
        rows = cast("list[Any]", cast("object", value))
        return [_cleaned_value(row) for row in rows]
    return clean_text(value) if isinstance(value, str) else value


def clean_text(text: str) -> str:
    """Return the text cleaned for Postgres, and cut."""
    return _clean(text)[:MAX_TEXT_CHARACTERS]


def _clean(text: str) -> str:
    """Replace NUL, which Postgres' JSONB does not take: a peer's text must not stop the event log."""
    return text.replace("\x00", "\ufffd")
