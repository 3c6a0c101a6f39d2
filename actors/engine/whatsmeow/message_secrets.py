"""Decrypts what WhatsApp encrypts under an earlier message's secret: edits, votes, answers to events, some reactions and comments. Pure.

Key: HKDF-SHA256 of the secret with no salt and ``<id of that message><its sender><sender of the change><purpose>``; AES-256-GCM
(whatsmeow, msgsecret.go). Either sender may be named by number or by LID, as its client chose: every combination is tried.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from actors.engine.whatsmeow.payloads import clean_text, content_of, unwrap

SEALED_KINDS: Final = frozenset({
    "edited", "event_edited", "poll_edited", "poll_option_added", "poll_vote", "event_response", "reaction", "comment",
})  # fmt: skip
"""Kinds of payloads that may hold a sealed part."""
_SECRET_BYTES: Final = 32
_IV_BYTES: Final = 12
_AUTHENTICATED: Final = frozenset({"Poll Vote", "Event Response"})
"""Purposes for which AES-GCM also authenticates the message's id and the sender."""
_CHANGES: Final = {
    1: ("Event Edit",),
    2: ("Message Edit",),
    4: ("Poll Edit",),
    5: ("Poll Add Option", "Poll Edit"),
}
"""Purposes by the kind of a secretEncryptedMessage, tried in this order."""
_AUTHORS_ALONE: Final = frozenset({1, 2, 4})
"""The kinds that only the message's author may send: the other members of a group know the secret too."""


@dataclass(frozen=True, slots=True)
class Secret:
    """The secret of one message, with every address of its author."""

    key: bytes
    authors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sealed:
    """The encrypted part of a message, which has to be opened before the message can be described."""

    kind: str
    """The payload's kind."""
    target: str
    """The id of the message under whose secret it is encrypted."""
    purposes: tuple[str, ...]
    iv: bytes
    data: bytes
    authors_alone: bool = False


def sealed_in(message: Any) -> Sealed | None:
    """Return the part of a Message that is encrypted under another message's secret; None when there is none."""
    message = unwrap(message)
    if message.HasField("secretEncryptedMessage"):
        part = message.secretEncryptedMessage
        alone = part.secretEncType in _AUTHORS_ALONE
        return _sealed("change", part.targetMessageKey, _CHANGES.get(part.secretEncType, ()), part, alone=alone)
    if message.HasField("pollUpdateMessage"):
        part = message.pollUpdateMessage
        return _sealed("vote", part.pollCreationMessageKey, ("Poll Vote",), part.vote)
    if message.HasField("encEventResponseMessage"):
        part = message.encEventResponseMessage
        return _sealed("answer", part.eventCreationMessageKey, ("Event Response",), part)
    if message.HasField("encReactionMessage"):
        part = message.encReactionMessage
        return _sealed("reaction", part.targetMessageKey, ("Enc Reaction",), part)
    if message.HasField("encCommentMessage"):
        part = message.encCommentMessage
        return _sealed("comment", part.targetMessageKey, ("Enc Comment",), part)
    return None


def open_sealed(sealed: Sealed, senders: Sequence[str], secrets: Iterable[Secret]) -> bytes | None:
    """Return the protobuf inside; None when no secret fits, or the sender may not make this change.

    ``senders``: every address of the change's sender.
    """
    for secret in secrets:
        if sealed.authors_alone and not set(senders) & set(secret.authors):
            continue
        for purpose in sealed.purposes:
            for author, sender in itertools.product(secret.authors, senders):
                if (found := _decrypted(sealed, purpose, author, sender, secret.key)) is not None:
                    return found
    return None


def part_of(e2e: Any, sealed: Sealed, inside: bytes, options: Callable[[str], Sequence[str]]) -> dict[str, Any]:
    """Return the payload's part for the content. ``options`` returns those of a poll by its id, as far as they are known."""
    match sealed.kind:
        case "vote":
            chosen = e2e.PollVoteMessage.FromString(inside).selectedOptions
            return {"details": vote(sealed.target, [bytes(one) for one in chosen], options(sealed.target))}
        case "answer":
            answer = e2e.EventResponseMessage.FromString(inside)
            said = e2e.EventResponseMessage.EventResponseType.Name(answer.response).lower()
            details = {"eventId": sealed.target, "response": said, "extraGuests": answer.extraGuestCount}
            return {"details": details}
        case "reaction":
            return {"text": clean_text(e2e.ReactionMessage.FromString(inside).text)}
        case "comment":
            return {"text": (content_of(e2e.Message.FromString(inside)) or {}).get("text", "")}
        case _:
            found = content_of(e2e.Message.FromString(inside)) or {}
            return {"text": ""} | {name: found[name] for name in ("text", "poll", "details") if name in found}


def vote(poll: str, chosen: Sequence[bytes], options: Sequence[str]) -> dict[str, Any]:
    """Describe a vote: WhatsApp's hashes of the chosen options, and their names if the poll is known."""
    names = {hashlib.sha256(option.encode("utf-8", "surrogatepass")).digest(): option for option in options}
    selected = [names[one] for one in chosen if one in names]
    known = {"selected": selected} if len(selected) == len(chosen) and options else {}
    return {"pollId": poll} | known | {"hashes": [one.hex() for one in chosen]}


def _sealed(kind: str, key: Any, purposes: tuple[str, ...], part: Any, *, alone: bool = False) -> Sealed | None:
    fits = key.ID and purposes and len(part.encIV) == _IV_BYTES
    return Sealed(kind, key.ID, purposes, part.encIV, part.encPayload, alone) if fits else None


def _decrypted(sealed: Sealed, purpose: str, author: str, sender: str, secret: bytes) -> bytes | None:
    # Imported here: it takes megabytes, and most companies never need it.
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(secret) != _SECRET_BYTES:
        return None
    key = derived_key(secret, f"{sealed.target}{author}{sender}{purpose}".encode())
    authenticated = f"{sealed.target}\0{sender}".encode() if purpose in _AUTHENTICATED else None
    try:
        return AESGCM(key).decrypt(sealed.iv, sealed.data, authenticated)
    except (InvalidTag, ValueError):
        return None


def derived_key(secret: bytes, info: bytes) -> bytes:
    """Return 32 bytes of HKDF-SHA256 (RFC 5869) without salt."""
    extracted = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(extracted, info + b"\1", "sha256")
