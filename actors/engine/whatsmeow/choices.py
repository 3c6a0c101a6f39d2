"""What businesses' clients send beside text: choices, the answers to them, and the ad that a conversation began at.

Pure; reads protobuf objects. Texts come as they are; the caller cleans and cuts them.
"""

from __future__ import annotations

from typing import Any, Final

MAX_CONTACTS: Final = 64
_SECRET_EDITS: Final = {1: "event_edited", 2: "edited", 4: "poll_edited", 5: "poll_option_added"}
"""Payload kinds by the kind of the change that is encrypted under a message's secret."""

FIELDS: Final = {
    "buttonsResponseMessage": "buttons_response",
    "templateButtonReplyMessage": "buttons_response",
    "listResponseMessage": "list_response",
    "interactiveResponseMessage": "interactive_response",
    "interactiveMessage": "interactive",
    "secretEncryptedMessage": "edited",
    "encReactionMessage": "reaction",
    "encCommentMessage": "comment",
    "encEventResponseMessage": "event_response",
}
"""Fields of the Message protobuf that this module describes, with the payload kind of each."""


def described(kind: str, content: Any) -> dict[str, Any] | None:
    """Return the payload's part for a field of `FIELDS`; None where an application could use nothing of it."""
    match kind:
        case "buttons_response":
            chosen = getattr(content, "selectedButtonID", "") or getattr(content, "selectedID", "")
            return {"kind": kind, "text": content.selectedDisplayText, "selectedId": chosen}
        case "list_response":
            return {"kind": kind, "text": content.title, "selectedId": content.singleSelectReply.selectedRowID}
        case "interactive_response":
            flow = content.nativeFlowResponseMessage
            return {"kind": kind, "text": content.body.text, "response": {"name": flow.name, "params": flow.paramsJSON}}
        case "interactive":
            return {"kind": kind, "text": content.body.text}
        case "reaction":
            return {"kind": kind, "reactionTo": content.targetMessageKey.ID, "undecryptable": True}
        case "comment":
            return {"kind": kind, "details": {"messageId": content.targetMessageKey.ID}, "undecryptable": True}
        case "event_response":
            return {"kind": kind, "details": {"eventId": content.eventCreationMessageKey.ID}, "undecryptable": True}
        case _:
            return _encrypted(content)


def contacts(content: Any) -> list[dict[str, str]]:
    """Return the name and vcard of each contact."""
    return [{"name": each.displayName, "vcard": each.vcard} for each in content.contacts[:MAX_CONTACTS]]


def ad_referral(context: Any) -> dict[str, str] | None:
    """Return the ad, or other entry point, that the conversation began at; None for an ordinary message."""
    ad = context.externalAdReply
    found = {
        "title": ad.title,
        "body": ad.body,
        "sourceType": ad.sourceType,
        "sourceId": ad.sourceID,
        "sourceUrl": ad.sourceURL,
        "ctwaClid": ad.ctwaClid,
        "entryPoint": context.entryPointConversionSource,
    }
    # A link's preview has a title and a body as well; only an ad or an entry point says where the conversation began.
    began = ("sourceId", "ctwaClid", "entryPoint")
    return {name: text for name, text in found.items() if text} if any(found[name] for name in began) else None


def _encrypted(content: Any) -> dict[str, Any] | None:
    """Describe a change that is encrypted under the original's secret: only which message was changed is in the clear."""
    kind = _SECRET_EDITS.get(content.secretEncType)
    return None if kind is None else {"kind": kind, "editedId": content.targetMessageKey.ID, "undecryptable": True}
