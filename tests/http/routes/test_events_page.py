"""docs/events.md has every type of event with an example, and the examples have the fields of real events."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from actors.engine.whatsmeow import payloads
from actors.engine.whatsmeow.library import load_protobufs
from actors.http.routes import live
from actors.messages import EventType

PAGE = (Path(__file__).parents[3] / "docs" / "events.md").read_text()
PARTS: dict[str, str] = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))


def example(type_: str) -> dict[str, Any]:
    """The event that the page shows."""
    found: dict[str, Any] = json.loads(PARTS[type_].partition("```json\n")[2].partition("```")[0])
    return found


def test_the_page_has_every_type_and_no_other() -> None:
    """A new type has to be described."""
    assert set(PARTS) == set(get_args(EventType))


@pytest.mark.parametrize("type_", get_args(EventType))
def test_an_example_is_an_event_of_its_type(type_: str) -> None:
    """With the fields of every event."""
    found = example(type_)

    assert list(found) == ["id", "seq", "type", "companyId", "timestamp", "payload"]
    assert (found["type"], found["companyId"]) == (type_, "962302")


def test_the_examples_of_messages_and_receipts_have_what_the_engine_sends() -> None:
    """In its order."""
    protobufs = load_protobufs()
    message = protobufs.Message(Info=protobufs.MessageInfo(ID="x"))
    message.Message.conversation = "x"
    sent = payloads.message_payload(message)
    assert sent is not None
    receipt = payloads.receipt_payload(protobufs.Receipt(MessageIDs=["x"], Type=4))

    assert list(example("message")["payload"]) == list(sent)
    assert list(example("receipt")["payload"]) == list(receipt)
    assert list(example("message")["payload"]["chat"]) == list(sent["chat"])


def test_the_page_has_the_codes_with_which_a_stream_is_closed() -> None:
    """All of them."""
    told = {int(code) for code in re.findall(r"^\| (\d{4}) \|", PAGE, re.MULTILINE)}

    assert told == {live.RESTARTING, live.TOO_SLOW, live.POLICY, live.UNSUPPORTED}
