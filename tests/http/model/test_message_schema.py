"""Every kind of message: what the company gets, and what is refused for its form."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from actors import messages as m
from actors.engine.protocol import contents as c
from actors.http.model.bodies import decode
from actors.http.model.message_schema import KINDS, SendBody
from actors.http.model.outgoing_message import Attachment, draft_of
from tests.http.routes.test_sessions import problem
from tests.http.world import COMPANY_A, Daemon

SEND = f"/api/whatsapp/sessions/{COMPANY_A}/send"
TO = "+79000000002"
TO_JID = "79000000002@s.whatsapp.net"
GROUP = "120363000000000001@g.us"
MEMBER = "100000000000002@lid"
DOCUMENTATION = Path(__file__).parents[3] / "docs" / "messages.md"
EXAMPLES = re.findall(r"```json\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_of_the_documentation_is_taken(example: str) -> None:
    """docs/messages.md shows only what the API accepts."""
    assert draft_of(decode(example.encode(), SendBody), "RU").to.jid


def test_the_documentation_has_an_example_of_each_kind() -> None:
    """And of nothing else."""
    assert {key for example in EXAMPLES for key in json.loads(example)} == {"phone", "options", *KINDS}


@pytest.mark.parametrize(
    ("body", "content"),
    [
        (
            {"location": {"latitude": 55.5, "longitude": -37, "name": "Office"}},
            c.Location(latitude=55.5, longitude=-37.0, name="Office"),
        ),
        (
            {"poll": {"question": "When?", "options": ["a", "b"]}},
            c.Poll(question="When?", options=("a", "b"), selectable=1),
        ),
        ({"reaction": {"messageId": "A1", "emoji": "👍"}}, c.Reaction(message_id="A1", emoji="👍", sender=TO_JID)),
        ({"reaction": {"messageId": "A1", "emoji": ""}}, c.Reaction(message_id="A1", emoji="", sender=TO_JID)),
        (
            {"reaction": {"messageId": "A1", "emoji": "❤️", "fromMe": True}},
            c.Reaction(message_id="A1", emoji="❤️", sender=None),
        ),
        ({"edit": {"messageId": "A1", "message": "better"}}, c.Edit(message_id="A1", text="better")),
        ({"delete": {"messageId": "A1"}}, c.Delete(message_id="A1", sender=None)),
    ],
)
async def test_a_kind_is_handed_on_as_it_was_given(daemon: Daemon, body: dict[str, Any], content: c.AnyContent) -> None:
    """The company gets exactly that order; the response is that of a text."""
    answer = await daemon.client.post(SEND, json={"phone": TO, **body})

    assert (answer.status_code, answer.json()["messageId"]) == (200, "3EB1000000000000000001")
    assert daemon.world.companies[COMPANY_A].contents == [m.SendContent(TO_JID, TO, content)]


async def test_groups_are_written_to_by_their_id(daemon: Daemon) -> None:
    """Text, mentions and references to a member's message."""
    bodies: list[dict[str, Any]] = [
        {"message": "Ask @100000000000002", "options": {"mentions": [MEMBER, TO]}},
        {"reaction": {"messageId": "A1", "emoji": "👍", "sender": MEMBER}},
        {"delete": {"messageId": "A1", "sender": MEMBER}},
    ]
    for body in bodies:
        assert (await daemon.client.post(SEND, json={"phone": GROUP, **body})).status_code == 200

    company = daemon.world.companies[COMPANY_A]
    assert company.sent == [m.SendText(GROUP, GROUP, "Ask @100000000000002", mentions=(MEMBER, TO_JID))]
    assert [one.content for one in company.contents] == [
        c.Reaction(message_id="A1", emoji="👍", sender=MEMBER),
        c.Delete(message_id="A1", sender=MEMBER),
    ]


def test_a_contact_becomes_a_card_that_phones_read() -> None:
    """With the number that WhatsApp has; special characters of a card are escaped."""
    body = {"phone": TO, "contact": {"name": "A; B, C", "phone": "8 900 000-00-03", "organization": "Ltd"}}

    contact = draft_of(decode(json.dumps(body).encode(), SendBody), "RU").content

    assert isinstance(contact, c.Contact)
    assert contact.name == "A; B, C"
    assert contact.vcard.splitlines() == [
        "BEGIN:VCARD",
        "VERSION:3.0",
        "N:;A\\; B\\, C;;;",
        "FN:A\\; B\\, C",
        "ORG:Ltd",
        "TEL;type=CELL;type=VOICE;waid=79000000003:+79000000003",
        "END:VCARD",
    ]


def test_a_file_is_named_by_id_or_url() -> None:
    """With the fields of its kind."""
    body = {"phone": TO, "document": {"url": "https://example.com/a", "fileName": "a.pdf", "caption": "see"}}

    draft = draft_of(decode(json.dumps(body).encode(), SendBody), "RU")

    assert draft.content == Attachment(
        kind="document", media_id=None, url="https://example.com/a", caption="see", file_name="a.pdf"
    )


@pytest.mark.parametrize(
    ("body", "code", "named"),
    [
        ({}, "invalid_request", "exactly one"),
        ({"message": "x", "poll": {"question": "?", "options": ["a", "b"]}}, "invalid_request", "exactly one"),
        ({"carousel": {}}, "invalid_request", "carousel"),
        ({"image": {}}, "invalid_request", "image"),
        ({"image": {"mediaId": "a", "url": "https://example.com"}}, "invalid_request", "image"),
        ({"image": {"mediaId": "a", "voice": True}}, "invalid_request", "voice"),
        ({"image": {"mediaId": "a", "caption": "x" * 1025}}, "invalid_request", "caption"),
        ({"image": {"mediaId": "a", "caption": "\0"}}, "invalid_request", "caption"),
        ({"location": {"latitude": 91, "longitude": 0}}, "invalid_request", "latitude"),
        ({"location": {"latitude": 1}}, "invalid_request", "longitude"),
        ({"contact": {"name": "A\nTEL:1", "phone": TO}}, "invalid_request", "contact.name"),
        ({"contact": {"name": " ", "phone": TO}}, "invalid_request", "contact.name"),
        ({"contact": {"name": "A", "phone": "12"}}, "invalid_phone", "phone"),
        ({"poll": {"question": "?", "options": ["a"]}}, "invalid_request", "options"),
        ({"poll": {"question": "?", "options": ["a", "a "]}}, "invalid_request", "options"),
        ({"poll": {"question": "?", "options": ["a", "b"], "selectable": -1}}, "invalid_request", "selectable"),
        ({"poll": {"question": "?", "options": ["a", "b", "a"]}}, "invalid_request", "options"),
        ({"message": "x", "image": None}, "invalid_request", "image"),
        ({"reaction": {"messageId": "", "emoji": "👍"}}, "invalid_request", "messageId"),
        ({"reaction": {"messageId": "A 1", "emoji": "👍"}}, "invalid_request", "messageId"),
        ({"reaction": {"messageId": "A1", "emoji": "ok"}}, "invalid_request", "emoji"),
        ({"reaction": {"messageId": "A1", "emoji": "👍", "fromMe": True, "sender": TO}}, "invalid_request", "sender"),
        (
            {"reaction": {"messageId": "A1", "emoji": "👍"}, "options": {"quoted": {"messageId": "B"}}},
            "invalid_request",
            "reply",
        ),
        ({"edit": {"messageId": "A1", "message": " "}}, "invalid_message", "empty"),
        ({"edit": {"messageId": "A1", "message": "x" * 4097}}, "message_too_long", "4097"),
        ({"delete": {"messageId": "A1", "sender": TO}}, "invalid_request", "group"),
        ({"message": "x", "options": {"mentions": ["12"]}}, "invalid_phone", "phone"),
        ({"message": "x", "options": {"ephemeralExpiration": -1}}, "invalid_request", "ephemeralExpiration"),
        ({"message": "x", "options": {"ephemeralExpiration": 31536001}}, "invalid_request", "ephemeralExpiration"),
        (
            {"delete": {"messageId": "A1"}, "options": {"ephemeralExpiration": 0}},
            "invalid_request",
            "options.ephemeralExpiration",
        ),
        ({"message": "x", "options": {"mentions": [TO] * 101}}, "invalid_request", "mentions"),
    ],
)
async def test_what_has_not_the_form_of_its_kind_is_refused(
    daemon: Daemon, body: dict[str, Any], code: str, named: str
) -> None:
    """The problem says what is wrong, and no token is used."""
    answer = await daemon.client.post(SEND, json={"phone": TO, **body})

    assert problem(answer) == (422, code)
    assert named in answer.json()["detail"]
    assert daemon.world.companies[COMPANY_A].asked == []
    assert daemon.world.tokens == {}


async def test_a_members_message_in_a_group_needs_its_writer(daemon: Daemon) -> None:
    """Without it a reaction could be to any member's message."""
    body = {"phone": GROUP, "reaction": {"messageId": "A1", "emoji": "👍"}}

    assert problem(await daemon.client.post(SEND, json=body)) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("code", "status"),
    [("not_in_group", 409), ("no_such_group", 404), ("no_such_message", 404), ("send_rejected", 422)],
)
async def test_the_companys_refusals_are_passed_on(daemon: Daemon, code: str, status: int) -> None:
    """Each with its own code; under a key the same request may be tried again."""

    async def refuse(message: Any) -> None:
        if isinstance(message, m.SendContent):
            raise m.Refused(code, "as WhatsApp says")

    company = daemon.world.companies[COMPANY_A]
    company.on_ask = refuse
    body = {"phone": TO, "edit": {"messageId": "A1", "message": "x"}}
    refused = await daemon.client.post(SEND, json=body, headers={"Idempotency-Key": "k"})
    company.on_ask = None
    again = await daemon.client.post(SEND, json=body, headers={"Idempotency-Key": "k"})

    assert problem(refused) == (status, code)
    assert again.status_code == 200


@pytest.mark.parametrize(
    ("options", "expiration"), [({"ephemeralExpiration": 86_400}, 86_400), ({"ephemeralExpiration": 0}, 0), ({}, None)]
)
async def test_how_long_a_message_stays(daemon: Daemon, options: dict[str, int], expiration: int | None) -> None:
    """As the caller says, for text and the other kinds; by default as the chat's timer says."""
    for content in ({"message": "x"}, {"location": {"latitude": 1, "longitude": 2}}):
        answer = await daemon.client.post(SEND, json={"phone": TO, **content, "options": options})
        assert answer.status_code == 200

    company = daemon.world.companies[COMPANY_A]
    assert [company.sent[0].expiration, company.contents[0].expiration] == [expiration] * 2
