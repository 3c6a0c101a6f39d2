"""Every field of the Message protobuf becomes what docs/messages.md says, and earlier payloads keep their bytes."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from actors.engine.whatsmeow import choices, kinds, payloads, shapes
from actors.engine.whatsmeow.events import Incoming, decode
from actors.engine.whatsmeow.library import Library
from tests.engine.whatsmeow.test_payloads import content, message_event, payload

json_format: Any = importlib.import_module("google.protobuf.json_format")  # it comes without types
ROOT = Path(__file__).parents[3]
ROW = re.compile(r"^\| (\d+) \| `(\w+)` \| (.+) \|$", re.MULTILINE)
VERSION_1: dict[str, dict[str, Any]] = json.loads((ROOT / "tests/inputs/payloads_of_version_1.json").read_text())
PROTOCOL_MESSAGE = "`deleted`, `edited`, `ephemeral_setting`; else nothing"
INSTEAD_OF_A_FILE = {"buttonsMessage": {"title"}, "templateMessage": {"title"}}
SECRET_MESSAGE = "`edited`, `event_edited`, `poll_edited`, `poll_option_added`"


def verdict(field: str) -> str:
    """What docs/messages.md is to say of a field."""
    if field in kinds.WRAPPERS:
        return "unwrapped"
    if field in kinds.PROTOCOL:
        return "nothing: between devices"
    special = {"protocolMessage": PROTOCOL_MESSAGE, "secretEncryptedMessage": SECRET_MESSAGE}
    named = {name: one.kind for name, one in kinds.NAMED.items()}
    text = {"conversation": "text", "extendedTextMessage": "text"}
    return special.get(field) or f"`{(text | payloads.MEDIA | payloads.OTHERS | choices.FIELDS | named)[field]}`"


def test_the_table_has_every_field_and_says_what_becomes_of_it(library: Library) -> None:
    """No field is left out when the library adds one."""
    fields = [(str(field.number), field.name) for field in library.messages.Message.DESCRIPTOR.fields]
    table = ROW.findall((ROOT / "docs/messages.md").read_text())

    assert table == [(number, name, verdict(name)) for number, name in fields]


def filled(message: Any, depth: int = 3) -> Any:
    """The same protobuf with something in every field but the context, which is no part of any kind."""
    for field in message.DESCRIPTOR.fields:
        if field.name == "contextInfo":
            continue
        values = {9: "a", 12: b"k" * 32, 8: True, 1: 1.5, 2: 1.5}
        if field.message_type is None:
            last = field.enum_type.values[-1].number if field.enum_type is not None else values.get(field.type, 7)
            if field.is_repeated:
                getattr(message, field.name).append(last)
            elif field.containing_oneof is None or message.WhichOneof(field.containing_oneof.name) is None:
                setattr(message, field.name, last)
        elif depth and not field.message_type.GetOptions().map_entry:
            part = getattr(message, field.name)
            part = part.add() if field.is_repeated else part
            part.SetInParent()
            filled(part, depth - 1)
    return message


@pytest.mark.parametrize("field", sorted(kinds.NAMED))
def test_a_named_kind_has_all_that_is_said_of_it(library: Library, field: str) -> None:
    """With everything filled in, each of its details is there, in JSON, without keys."""
    message = library.messages.Message()
    filled(getattr(message, field)).SetInParent()
    named = kinds.NAMED[field]

    found = content(library, message)

    assert found["kind"] == named.kind
    assert ("text" in found) == bool(named.text)
    assert set(named.fields or {}) - set(found.get("details", {})) == INSTEAD_OF_A_FILE.get(field, set())
    assert b"kkkk" not in json.dumps(found).encode()


@pytest.mark.parametrize("field", sorted(kinds.WRAPPERS))
def test_a_wrapper_is_unwrapped_at_any_depth(library: Library, field: str) -> None:
    """Ten times over there is the same text."""
    message = library.messages.Message(conversation="inside")
    for _ in range(10):
        wrapped = library.messages.Message()
        getattr(wrapped, field).message.CopyFrom(message)
        message = wrapped

    assert content(library, message) == {"kind": "text", "text": "inside"}


@pytest.mark.parametrize("field", sorted(kinds.PROTOCOL))
def test_what_is_between_devices_is_no_event(library: Library, field: str) -> None:
    """An application gets no event of it."""
    message = library.messages.Message()
    getattr(message, field).SetInParent()

    assert payload(library, message) is None


def test_what_is_not_known_says_its_field_and_what_is_in_it(library: Library) -> None:
    """Bounded, and without anything binary."""
    scheduled = library.messages.SecretEncryptedMessage(
        secretEncType="MESSAGE_SCHEDULE", encPayload=b"x" * 40, remoteKeyID="r" * 5000
    )

    found = content(library, library.messages.Message(secretEncryptedMessage=scheduled))

    assert found == {
        "kind": "unsupported",
        "field": "secretEncryptedMessage",
        "content": {"secretEncType": "message_schedule", "remoteKeyID": "r" * shapes.MAX_CHARACTERS},
    }


def test_what_is_not_known_is_bounded_in_breadth_and_depth(library: Library) -> None:
    """No peer can make an event of unbounded size."""
    e2e = library.messages
    rows = [e2e.ListMessage.Row(title="t", rowID="r")] * 200
    wide = e2e.ListMessage(sections=[e2e.ListMessage.Section(title="s", rows=rows)] * 200)

    found = shapes.rendered(wide)

    assert 0 < json.dumps(found).count(":") <= shapes.MAX_VALUES


def test_what_is_not_known_is_bounded_in_depth(library: Library) -> None:
    """A quotation of a quotation, many times over."""
    e2e = library.messages
    message = e2e.Message(conversation="innermost")
    for _ in range(15):
        context = e2e.ContextInfo(quotedMessage=message)
        message = e2e.Message(extendedTextMessage=e2e.ExtendedTextMessage(text="x", contextInfo=context))

    found = json.dumps(shapes.rendered(message))

    assert "innermost" not in found
    assert found.count("{") == shapes.MAX_DEPTH + 1  # the innermost is empty


def test_a_picture_at_the_head_of_buttons_can_be_fetched(library: Library) -> None:
    """It is a file like any other."""
    e2e = library.messages
    picture = e2e.ImageMessage(
        mimetype="image/png",
        fileLength=5,
        directPath="/v/x",
        mediaKey=b"k" * 32,
        fileSHA256=b"h" * 32,
        fileEncSHA256=b"e" * 32,
    )
    message = e2e.Message(buttonsMessage=e2e.ButtonsMessage(contentText="pick", imageMessage=picture))

    incoming = decode(library.protobufs, 17, message_event(library, message).SerializePartialToString())

    assert isinstance(incoming, Incoming)
    assert incoming.media is not None
    assert incoming.payload["media"] == {"mimetype": "image/png", "size": 5, "id": incoming.media.media_id}
    assert incoming.media.file.kind == "image"


@pytest.mark.parametrize("name", sorted(VERSION_1))
def test_a_payload_of_version_1_keeps_its_bytes(library: Library, name: str) -> None:
    """Recorded from the version before the kinds of docs/messages.md were named; a subscriber of then sees no difference."""
    message = json_format.ParseDict(VERSION_1[name]["message"], library.messages.Message())

    found = payload(library, message)

    assert found is not None
    assert payloads.encode(found).decode() == VERSION_1[name]["payload"]
