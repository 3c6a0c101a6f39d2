"""Messages as other people's clients send them (tests/inputs), as applications see them."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from actors.engine.whatsmeow.library import Library
from tests.engine.whatsmeow.test_payloads import content

json_format: Any = importlib.import_module("google.protobuf.json_format")  # it comes without types
INPUTS = Path(__file__).parents[2] / "inputs"
FILLED_IN = {"URL", "encPayload", "encIV"}
"""What the sender's library fills in; the files have a remark instead."""

EXPECTED: dict[str, dict[str, Any]] = {
    "in_album_child": {
        "kind": "image", "text": "one of three", "media": {"mimetype": "image/jpeg", "size": 0, "caption": "one of three"},
    },
    "in_buttons_response": {"kind": "buttons_response", "text": "Yes", "selectedId": "yes-1"},
    "in_contacts_array": {
        "kind": "contact", "text": "2 contacts",
        "contacts": [
            {"name": "Alice", "vcard": "BEGIN:VCARD\nFN:Alice\nEND:VCARD"}, {"name": "Bob", "vcard": "BEGIN:VCARD\nFN:Bob\nEND:VCARD"},
        ],
    },
    "in_ctwa": {
        "kind": "text", "text": "Hi, from ad",
        "adReferral": {
            "title": "Sale", "sourceType": "ad", "sourceId": "1202", "ctwaClid": "CLID", "entryPoint": "ctwa_ad",
        },
    },
    "in_encrypted_edit": {"kind": "edited", "editedId": "(original)", "undecryptable": True},
    "in_ephemeral_chat": {
        "kind": "text", "text": "in a chat with a 24 h timer", "ephemeralExpiration": 86400, "ephemeralSettingTimestamp": 1700000000,
    },
    "in_interactive_response": {
        "kind": "interactive_response", "text": "Pick", "response": {"name": "menu_options", "params": '{"id":"x"}'},
    },
    "in_interactive_text": {"kind": "interactive", "text": "Order 7 is ready"},
    "in_list_response": {"kind": "list_response", "text": "Row 2", "selectedId": "row2"},
    "in_poll_v5": {"kind": "poll", "text": "q5", "poll": {"options": ["a", "b"], "selectable": 1}},
}  # fmt: skip


def _without_remarks(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_remarks(inner) for name, inner in value.items() if name not in FILLED_IN}
    return [_without_remarks(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", sorted(path.stem for path in INPUTS.glob("in_*.json")))
def test_a_message_of_another_client_is_understood(library: Library, name: str) -> None:
    """Each has its kind, and the fields that an application needs."""
    message = json_format.ParseDict(
        _without_remarks(json.loads((INPUTS / f"{name}.json").read_text())), library.messages.Message()
    )

    assert content(library, message) == EXPECTED[name]


def test_a_preview_of_a_link_is_no_ad(library: Library) -> None:
    """It has a title and a body, and no fields about where the conversation began."""
    e2e = library.messages
    preview = e2e.ContextInfo(
        externalAdReply=e2e.ContextInfo.ExternalAdReplyInfo(title="A page", body="about something")
    )
    message = e2e.Message(extendedTextMessage=e2e.ExtendedTextMessage(text="look", contextInfo=preview))

    assert content(library, message) == {"kind": "text", "text": "look"}


@pytest.mark.parametrize(
    ("kind", "named"),
    [("EVENT_EDIT", "event_edited"), ("POLL_EDIT", "poll_edited"), ("POLL_ADD_OPTION", "poll_option_added")],
)
def test_what_else_is_encrypted_under_a_secret_says_what_it_is_of(library: Library, kind: str, named: str) -> None:
    """An event's edit is no edit of a message."""
    e2e = library.messages
    message = e2e.Message(secretEncryptedMessage=e2e.SecretEncryptedMessage(secretEncType=kind))

    assert content(library, message) == {"kind": named, "editedId": "", "undecryptable": True}
