"""How each field of the Message protobuf is described. docs/messages.md has the same as a table; a test holds the three together.

A wrapper is unwrapped. Fields for devices alone make no message to an application. Fields of `NAMED` have a kind of their own, a ``text``
where people see one, and ``details``. actors/engine/whatsmeow/payloads.py and choices.py describe the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from actors.engine.whatsmeow.shapes import Fields, described, text_at

WRAPPERS: Final = frozenset({
    "ephemeralMessage", "viewOnceMessage", "viewOnceMessageV2", "viewOnceMessageV2Extension", "documentWithCaptionMessage",
    "editedMessage", "deviceSentMessage", "associatedChildMessage", "groupMentionedMessage", "botInvokeMessage", "lottieStickerMessage",
    "eventCoverImage", "pollCreationOptionImageMessage", "pollCreationMessageV4", "statusAddYours", "groupStatusMessage",
    "limitSharingMessage", "botTaskMessage", "questionMessage", "groupStatusMessageV2", "botForwardedMessage", "questionReplyMessage",
    "newsletterAdminProfileMessage", "spoilerMessage", "newsletterAdminProfileStatusMessage", "botPlatformRegistrationSuccessMessage",
    "newsletterScheduledMessage", "acp2SettingMessage", "audioStickerMessage",
})  # fmt: skip
"""Fields that hold nothing but another message."""

PROTOCOL: Final = frozenset({
    "senderKeyDistributionMessage", "fastRatchetKeySenderKeyDistributionMessage", "messageContextInfo", "stickerSyncRmrMessage",
    "messageHistoryBundle", "groupRootKeyShare", "rootSecretDistributeMessage", "statusLinkPreviewMetadata",
})  # fmt: skip
"""Fields that are for devices alone. A message with no other field is not reported."""


@dataclass(frozen=True, slots=True)
class Named:
    """How a field is described."""

    kind: str
    text: str = ""
    """The path of its text (`shapes.text_at`); empty when it has none."""
    fields: Fields | None = None
    """The fields of its ``details``."""
    file: tuple[str, ...] = ()
    """Paths of pictures, films and documents in it; it has one at most."""

    def describe(self, content: Any) -> dict[str, Any]:
        """Return the payload's part for the field's ``content``."""
        text = text_at(content, self.text) if self.text else ""
        details = described(content, self.fields) if self.fields else {}
        return {"kind": self.kind} | ({"text": text} if text else {}) | ({"details": details} if details else {})


_NOTE: Final = "noteMessage.extendedTextMessage.text|noteMessage.conversation"
_PARTICIPANT: Final[Fields] = {
    "id": "JID", "status": "status", "value": "amount.value", "offset": "amount.offset", "currency": "amount.currencyCode",
}  # fmt: skip
_BUTTONS: Final[Fields] = {
    "id": "quickReplyButton.ID",
    "text": "quickReplyButton.displayText|urlButton.displayText|callButton.displayText",
    "url": "urlButton.URL",
    "phone": "callButton.phoneNumber",
}
_ROWS: Final[Fields] = {"id": "rowID", "title": "title", "description": "description"}
_CHANNEL: Final[Fields] = {"channelId": "newsletterJID", "name": "newsletterName"}
_POLL_RESULT: Final = Named(
    "poll_result",
    "name",
    {"votes": ("pollVotes", {"option": "optionName", "count": "optionVoteCount"}), "type": "pollType"},
)
_TEMPLATE: Final = ("hydratedTemplate", "hydratedFourRowTemplate")


def _either(path: str) -> str:
    return "|".join(f"{template}.{path}" for template in _TEMPLATE)


def _money(path: str) -> dict[str, str]:
    """Return the fields of an amount of money, which WhatsApp gives in parts of a unit: ``value / offset``."""
    return {"value": f"{path}.value", "offset": f"{path}.offset", "currency": f"{path}.currencyCode"}


NAMED: Final[dict[str, Named]] = {
    # --- businesses' choices ---
    "buttonsMessage": Named(
        "buttons", "contentText",
        {"title": "text", "footer": "footerText", "buttons": ("buttons", {"id": "buttonID", "text": "buttonText.displayText"})},
        ("imageMessage", "videoMessage", "documentMessage"),
    ),
    "listMessage": Named("list", "description|title", {
        "title": "title", "button": "buttonText", "footer": "footerText",
        "sections": ("sections", {"title": "title", "rows": ("rows", _ROWS)}),
    }),
    "templateMessage": Named(
        "template", _either("hydratedContentText") + "|interactiveMessageTemplate.body.text",
        {
            "id": "templateID", "title": _either("hydratedTitleText"), "footer": _either("hydratedFooterText"),
            "buttons": (_either("hydratedButtons"), _BUTTONS),
        },
        tuple(f"{template}.{part}Message" for template in _TEMPLATE for part in ("image", "video", "document")),
    ),
    "highlyStructuredMessage": Named(
        "template", "hydratedHsm.hydratedTemplate.hydratedContentText", {"name": "elementName", "parameters": "params"}
    ),
    # --- trade ---
    "productMessage": Named(
        "product", "body|product.title",
        {
            "productId": "product.productID", "title": "product.title", "description": "product.description",
            "currency": "product.currencyCode", "priceThousandths": "product.priceAmount1000", "retailerId": "product.retailerID",
            "url": "product.URL", "businessId": "businessOwnerJID", "footer": "footer",
        },
        ("product.productImage", "catalog.catalogImage"),
    ),
    "orderMessage": Named("order", "message|orderTitle", {
        "orderId": "orderID", "token": "token", "title": "orderTitle", "items": "itemCount", "totalThousandths": "totalAmount1000",
        "currency": "totalCurrencyCode", "sellerId": "sellerJID", "status": "status",
    }),
    "invoiceMessage": Named("invoice", "note", {"token": "token", "mimetype": "attachmentMimetype"}),
    "sendPaymentMessage": Named("payment", _NOTE, {"requestId": "requestMessageKey"}),
    "requestPaymentMessage": Named("payment_request", _NOTE, {
        "amountThousandths": "amount1000", "currency": "currencyCodeIso4217", "from": "requestFrom", "expiresAt": "expiryTimestamp",
    }),
    "declinePaymentRequestMessage": Named("payment_declined", "", {"requestId": "key"}),
    "cancelPaymentRequestMessage": Named("payment_cancelled", "", {"requestId": "key"}),
    "paymentInviteMessage": Named("payment_invite", "", {"service": "serviceType", "expiresAt": "expiryTimestamp"}),
    "paymentReminderMessage": Named(
        "payment_reminder", "description",
        {"reminderId": "reminderID", "payeeId": "payeeJID", "payerId": "payerJID", "status": "status", "frequency": "frequency"}
        | _money("amount"),
    ),
    "splitPaymentMessage": Named(
        "split_payment", "description",
        {
            "splitId": "splitID", "requesterId": "requesterJID", "participants": ("participants", _PARTICIPANT), **_money("totalAmount"),
        },
    ),
    "splitPaymentUpdateMessage": Named("split_payment_update", "", {"splitId": "splitID", "participantId": "participantJID"}),
    # --- groups, channels, bots ---
    "groupInviteMessage": Named(
        "group_invite", "caption",
        {"groupId": "groupJID", "name": "groupName", "code": "inviteCode", "expiresAt": "inviteExpiration", "groupType": "groupType"},
    ),
    "newsletterAdminInviteMessage": Named("channel_admin_invite", "caption", {**_CHANNEL, "expiresAt": "inviteExpiration"}),
    "newsletterFollowerInviteMessageV2": Named("channel_invite", "caption", _CHANNEL),
    "richResponseMessage": Named("bot_response", "submessages.messageText"),
    # --- what refers to another message ---
    "albumMessage": Named("album", "", {"images": "expectedImageCount", "videos": "expectedVideoCount"}),
    "keepInChatMessage": Named("keep", "", {"messageId": "key", "action": "keepType"}),
    "pinInChatMessage": Named("pin", "", {"messageId": "key", "action": "type"}),
    "commentMessage": Named("comment", "message.extendedTextMessage.text|message.conversation", {"messageId": "targetMessageKey"}),
    "statusQuestionAnswerMessage": Named("status_answer", "text", {"messageId": "key"}),
    "questionResponseMessage": Named("question_response", "text", {"messageId": "key"}),
    "statusQuotedMessage": Named("status_quoted", "text", {"messageId": "originalStatusID", "type": "type"}),
    "statusStickerInteractionMessage": Named("status_sticker", "", {"messageId": "key", "type": "type", "sticker": "stickerKey"}),
    "statusNotificationMessage": Named(
        "status_notification", "", {"messageId": "originalMessageKey", "responseId": "responseMessageKey", "type": "type"}
    ),
    "statusMentionMessage": Named("status_mention", "", {"messageId": "message.protocolMessage.key"}),
    "groupStatusMentionMessage": Named("status_mention", "", {"messageId": "message.protocolMessage.key"}),
    # --- polls and events ---
    "pollAddOptionMessage": Named("poll_option_added", "addOption.optionName", {"pollId": "pollCreationMessageKey"}),
    "pollResultSnapshotMessage": _POLL_RESULT,
    "pollResultSnapshotMessageV3": _POLL_RESULT,
    "eventMessage": Named("event", "name", {
        "description": "description", "startsAt": "startTime", "endsAt": "endTime", "joinLink": "joinLink", "cancelled": "isCanceled",
        "place": "location.name", "address": "location.address", "latitude": "location.degreesLatitude",
        "longitude": "location.degreesLongitude", "extraGuests": "extraGuestsAllowed",
    }),
    "eventInviteMessage": Named("event_invite", "caption|eventTitle", {
        "eventId": "eventID", "title": "eventTitle", "startsAt": "startTime", "endsAt": "endTime", "callLink": "callLink",
        "cancelled": "isCanceled",
    }),
    # --- calls ---
    "call": Named("call", "callReason", {"entryPoint": "callEntryPoint", "source": "conversionSource"}),
    "bcallMessage": Named("broadcast_call", "caption", {"sessionId": "sessionID", "media": "mediaType"}),
    "scheduledCallCreationMessage": Named("scheduled_call", "title", {"atMs": "scheduledTimestampMS", "type": "callType"}),
    "scheduledCallEditMessage": Named("scheduled_call_edit", "", {"messageId": "key", "action": "editType"}),
    "callLogMesssage": Named("call_log", "", {
        "video": "isVideo", "outcome": "callOutcome", "seconds": "durationSecs", "type": "callType",
        "participants": ("participants", {"id": "JID", "outcome": "callOutcome"}),
    }),
    # --- others ---
    "chat": Named("chat", "displayName", {"id": "ID"}),
    "stickerPackMessage": Named("sticker_pack", "name", {
        "packId": "stickerPackID", "publisher": "publisher", "caption": "caption", "description": "packDescription",
        "stickers": ("stickers", {"fileName": "fileName", "mimetype": "mimetype", "emojis": "emojis", "animated": "isAnimated"}),
    }),
    "musicMessage": Named("music", "embeddedMusic.title", {"artist": "embeddedMusic.author", "url": "songUri"}),
    "requestPhoneNumberMessage": Named("phone_number_request"),
    "placeholderMessage": Named("placeholder", "", {"type": "type"}),
    "messageHistoryNotice": Named("history_notice"),
    "conditionalRevealMessage": Named("conditional_reveal", "", {"type": "conditionalRevealMessageType"}),
}  # fmt: skip
"""Fields that were `unsupported` before they had a kind."""


def file_in(field: str, content: Any) -> Any | None:
    """Return the picture, film or document at the head of a `NAMED` field; None when it has none."""
    for path in NAMED[field].file:
        owner = content
        *parents, last = path.split(".")
        for parent in parents:
            owner = getattr(owner, parent)
        if owner.HasField(last):
            return getattr(owner, last)
    return None
