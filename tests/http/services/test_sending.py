"""Sending a text: the checks, their order, and the cost of each refusal."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

import httpx
import msgspec
import pytest
import trio

from actors import messages as m
from actors.http.model.message_schema import SendBody
from actors.http.services.idempotency import ELSEWHERE_S, Remembered
from actors.messages import CompanyState
from config.sections import HttpSettings
from tests.http.fakes import NOW
from tests.http.raw import connected, request, reset
from tests.http.routes.test_sessions import problem
from tests.http.world import COMPANY_A, Daemon, running, sample_world, until

SEND = f"/api/whatsapp/sessions/{COMPANY_A}/send"
BODY = {"phone": "+79000000002", "message": "hello"}
INPUTS = Path(__file__).parents[2] / "inputs"
BRAZILIAN = "555191234567@s.whatsapp.net"
GROUP = "120363000000000001@g.us"


async def test_a_text_is_sent(daemon: Daemon) -> None:
    """The response has the ids, the headers have the remaining tokens."""
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


@pytest.mark.parametrize("name", ["send_br_old_pn", "send_mx_521"])
async def test_a_senders_id_can_be_answered_as_it_came(daemon: Daemon, name: str) -> None:
    """WhatsApp names accounts by numbers of plans that have ended: such an id is accepted."""
    body = json.loads((INPUTS / f"{name}.json").read_text())

    answer = await daemon.client.post(SEND, json=body)

    assert answer.status_code == 200
    assert daemon.world.companies[COMPANY_A].sent[0].to == body["phone"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("send", {"phone": BRAZILIAN, "location": {"latitude": 1, "longitude": 2}}),
        ("send", {"phone": BRAZILIAN, "contact": {"name": "Anna", "phone": BRAZILIAN}}),
        ("send", {**BODY, "options": {"mentions": [BRAZILIAN]}}),
        ("send", {**BODY, "options": {"quoted": {"messageId": "3EB0A1", "sender": BRAZILIAN}}}),
        ("send", {"phone": GROUP, "reaction": {"messageId": "3EB0A1", "emoji": "👍", "sender": BRAZILIAN}}),
        ("send", {"phone": GROUP, "delete": {"messageId": "3EB0A1", "sender": BRAZILIAN}}),
        ("read", {"phone": BRAZILIAN, "messageIds": ["3EB0A1"]}),
        ("read", {"phone": GROUP, "messageIds": ["3EB0A1"], "sender": BRAZILIAN}),
        ("typing", {"phone": BRAZILIAN, "state": "composing"}),
    ],
)
async def test_an_id_of_whatsapps_is_taken_everywhere(daemon: Daemon, path: str, body: dict[str, object]) -> None:
    """As a recipient, and wherever else an account is named."""
    answer = await daemon.client.post(f"/api/whatsapp/sessions/{COMPANY_A}/{path}", json=body)

    assert answer.status_code == 200, answer.text
    assert "555191234567" in repr(daemon.world.companies[COMPANY_A].asked[-1])


@pytest.mark.parametrize("phone", [BRAZILIAN, "+555191234567", "5215500000012@s.whatsapp.net"])
async def test_a_phone_of_an_earlier_plan_is_linked_by_code(daemon: Daemon, phone: str) -> None:
    """The number is passed on as WhatsApp names it."""
    answer = await daemon.client.post(
        "/api/whatsapp/sessions/962310/initialize", json={"method": "code", "phone": phone}
    )

    assert answer.status_code == 200
    asked = daemon.world.companies["962310"].asked
    assert asked[0] == m.Initialize("code", phone.partition("@")[0].removeprefix("+"))


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
    """A group has more than one sender."""
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


async def test_a_company_that_is_known_to_be_connected_is_not_asked_for_its_status(daemon: Daemon) -> None:
    """Its last state is at hand: one request to the company, with the message itself."""
    daemon.metrics.status_changed(COMPANY_A, CompanyState.CONNECTED)

    assert (await daemon.client.post(SEND, json=BODY)).status_code == 200
    assert [type(asked) for asked in daemon.world.companies[COMPANY_A].asked] == [m.SendText]


async def test_a_connected_company_sends_while_the_directory_does_not_answer(daemon: Daemon) -> None:
    """The directory has all companies; it is asked only for one that is not known to be connected."""
    daemon.metrics.status_changed(COMPANY_A, CompanyState.CONNECTED)
    assert (await daemon.client.post("/admin/actors/directory/suspend")).status_code == 200

    assert (await daemon.client.post(SEND, json=BODY)).status_code == 200
    assert len(daemon.world.companies[COMPANY_A].sent) == 1


async def test_a_company_that_is_gone_is_looked_for(daemon: Daemon) -> None:
    """Its last state may be known for a moment longer."""
    daemon.metrics.status_changed("nobody", CompanyState.CONNECTED)

    answer = await daemon.client.post("/api/whatsapp/sessions/nobody/send", json=BODY)

    assert problem(answer) == (404, "no_such_company")


async def test_a_company_that_has_been_connected_is_asked_why_it_is_not(daemon: Daemon) -> None:
    """Its reply has the reason, and no token is used."""
    daemon.metrics.status_changed(COMPANY_A, CompanyState.CONNECTED)
    daemon.metrics.status_changed(COMPANY_A, CompanyState.RECONNECTING)
    daemon.world.companies[COMPANY_A].state = CompanyState.RECONNECTING

    answer = await daemon.client.post(SEND, json=BODY)

    assert problem(answer) == (503, "reconnecting")
    assert (answer.json()["retryable"], answer.headers["retry-after"]) == (True, "2")
    assert "reconnecting" in answer.json()["detail"]
    assert daemon.world.tokens == {}


async def test_a_send_waits_for_a_company_on_its_way_back(daemon: Daemon) -> None:
    """It is sent as soon as the company is connected; no token is used before."""
    company = daemon.world.companies[COMPANY_A]
    company.state, connected = CompanyState.RECONNECTING, trio.Event()
    tokens: list[dict[str, int]] = []

    async def wait(asked: object) -> None:
        if isinstance(asked, m.WaitConnected):
            tokens.append(dict(daemon.world.tokens))
            await connected.wait()
            company.state = CompanyState.CONNECTED

    company.on_ask = wait
    async with trio.open_nursery() as nursery:
        answers: list[httpx.Response] = []

        async def send() -> None:
            answers.append(await daemon.client.post(SEND, json=BODY))

        nursery.start_soon(send)
        await until(lambda: bool(tokens))
        connected.set()

    assert (answers[0].status_code, tokens) == (200, [{}])


async def test_those_who_wait_are_bounded_in_all() -> None:
    """With as many waiting as may, one more is checked at once: a company on its way back is 503, a stopped one 409 as ever."""
    world = sample_world()
    company = world.companies[COMPANY_A]
    company.state = CompanyState.RECONNECTING
    asked: list[float] = []

    async def hang(message: object) -> None:
        if isinstance(message, m.WaitConnected):
            asked.append(message.within_s)

    company.on_ask = hang
    async with running(world, HttpSettings(max_waiting_sends=0)) as daemon:
        answer = await daemon.client.post(SEND, json=BODY)
        company.state = CompanyState.STOPPED
        stopped = await daemon.client.post(SEND, json=BODY)

    assert problem(answer) == (503, "reconnecting")
    assert problem(stopped) == (409, "no_active_session")
    assert asked == [0.0, 0.0]


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
    """Not before the company's own deadline has passed; the company is not disturbed."""
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
    """The same response, marked as a repeat; no token is used."""
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
    """It is retryable: the response will be there soon."""
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


def refuse_once(daemon: Daemon, error: Exception) -> None:
    """The next send of company A ends in this."""

    async def refuse(message: object) -> None:
        if isinstance(message, m.SendText):
            daemon.world.companies[COMPANY_A].on_ask = None
            raise error

    daemon.world.companies[COMPANY_A].on_ask = refuse


@pytest.mark.parametrize("code", ["no_active_session", "too_many_sends", "recipient_not_on_whatsapp", "send_rejected"])
async def test_what_certainly_sent_nothing_can_be_tried_again_under_its_key(daemon: Daemon, code: str) -> None:
    """The key is free again."""
    headers = {"Idempotency-Key": "order-17"}
    refuse_once(daemon, m.Refused(code, "as the test wants it"))

    first = await daemon.client.post(SEND, json=BODY, headers=headers)
    assert daemon.world.kept == {}
    second = await daemon.client.post(SEND, json=BODY, headers=headers)

    assert (problem(first)[1], second.status_code) == (code, 200)


@pytest.mark.parametrize("code", ["send_timeout", "engine_unavailable", "storage_unavailable"])
async def test_what_may_have_been_sent_is_not_sent_again(daemon: Daemon, code: str) -> None:
    """A repeat gets the answer that the outcome is unknown; so does every further one."""
    headers = {"Idempotency-Key": "order-17"}
    refuse_once(daemon, m.Refused(code, "as the test wants it"))

    first = await daemon.client.post(SEND, json=BODY, headers=headers)
    repeats = [await daemon.client.post(SEND, json=BODY, headers=headers) for _ in range(2)]

    assert problem(first)[1] == code
    assert [problem(answer) for answer in repeats] == [(409, "outcome_unknown")] * 2
    assert repeats[0].json()["retryable"] is False
    assert daemon.world.companies[COMPANY_A].sent == []


async def test_a_company_that_crashes_over_a_send_leaves_its_outcome_unknown(daemon: Daemon) -> None:
    """The claim is durable before the company is asked, and no crash takes it back."""
    headers = {"Idempotency-Key": "order-17"}
    refuse_once(daemon, RuntimeError("as the test wants it"))

    first = await daemon.client.post(SEND, json=BODY, headers=headers)
    second = await daemon.client.post(SEND, json=BODY, headers=headers)

    assert problem(first) == (503, "restarting")
    assert problem(second) == (409, "outcome_unknown")


async def test_the_claim_is_there_before_the_company_is_asked(daemon: Daemon) -> None:
    """And the response before it is sent."""
    seen: list[bytes | None] = []

    async def look(message: object) -> None:
        if isinstance(message, m.SendText):
            seen.append(daemon.world.kept[COMPANY_A, "order-17"].response)

    daemon.world.companies[COMPANY_A].on_ask = look

    answer = await daemon.client.post(SEND, json=BODY, headers={"Idempotency-Key": "order-17"})

    assert seen == [None]
    assert daemon.world.kept[COMPANY_A, "order-17"].response == answer.content


async def test_an_http_actor_that_ends_amid_a_send_leaves_its_outcome_unknown(daemon: Daemon) -> None:
    """Its next incarnation knows the claim from storage only, and does not send."""
    arrived = trio.Event()

    async def stay(message: object) -> None:
        if isinstance(message, m.SendText):
            arrived.set()
            daemon.world.companies[COMPANY_A].on_ask = None
            await trio.sleep_forever()

    daemon.world.companies[COMPANY_A].on_ask = stay
    headers = {"Idempotency-Key": "order-17"}

    async def first() -> None:
        with contextlib.suppress(httpx.HTTPError):
            await daemon.client.post(SEND, json=BODY, headers=headers)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await arrived.wait()
        daemon.system.kill("/http", "by the test")
        await until(lambda: daemon.system.snapshot("/http").state == "running")
    _, port = await daemon.system.ref("/http").ask(m.GetHttpAddress())
    answer = await daemon.client.post(f"http://127.0.0.1:{port}{SEND}", json=BODY, headers=headers)

    assert problem(answer) == (409, "outcome_unknown")


async def test_a_send_of_another_daemon_is_under_way_for_a_while(daemon: Daemon) -> None:
    """Then its outcome is unknown."""
    digest = hashlib.sha256(msgspec.json.encode(msgspec.convert(BODY, SendBody))).digest()
    codes: list[str] = []
    for age_s in (ELSEWHERE_S - 1, ELSEWHERE_S + 1):
        daemon.world.kept[COMPANY_A, "order-17"] = Remembered(digest, None, "theirs", is_ours=False, age_s=age_s)
        answer = await daemon.client.post(SEND, json=BODY, headers={"Idempotency-Key": "order-17"})
        codes.append(problem(answer)[1])

    assert codes == ["in_progress", "outcome_unknown"]


async def test_a_client_that_leaves_can_come_back_for_its_answer(daemon: Daemon) -> None:
    """The send goes on without it and is recorded."""
    arrived, go_on = trio.Event(), trio.Event()

    async def wait(message: object) -> None:
        if isinstance(message, m.SendText):
            arrived.set()
            await go_on.wait()

    daemon.world.companies[COMPANY_A].on_ask = wait
    headers = {"Idempotency-Key": "order-17"}
    async with connected(daemon) as stream:
        body = msgspec.json.encode(BODY)
        await stream.send_all(
            request("POST", SEND, f"Content-Length: {len(body)}", "Idempotency-Key: order-17", body=body)
        )
        await arrived.wait()
        reset(stream)
    go_on.set()
    await until(lambda: daemon.world.kept[COMPANY_A, "order-17"].response is not None)

    answer = await daemon.client.post(SEND, json=BODY, headers=headers)

    assert (answer.status_code, answer.headers["idempotency-replayed"]) == (200, "true")
    assert len(daemon.world.companies[COMPANY_A].sent) == 1


async def test_an_answer_that_could_not_be_recorded_is_still_an_answer(daemon: Daemon) -> None:
    """The message is sent: the caller hears so, a repeat finds the response in memory, and storage gets it when it is back."""
    headers = {"Idempotency-Key": "order-17"}

    async def lose_storage(message: object) -> None:
        if isinstance(message, m.SendText):
            daemon.world.storage_is_away = True

    daemon.world.companies[COMPANY_A].on_ask = lose_storage

    first = await daemon.client.post(SEND, json=BODY, headers=headers)
    second = await daemon.client.post(SEND, json=BODY, headers=headers)
    assert daemon.world.kept[COMPANY_A, "order-17"].response is None
    daemon.world.storage_is_away = False

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert len(daemon.world.companies[COMPANY_A].sent) == 1
    await until(lambda: daemon.world.kept[COMPANY_A, "order-17"].response == first.content)


async def test_a_key_that_could_not_be_given_free_is_free_all_the_same(daemon: Daemon) -> None:
    """While Postgres was away nothing was sent; the claim there does not block the next send."""
    headers = {"Idempotency-Key": "order-17"}

    async def refuse_and_lose_storage(message: object) -> None:
        if isinstance(message, m.SendText):
            daemon.world.storage_is_away = True
            raise m.Refused("recipient_not_on_whatsapp", "as the test wants it")

    daemon.world.companies[COMPANY_A].on_ask = refuse_and_lose_storage
    first = await daemon.client.post(SEND, json=BODY, headers=headers)
    daemon.world.storage_is_away = False
    daemon.world.companies[COMPANY_A].on_ask = None
    assert daemon.world.kept[COMPANY_A, "order-17"].response is None

    second = await daemon.client.post(SEND, json=BODY, headers=headers)

    assert (problem(first)[1], second.status_code) == ("recipient_not_on_whatsapp", 200)


async def test_with_storage_away_a_key_cannot_be_honoured(daemon: Daemon) -> None:
    """Whether it is a repeat is unknown: 503, nothing sent."""
    await daemon.client.post(SEND, json=BODY)
    daemon.world.storage_is_away = True

    answer = await daemon.client.post(SEND, json=BODY, headers={"Idempotency-Key": "order-17"})

    assert problem(answer) == (503, "storage_unavailable")
    assert len(daemon.world.companies[COMPANY_A].sent) == 1
