"""Messages and receipts as applications see them."""

from __future__ import annotations

from typing import Any

import pytest

from actors.engine.whatsmeow.events import Incoming, decode
from actors.engine.whatsmeow.library import Library
from actors.engine.whatsmeow.payloads import MAX_TEXT_CHARACTERS


def jid(library: Library, text: str) -> Any:
    """The library's JID."""
    user, _, server = text.rpartition("@")
    return library.protobufs.JID(User=user, Server=server, RawAgent=0, Device=0, Integrator=0, IsEmpty=not server)


def source(library: Library, **changes: Any) -> Any:
    """Where a message came from: by default a person known by LID and number."""
    fields: dict[str, Any] = {
        "Chat": jid(library, "100000000000002@lid"), "Sender": jid(library, "100000000000002@lid"),
        "SenderAlt": jid(library, "79000000002@s.whatsapp.net"), "RecipientAlt": jid(library, ""), "IsFromMe": False, "IsGroup": False,
        "BroadcastListOwner": jid(library, ""),
    }  # fmt: skip
    return library.protobufs.MessageSource(**(fields | changes))


def message_event(library: Library, message: Any, **changes: Any) -> Any:
    """The library's event for a message."""
    info = library.protobufs.MessageInfo(
        MessageSource=source(library, **changes), ID="3EB0", Pushname="Name", Timestamp=1795227239000, Type="text", ServerID=0,
        Category="", Multicast=False, MediaType="", Edit="",
    )  # fmt: skip
    return library.protobufs.Message(Info=info, Message=message)


def payload(library: Library, message: Any, **changes: Any) -> dict[str, Any] | None:
    """The payload that the event spool gets for a message."""
    event = message_event(library, message, **changes)
    incoming = decode(library.protobufs, 17, event.SerializePartialToString())
    assert incoming is None or isinstance(incoming, Incoming)
    return None if incoming is None else incoming.payload


def content(library: Library, message: Any) -> dict[str, Any]:
    """Only what depends on the message's kind."""
    found = payload(library, message) or {}
    return {
        name: value
        for name, value in found.items()
        if name not in {"messageId", "chat", "sender", "fromMe", "pushName", "timestamp"}
    }


def test_a_text_message_has_all_fields(library: Library) -> None:
    """Ids in both forms, names, times in seconds, the text."""
    found = payload(library, library.messages.Message(conversation="hello"))

    both = {"id": "100000000000002@lid", "pn": "79000000002@s.whatsapp.net", "lid": "100000000000002@lid"}
    assert found == {
        "messageId": "3EB0", "chat": both | {"kind": "user"}, "sender": both, "fromMe": False, "pushName": "Name",
        "timestamp": 1795227239.0, "kind": "text", "text": "hello",
    }  # fmt: skip


def test_a_group_message_names_the_group_and_the_sender(library: Library) -> None:
    """The chat is the group; the sender keeps both forms."""
    found = payload(
        library, library.messages.Message(conversation="x"), Chat=jid(library, "120363000000000001@g.us"), IsGroup=True
    )

    assert found is not None
    assert found["chat"] == {"id": "120363000000000001@g.us", "pn": None, "lid": None, "kind": "group"}
    assert found["sender"]["pn"] == "79000000002@s.whatsapp.net"


def test_an_own_message_from_another_device_belongs_to_the_recipients_chat(library: Library) -> None:
    """``fromMe`` is true and the chat's other form comes from the recipient."""
    found = payload(
        library, library.messages.Message(conversation="x"), IsFromMe=True, RecipientAlt=jid(library, "79000000002@s.whatsapp.net"),
        Sender=jid(library, "100000000000001@lid"), SenderAlt=jid(library, "79000000001@s.whatsapp.net"),
    )  # fmt: skip

    assert found is not None
    assert (found["fromMe"], found["chat"]["pn"], found["sender"]["pn"]) == (
        True,
        "79000000002@s.whatsapp.net",
        "79000000001@s.whatsapp.net",
    )


def test_a_reply_names_what_it_quotes(library: Library) -> None:
    """The quoted message's id, wherever the kind keeps its context."""
    e2e = library.messages
    context = e2e.ContextInfo(stanzaID="QUOTED", participant="x", quotedMessage=e2e.Message(conversation="y"))

    text = content(library, e2e.Message(extendedTextMessage=e2e.ExtendedTextMessage(text="reply", contextInfo=context)))
    image = content(library, e2e.Message(imageMessage=e2e.ImageMessage(mimetype="image/png", contextInfo=context)))

    assert text == {"kind": "text", "text": "reply", "quotedId": "QUOTED"}
    assert image["quotedId"] == "QUOTED"


@pytest.mark.parametrize(
    "wrapper", ["ephemeralMessage", "viewOnceMessage", "viewOnceMessageV2", "documentWithCaptionMessage"]
)
def test_wrapped_messages_are_unwrapped(library: Library, wrapper: str) -> None:
    """Disappearing and view-once messages are messages."""
    e2e = library.messages
    inner = e2e.FutureProofMessage(message=e2e.Message(conversation="inside"))

    assert content(library, e2e.Message(**{wrapper: inner})) == {"kind": "text", "text": "inside"}


def test_media_are_described_and_not_carried(library: Library) -> None:
    """Type, size and what belongs to the kind; keys and thumbnails stay out."""
    e2e = library.messages
    document = e2e.DocumentMessage(
        mimetype="application/pdf", fileLength=1234, fileName="a.pdf", caption="see", mediaKey=b"k" * 32
    )

    found = content(library, e2e.Message(documentMessage=document))

    assert found == {
        "kind": "document",
        "media": {"mimetype": "application/pdf", "size": 1234, "caption": "see", "fileName": "a.pdf"},
        "text": "see",
    }


def test_a_voice_message_says_how_long_it_is(library: Library) -> None:
    """Seconds, and that it is a voice message."""
    e2e = library.messages

    found = content(
        library, e2e.Message(audioMessage=e2e.AudioMessage(mimetype="audio/ogg", fileLength=5, seconds=7, PTT=True))
    )

    assert found == {"kind": "audio", "media": {"mimetype": "audio/ogg", "size": 5, "seconds": 7, "voice": True}}


def test_reactions_deletions_and_edits_name_their_message(library: Library) -> None:
    """They name the message that they refer to."""
    e2e = library.messages
    from neonize.proto.waCommon.WACommon_pb2 import MessageKey  # type: ignore[import-untyped]  # generated, without stubs

    key = MessageKey(ID="OLD")

    found = [
        content(library, e2e.Message(reactionMessage=e2e.ReactionMessage(key=key, text="+1"))),
        content(library, e2e.Message(protocolMessage=e2e.ProtocolMessage(type=0, key=key))),
        content(
            library,
            e2e.Message(
                protocolMessage=e2e.ProtocolMessage(type=14, key=key, editedMessage=e2e.Message(conversation="new"))
            ),
        ),
    ]

    assert found == [
        {"kind": "reaction", "text": "+1", "reactionTo": "OLD"},
        {"kind": "deleted", "deletedId": "OLD"},
        {"kind": "edited", "editedId": "OLD", "text": "new"},
    ]


def test_what_is_between_devices_is_no_message(library: Library) -> None:
    """Key distribution and synchronisation make no event."""
    e2e = library.messages

    found = [
        payload(library, e2e.Message(senderKeyDistributionMessage=e2e.SenderKeyDistributionMessage(groupID="x"))),
        payload(library, e2e.Message(protocolMessage=e2e.ProtocolMessage(type=5))),
        payload(library, e2e.Message()),
    ]

    assert found == [None, None, None]


def test_text_that_postgres_refuses_is_made_storable(library: Library) -> None:
    """A NUL from a peer must not stop the event log; the rest of the text stays."""
    assert content(library, library.messages.Message(conversation="a\x00b")) == {"kind": "text", "text": "a\ufffdb"}


def test_text_has_a_limit(library: Library) -> None:
    """A peer cannot make an event of unbounded size."""
    found = content(library, library.messages.Message(conversation="x" * (MAX_TEXT_CHARACTERS + 5)))

    assert len(found["text"]) == MAX_TEXT_CHARACTERS


@pytest.mark.parametrize(("number", "kind"), [(1, "delivered"), (4, "read"), (6, "played"), (3, "retry")])
def test_a_receipt_says_what_happened_to_which_messages(library: Library, number: int, kind: str) -> None:
    """All message ids of the receipt, the chat and who sent it."""
    event = library.protobufs.Receipt(MessageSource=source(library), MessageIDs=["A", "B"], Timestamp=5, Type=number)

    incoming = decode(library.protobufs, 18, event.SerializePartialToString())

    assert isinstance(incoming, Incoming)
    found = incoming.payload
    assert (incoming.type, found["messageIds"], found["kind"], found["timestamp"]) == ("receipt", ["A", "B"], kind, 5)
    assert found["chat"]["pn"] == "79000000002@s.whatsapp.net"


def test_a_message_that_cannot_be_decrypted_is_told_without_contents(library: Library) -> None:
    """Who, where and when are known."""
    info = library.protobufs.MessageInfo(MessageSource=source(library), ID="3EB0", Pushname="", Timestamp=1000)
    event = library.protobufs.UndecryptableMessage(Info=info, IsUnavailable=True, DecryptFailMode=1)

    incoming = decode(library.protobufs, 44, event.SerializePartialToString())

    assert isinstance(incoming, Incoming)
    found = incoming.payload
    assert (incoming.type, found["kind"], found["code"], found["unavailable"], found["messageId"]) == (
        "undecryptable",
        "undecryptable",
        "undecryptable",
        True,
        "3EB0",
    )


def test_numbers_nobody_asked_for_are_ignored(library: Library) -> None:
    """Presence, calls and the rest."""
    assert decode(library.protobufs, 20, b"") is None
