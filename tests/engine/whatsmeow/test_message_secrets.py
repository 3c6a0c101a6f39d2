"""Edits, votes, answers, reactions and comments under message secrets, in clear where the secret is known."""

from __future__ import annotations

import hashlib
import importlib
from typing import Any

import pytest

from actors.engine.device.file import DeviceFile, open_file
from actors.engine.device.sqlite import Sqlite
from actors.engine.whatsmeow.events import Incoming, decode
from actors.engine.whatsmeow.library import Library
from actors.engine.whatsmeow.unsealing import note_secrets
from tests.engine.conftest import BuildFile
from tests.engine.whatsmeow.sealing import IV, SECRET, Change
from tests.engine.whatsmeow.test_payloads import jid, message_event

LID, PN = "100000000000002@lid", "79000000002@s.whatsapp.net"
OTHER = "100000000000003@lid"
GROUP = "120363000000000001@g.us"
USER_FIELDS = {"messageId", "chat", "sender", "fromMe", "pushName", "timestamp"}


class Company:
    """A device file that has had the original message, and the payloads it makes of changes to it."""

    def __init__(self, library: Library, file: DeviceFile) -> None:
        self.library = library
        self.file = file
        file.take_up(0.0)

    def know(self, target: str, author: str, chat: str = LID, secret: bytes = SECRET) -> None:
        """Store the message's secret, as the library does with every message that has one."""
        self.file._connection.execute(
            "INSERT INTO whatsmeow_message_secrets (our_jid, chat_jid, sender_jid, message_id, key)"
            " SELECT jid, ?, ?, ?, ? FROM whatsmeow_device",
            (chat, author, target, secret),
        )

    def hear(self, message: Any, **source: Any) -> dict[str, Any]:
        """The part of a message's payload that depends on its kind."""
        event = message_event(self.library, message, **source)
        incoming = decode(self.library.protobufs, 17, event.SerializePartialToString())
        assert isinstance(incoming, Incoming)
        for name in ("chat", "sender"):
            self.file.complete(incoming.payload[name])
        note_secrets(self.library.messages, self.file, incoming)
        return {name: value for name, value in incoming.payload.items() if name not in USER_FIELDS}


@pytest.fixture
def company(library: Library, build_file: BuildFile) -> Company:
    """Linked; knows that the number and the LID are one person."""
    made = Company(library, build_file())
    made.file._connection.execute("INSERT INTO whatsmeow_lid_map (lid, pn) VALUES ('100000000000002', '79000000002')")
    return made


def key(target: str) -> Any:
    """The key of a message."""
    return importlib.import_module("neonize.proto.waCommon.WACommon_pb2").MessageKey(ID=target, fromMe=True)


def edit(e2e: Any, change: Change, text: str, kind: str = "MESSAGE_EDIT", purpose: str = "Message Edit") -> Any:
    """An edit as phones send it since May 2026."""
    inside = e2e.Message(conversation=text)
    return e2e.Message(
        secretEncryptedMessage=e2e.SecretEncryptedMessage(
            secretEncType=kind, targetMessageKey=key(change.target), **change.encrypt(purpose, inside)
        )
    )


@pytest.mark.parametrize("kept_under", [LID, PN])
@pytest.mark.parametrize("author", [LID, PN])
@pytest.mark.parametrize("sender", [LID, PN])
def test_an_edit_is_in_clear_whichever_addresses_were_used(
    company: Company, kept_under: str, author: str, sender: str
) -> None:
    """The secret may be kept under the number and the edit encrypted with the LID, or the other way round."""
    company.know("OLD", kept_under, chat=kept_under)

    found = company.hear(edit(company.library.messages, Change("OLD", author, sender), "new"))

    assert found == {"kind": "edited", "editedId": "OLD", "text": "new"}


def test_secrets_and_polls_survive_a_restart(library: Library, company: Company, sqlite: Sqlite) -> None:
    """They are in the device file."""
    company.know("OLD", LID)
    company.know("POLL", LID)
    company.file.polls.keep([LID], "POLL", ("tea", "coffee"))
    company.file.close()
    opened = open_file(sqlite, company.file.path)
    assert opened is not None
    again = Company(library, opened)

    edited = again.hear(edit(library.messages, Change("OLD", LID, LID), "new"))
    voted = again.hear(vote_for(library.messages, Change("POLL", LID, LID), "tea"))
    opened.close()

    assert (edited["text"], voted["details"]["selected"]) == ("new", ["tea"])


def test_an_edit_that_holds_the_protocols_own_edit_is_in_clear(company: Company) -> None:
    """Some clients put inside what they would send in clear."""
    e2e = company.library.messages
    company.know("OLD", LID)
    inner = e2e.ProtocolMessage(type=14, key=key("OLD"), editedMessage=e2e.Message(conversation="new"))
    sealed = Change("OLD", LID, LID).encrypt("Message Edit", e2e.Message(protocolMessage=inner))
    part = e2e.SecretEncryptedMessage(secretEncType="MESSAGE_EDIT", targetMessageKey=key("OLD"), **sealed)

    assert company.hear(e2e.Message(secretEncryptedMessage=part))["text"] == "new"


def test_without_the_secret_an_edit_is_undecryptable(company: Company) -> None:
    """As before: the edited message is named, the text is unknown."""
    found = company.hear(edit(company.library.messages, Change("OLD", LID, LID), "new"))

    assert found == {"kind": "edited", "editedId": "OLD", "undecryptable": True}


def test_another_secret_opens_nothing(company: Company) -> None:
    """Nor one of a wrong length, or one of another chat."""
    company.know("OLD", LID, secret=b"t" * 32)
    company.know("OLD", OTHER, secret=b"short")
    company.know("OLD", LID, chat=GROUP)

    found = company.hear(edit(company.library.messages, Change("OLD", LID, LID), "new"))

    assert found["undecryptable"] is True


def test_only_the_author_edits(company: Company) -> None:
    """In a group all know each message's secret; an edit by another than the author is not believed."""
    company.know("OLD", OTHER, chat=GROUP)
    forged = edit(company.library.messages, Change("OLD", OTHER, LID), "never said")

    found = company.hear(forged, Chat=jid(company.library, GROUP), IsGroup=True)

    assert found == {"kind": "edited", "editedId": "OLD", "undecryptable": True}


def test_what_is_inside_may_be_anything(company: Company) -> None:
    """Bytes that are no protobuf leave the payload as it was."""
    e2e = company.library.messages
    company.know("OLD", LID)

    class Nonsense:
        def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
            return b"\xff" * 40

    sealed = Change("OLD", LID, LID).encrypt("Message Edit", Nonsense())
    part = e2e.SecretEncryptedMessage(secretEncType="MESSAGE_EDIT", targetMessageKey=key("OLD"), **sealed)

    assert company.hear(e2e.Message(secretEncryptedMessage=part))["undecryptable"] is True


def vote_for(e2e: Any, change: Change, *options: str) -> Any:
    """A vote of ``change.sender`` in the poll."""
    chosen = [hashlib.sha256(option.encode()).digest() for option in options]
    value = e2e.PollEncValue(**change.encrypt("Poll Vote", e2e.PollVoteMessage(selectedOptions=chosen)))
    return e2e.Message(pollUpdateMessage=e2e.PollUpdateMessage(pollCreationMessageKey=key(change.target), vote=value))


def test_a_vote_names_what_was_chosen(company: Company) -> None:
    """The poll came before, in the same chat."""
    e2e = company.library.messages
    options = [e2e.PollCreationMessage.Option(optionName=name) for name in ("tea", "coffee")]
    poll = e2e.Message(pollCreationMessageV3=e2e.PollCreationMessage(name="Which?", options=options))
    company.hear(poll)
    company.know("3EB0", LID)

    found = company.hear(vote_for(e2e, Change("3EB0", LID, PN), "coffee"))

    hashed = hashlib.sha256(b"coffee").hexdigest()
    assert found == {
        "kind": "poll_vote",
        "details": {"pollId": "3EB0", "selected": ["coffee"], "hashes": [hashed]},
    }


def test_a_vote_in_a_poll_that_is_not_known_has_hashes(company: Company) -> None:
    """The poll's author can still match them."""
    company.know("POLL", LID)

    found = company.hear(vote_for(company.library.messages, Change("POLL", LID, LID), "coffee"))

    assert found["details"] == {"pollId": "POLL", "hashes": [hashlib.sha256(b"coffee").hexdigest()]}


def test_a_vote_that_was_taken_back_has_nothing_selected(company: Company) -> None:
    """The same as none."""
    company.know("POLL", LID)
    company.file.polls.keep([LID], "POLL", ("a", "b"))

    found = company.hear(vote_for(company.library.messages, Change("POLL", LID, LID)))

    assert found["details"] == {"pollId": "POLL", "selected": [], "hashes": []}


def test_a_vote_without_the_polls_secret_says_no_more_than_before(company: Company) -> None:
    """Byte for byte."""
    found = company.hear(vote_for(company.library.messages, Change("POLL", LID, LID), "coffee"))

    assert found == {"kind": "poll_vote"}


def test_an_answer_to_an_event_a_reaction_and_a_comment_are_in_clear(company: Company) -> None:
    """By another account than the message's author."""
    e2e = company.library.messages
    company.know("OLD", OTHER, chat=GROUP)
    change = Change("OLD", OTHER, LID)
    answer = e2e.EventResponseMessage(response="MAYBE", extraGuestCount=2)
    messages = [
        e2e.Message(
            encEventResponseMessage=e2e.EncEventResponseMessage(
                eventCreationMessageKey=key("OLD"), **change.encrypt("Event Response", answer)
            )
        ),
        e2e.Message(
            encReactionMessage=e2e.EncReactionMessage(
                targetMessageKey=key("OLD"), **change.encrypt("Enc Reaction", e2e.ReactionMessage(text="+1"))
            )
        ),
        e2e.Message(
            encCommentMessage=e2e.EncCommentMessage(
                targetMessageKey=key("OLD"), **change.encrypt("Enc Comment", e2e.Message(conversation="nice"))
            )
        ),
    ]

    found = [company.hear(message, Chat=jid(company.library, GROUP), IsGroup=True) for message in messages]

    assert found == [
        {"kind": "event_response", "details": {"eventId": "OLD", "response": "maybe", "extraGuests": 2}},
        {"kind": "reaction", "reactionTo": "OLD", "text": "+1"},
        {"kind": "comment", "details": {"messageId": "OLD"}, "text": "nice"},
    ]


def test_an_events_edit_has_the_event(company: Company) -> None:
    """Its new name and time."""
    e2e = company.library.messages
    company.know("OLD", LID)
    inside = e2e.Message(eventMessage=e2e.EventMessage(name="Party", startTime=1_800_000_000))
    sealed = Change("OLD", LID, LID).encrypt("Event Edit", inside)
    part = e2e.SecretEncryptedMessage(secretEncType="EVENT_EDIT", targetMessageKey=key("OLD"), **sealed)

    found = company.hear(e2e.Message(secretEncryptedMessage=part))

    assert found == {"kind": "event_edited", "editedId": "OLD", "text": "Party", "details": {"startsAt": 1_800_000_000}}


@pytest.mark.parametrize("iv", [b"", IV + b"x"])
def test_an_initialisation_vector_of_another_length_is_not_tried(company: Company, iv: bytes) -> None:
    """The sender chooses its length."""
    e2e = company.library.messages
    company.know("OLD", LID)
    sealed = Change("OLD", LID, LID).encrypt("Message Edit", e2e.Message(conversation="new")) | {"encIV": iv}
    part = e2e.SecretEncryptedMessage(secretEncType="MESSAGE_EDIT", targetMessageKey=key("OLD"), **sealed)

    assert company.hear(e2e.Message(secretEncryptedMessage=part))["undecryptable"] is True


def test_a_poll_of_very_many_letters_is_not_kept(company: Company) -> None:
    """A peer cannot fill the file."""
    company.file.polls.keep([LID], "POLL", ["x" * 5_000])

    assert list(company.file.polls.options([LID], "POLL")) == []
