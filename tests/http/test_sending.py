"""Sending a text: what is checked, in which order, and what each refusal costs."""

from __future__ import annotations

import pytest
import trio

from actors import messages as m
from actors.messages import CompanyState
from tests.http.fakes import NOW
from tests.http.test_sessions import problem
from tests.http.world import COMPANY_A, Daemon, running, sample_world

SEND = f"/api/whatsapp/sessions/{COMPANY_A}/send"
BODY = {"phone": "+79000000002", "message": "hello"}


async def test_a_text_is_sent(daemon: Daemon) -> None:
    """The answer has the ids, the headers have the rest of the allowance."""
    answer = await daemon.client.post(SEND, json={"phone": "8 900 000-00-02", "message": "hello"})

    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "companyId": COMPANY_A,
        "phone": "+79000000002",
        "messageId": "3EB0000000000000000001",
        "timestamp": NOW,
    }
    assert answer.headers["ratelimit-limit"] == "30"
    assert answer.headers["ratelimit-remaining"] == "29"
    assert daemon.world.companies[COMPANY_A].sent == [m.SendText("79000000002@s.whatsapp.net", "+79000000002", "hello")]


async def test_a_reply_names_what_it_answers(daemon: Daemon) -> None:
    """The sender of the quoted message is the recipient unless another is named."""
    for sender in ({}, {"sender": "100000000000001@lid"}):
        body = {**BODY, "options": {"quoted": {"messageId": "3EB0A1", "text": "hi", **sender}}}
        assert (await daemon.client.post(SEND, json=body)).status_code == 200

    assert [sent.quoted for sent in daemon.world.companies[COMPANY_A].sent] == [
        m.Quoted("3EB0A1", "79000000002@s.whatsapp.net", "hi"),
        m.Quoted("3EB0A1", "100000000000001@lid", "hi"),
    ]


async def test_a_reply_in_a_group_needs_the_sender(daemon: Daemon) -> None:
    """A group has no one sender."""
    body = {"phone": "120363000000000001@g.us", "message": "x", "options": {"quoted": {"messageId": "3EB0A1"}}}

    assert problem(await daemon.client.post(SEND, json=body)) == (422, "invalid_request")


@pytest.mark.parametrize("message", ["x", "x" * 4096, "é" * 4096, "🙂" * 4096, "line\nline", "\u200f\u05e9"])
async def test_any_text_up_to_the_limit_is_sent(daemon: Daemon, message: str) -> None:
    """Characters count, not bytes."""
    answer = await daemon.client.post(SEND, json={**BODY, "message": message})

    assert answer.status_code == 200
    assert daemon.world.companies[COMPANY_A].sent[0].text == message


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({**BODY, "message": "x" * 4097}, "message_too_long"),
        ({**BODY, "message": ""}, "invalid_message"),
        ({**BODY, "message": " \n"}, "invalid_message"),
        ({**BODY, "message": "a\0b"}, "invalid_message"),
        ({**BODY, "phone": "12345"}, "invalid_phone"),
        ({**BODY, "phone": "+7900\0000002"}, "invalid_phone"),
        ({**BODY, "phone": "79000000002@example.org"}, "invalid_phone"),
        ({**BODY, "phone": 79000000002}, "invalid_request"),
        ({"phone": "+79000000002"}, "invalid_request"),
        ({**BODY, "colour": "red"}, "invalid_request"),
        ({**BODY, "options": {"colour": "red"}}, "invalid_request"),
        ({**BODY, "options": {"quoted": {}}}, "invalid_request"),
        ({**BODY, "options": {"quoted": {"messageId": "1", "sender": "nobody"}}}, "invalid_phone"),
    ],
)
async def test_what_cannot_be_sent_is_refused_and_costs_nothing(
    daemon: Daemon, body: dict[str, object], code: str
) -> None:
    """422 with its own code; nothing is sent and no token is used."""
    answer = await daemon.client.post(SEND, json=body)

    assert problem(answer) == (422, code)
    assert daemon.world.companies[COMPANY_A].sent == []
    assert daemon.world.tokens == {}


async def test_an_unlinked_company_is_409_and_costs_nothing(daemon: Daemon) -> None:
    """However often: no token is used, and a bad number is still 422."""
    daemon.world.companies[COMPANY_A].state = CompanyState.UNLINKED

    for _ in range(31):
        assert problem(await daemon.client.post(SEND, json=BODY)) == (409, "no_active_session")
    assert problem(await daemon.client.post(SEND, json={**BODY, "phone": "1"})) == (422, "invalid_phone")
    assert daemon.world.tokens == {}


async def test_the_message_after_the_last_allowed_one_is_429(daemon: Daemon) -> None:
    """With the time to wait in Retry-After, in RateLimit-* and in the body."""
    for _ in range(30):
        assert (await daemon.client.post(SEND, json=BODY)).status_code == 200

    answer = await daemon.client.post(SEND, json=BODY)

    assert problem(answer) == (429, "rate_limited")
    assert answer.json()["retryAfter"] == 42
    assert answer.json()["companyId"] == COMPANY_A
    headers = {name: answer.headers[name] for name in ("retry-after", "ratelimit-limit", "ratelimit-remaining")}
    assert headers == {"retry-after": "42", "ratelimit-limit": "30", "ratelimit-remaining": "0"}
    assert len(daemon.world.companies[COMPANY_A].sent) == 30


async def test_an_unknown_company_is_404(daemon: Daemon) -> None:
    """For a key that may see it."""
    answer = await daemon.client.post("/api/whatsapp/sessions/nobody/send", json=BODY)

    assert problem(answer) == (404, "no_such_company")


async def test_no_acknowledgement_in_time_is_504() -> None:
    """Not before the company's own deadline has passed; the company is left alone."""
    world = sample_world()

    async def refuse(message: object) -> None:
        if isinstance(message, m.SendText):
            raise m.Refused("send_timeout", "WhatsApp did not acknowledge within 30 s")

    world.companies[COMPANY_A].on_ask = refuse
    async with running(world) as daemon:
        answer = await daemon.client.post(SEND, json=BODY)

    assert problem(answer) == (504, "send_timeout")
    assert answer.json()["retryable"] is True


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("storage_unavailable", 503),
        ("engine_unavailable", 503),
        ("recipient_not_on_whatsapp", 422),
        ("rate_limited", 429),
    ],
)
async def test_a_refusal_of_the_company_keeps_its_code(daemon: Daemon, code: str, status: int) -> None:
    """Every code of the catalogue comes through with its status."""

    async def refuse(message: object) -> None:
        if isinstance(message, m.SendText):
            raise m.Refused(code, "as the test wants it", retry_after_s=7.0)

    daemon.world.companies[COMPANY_A].on_ask = refuse

    answer = await daemon.client.post(SEND, json=BODY)

    assert problem(answer) == (status, code)
    assert answer.headers["retry-after"] == "7"


async def test_a_repeat_under_one_key_is_answered_and_not_sent(daemon: Daemon) -> None:
    """Same answer, marked as a repeat, no token used."""
    headers = {"Idempotency-Key": "order-17"}

    first = await daemon.client.post(SEND, json=BODY, headers=headers)
    second = await daemon.client.post(SEND, json={"message": "hello", "phone": "+79000000002"}, headers=headers)

    assert first.json() == second.json()
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert len(daemon.world.companies[COMPANY_A].sent) == 1
    assert daemon.world.tokens == {COMPANY_A: 1}


async def test_another_body_under_one_key_is_422(daemon: Daemon) -> None:
    """A key stands for one request."""
    headers = {"Idempotency-Key": "order-17"}
    await daemon.client.post(SEND, json=BODY, headers=headers)

    answer = await daemon.client.post(SEND, json={**BODY, "message": "other"}, headers=headers)

    assert problem(answer) == (422, "idempotency_key_reused")


async def test_keys_of_two_companies_do_not_meet(daemon: Daemon) -> None:
    """The same key of another company is another request."""
    headers = {"Idempotency-Key": "order-17"}
    await daemon.client.post(SEND, json=BODY, headers=headers)

    answer = await daemon.client.post(SEND.replace(COMPANY_A, "962303"), json=BODY, headers=headers)

    assert (answer.status_code, answer.json()["companyId"]) == (200, "962303")


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "é"])
async def test_a_malformed_key_is_422(daemon: Daemon, key: str) -> None:
    """1 to 128 visible ASCII characters."""
    answer = await daemon.client.post(SEND, json=BODY, headers=[(b"Idempotency-Key", key.encode())])

    assert problem(answer) == (422, "invalid_idempotency_key")
    assert daemon.world.companies[COMPANY_A].sent == []


async def test_a_repeat_while_the_first_is_under_way_is_409(daemon: Daemon) -> None:
    """It is retryable: the answer will be there soon."""
    arrived, go_on = trio.Event(), trio.Event()

    async def wait(message: object) -> None:
        if isinstance(message, m.SendText):
            arrived.set()
            await go_on.wait()

    daemon.world.companies[COMPANY_A].on_ask = wait
    headers = {"Idempotency-Key": "order-17"}
    answers: list[int] = []

    async def first() -> None:
        answers.append((await daemon.client.post(SEND, json=BODY, headers=headers)).status_code)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await arrived.wait()
        second = await daemon.client.post(SEND, json=BODY, headers=headers)
        go_on.set()

    assert problem(second) == (409, "in_progress")
    assert second.json()["retryable"] is True
    assert answers == [200]


async def test_a_failed_send_can_be_tried_again_under_its_key(daemon: Daemon) -> None:
    """A failure is not remembered, and the second try uses the same message id, so that phones show it once."""

    async def refuse_once(message: object) -> None:
        if isinstance(message, m.SendText):
            daemon.world.companies[COMPANY_A].on_ask = None
            raise m.Refused("send_timeout", "no acknowledgement")

    daemon.world.companies[COMPANY_A].on_ask = refuse_once
    headers = {"Idempotency-Key": "order-17"}

    first = await daemon.client.post(SEND, json=BODY, headers=headers)
    second = await daemon.client.post(SEND, json=BODY, headers=headers)

    tried = [message for message in daemon.world.companies[COMPANY_A].asked if isinstance(message, m.SendText)]
    assert (first.status_code, second.status_code) == (504, 200)
    assert tried[0].message_id == tried[1].message_id == second.json()["messageId"]


async def test_an_answer_that_could_not_be_recorded_is_still_an_answer(daemon: Daemon) -> None:
    """The message is out: the caller hears so, and a repeat finds the answer in memory."""
    daemon.world.companies[COMPANY_A].on_ask = None
    headers = {"Idempotency-Key": "order-17"}

    async def lose_storage(message: object) -> None:
        if isinstance(message, m.SendText):
            daemon.world.storage_is_away = True

    daemon.world.companies[COMPANY_A].on_ask = lose_storage

    first = await daemon.client.post(SEND, json=BODY, headers=headers)
    second = await daemon.client.post(SEND, json=BODY, headers=headers)

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert len(daemon.world.companies[COMPANY_A].sent) == 1


async def test_with_storage_away_a_key_cannot_be_honoured(daemon: Daemon) -> None:
    """Whether it is a repeat cannot be known: 503, nothing sent."""
    await daemon.client.post(SEND, json=BODY)
    daemon.world.storage_is_away = True

    answer = await daemon.client.post(SEND, json=BODY, headers={"Idempotency-Key": "order-17"})

    assert problem(answer) == (503, "storage_unavailable")
    assert len(daemon.world.companies[COMPANY_A].sent) == 1
