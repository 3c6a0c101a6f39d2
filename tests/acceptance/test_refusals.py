"""A message that cannot be sent is refused, each case with its own status and code, and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from tests.loopback.remote import RemoteLoopback
from tests.support.api import SESSIONS, Api, Json
from tests.support.site import Plan, Site, User

A, B, UNLINKED = (User(number) for number in range(1, 4))
PLAN = Plan(companies=(A, B))


async def key_for(site: Site, company: str) -> str:
    """A key made on the command line, for one company."""
    made = await site.wasup("keys", "create", f"of {company}", "--company", company, "--json")
    assert made.returncode == 0, made.stderr
    return str(msgspec.json.decode(made.stdout, type=dict[str, Any])["key"])


async def refusal(api: Api, loopback: RemoteLoopback, path: str, **request: Any) -> tuple[int, str, Mapping[str, str]]:
    """Status, code and headers of a refused send; nothing was routed and no event was written for it."""
    before = (await loopback.counters(), await api.last_seq())
    answer = await api.call("POST", path, **request)
    after = (await loopback.counters(), await api.last_seq())
    problem: Json = answer.json()

    assert problem["success"] is False
    assert answer.headers["content-type"] == "application/problem+json"
    assert after == before
    return answer.status_code, problem["code"], answer.headers


@pytest.mark.parametrize(
    ("json", "status", "code"),
    [
        ({"phone": "+7900", "message": "x"}, 422, "invalid_phone"),
        ({"phone": "not a number", "message": "x"}, 422, "invalid_phone"),
        ({"phone": f"+{B.phone}", "message": "x" * 4097}, 422, "message_too_long"),
        ({"phone": f"+{B.phone}", "message": ""}, 422, "invalid_message"),
        ({"phone": f"+{B.phone}"}, 422, "invalid_request"),
        ({"phone": f"+{B.phone}", "message": "x", "surprise": 1}, 422, "invalid_request"),
    ],
    ids=["bad number", "no number", "4097 characters", "empty", "no message", "unknown field"],
)
async def test_a_body_that_is_wrong(api: Api, loopback: RemoteLoopback, json: Json, status: int, code: str) -> None:
    """The recipient and the message are checked before anything else happens."""
    found = await refusal(api, loopback, f"{SESSIONS}/{A.company}/send", json=json)

    assert found[:2] == (status, code)


async def test_4096_characters_are_sent(api: Api) -> None:
    """The longest message that is allowed arrives whole."""
    text = "я" * 4096
    message = await api.message(B.company, await api.send(A.company, f"+{B.phone}", text))

    assert message["text"] == text


async def test_a_broken_body(api: Api, loopback: RemoteLoopback) -> None:
    """A body that is no JSON is a 400, and says so."""
    content = b'{"phone": "+79000000002", "message": '
    found = await refusal(
        api, loopback, f"{SESSIONS}/{A.company}/send", content=content, headers={"Content-Type": "application/json"}
    )

    assert found[:2] == (400, "invalid_json")


async def test_a_wrong_key(api: Api, loopback: RemoteLoopback) -> None:
    """401, which says what to send instead."""
    json = {"phone": f"+{B.phone}", "message": "x"}
    found = await refusal(api, loopback, f"{SESSIONS}/{A.company}/send", json=json, key="wasup_00000000_wrong")

    assert found[:2] == (401, "unauthorized")


async def test_another_companys_key(api: Api, loopback: RemoteLoopback, site: Site) -> None:
    """403, the same byte for byte for a company that exists and for one that does not; its own company is allowed."""
    key = await key_for(site, B.company)
    json = {"phone": f"+{B.phone}", "message": "x"}
    found = await refusal(api, loopback, f"{SESSIONS}/{A.company}/send", json=json, key=key)
    existing = await api.call("POST", f"{SESSIONS}/{A.company}/send", json=json, key=key)
    imaginary = await api.call("POST", f"{SESSIONS}/{A.company[:-1]}X/send", json=json, key=key)
    own = await api.call("GET", f"{SESSIONS}/{B.company}/status", key=key)

    assert found[:2] == (403, "access_denied")
    assert (existing.status_code, existing.content) == (imaginary.status_code, imaginary.content)
    assert own.status_code == 200


async def test_an_unknown_company(api: Api, loopback: RemoteLoopback) -> None:
    """404 for the admin, who may know of all companies."""
    json = {"phone": f"+{B.phone}", "message": "x"}
    found = await refusal(api, loopback, f"{SESSIONS}/unknown/send", json=json)

    assert found[:2] == (404, "no_such_company")


async def test_a_company_that_is_not_linked(api: Api) -> None:
    """409 before linking; asking for a QR does not change that."""
    await api.post(f"{SESSIONS}/{UNLINKED.company}/initialize")
    answer = await api.try_send(UNLINKED.company, f"+{B.phone}", "x")

    assert (answer.status_code, answer.json()["code"]) == (409, "no_active_session")


async def test_the_thirty_first_message_in_a_minute(api: Api, loopback: RemoteLoopback) -> None:
    """30 pass, the next is 429 with Retry-After and the RateLimit headers, and is not sent."""
    answers = [await api.try_send(B.company, f"+{A.phone}", str(number)) for number in range(30)]
    for answer in answers:  # until nothing more will happen for them
        await _received(api, answer.json()["messageId"])
    found = await refusal(
        api, loopback, f"{SESSIONS}/{B.company}/send", json={"phone": f"+{A.phone}", "message": "one too many"}
    )

    assert [answer.status_code for answer in answers] == [200] * 30
    assert found[:2] == (429, "rate_limited")
    assert 1 <= int(found[2]["retry-after"]) <= 60
    assert (found[2]["ratelimit-limit"], found[2]["ratelimit-remaining"]) == ("30", "0")


async def _received(api: Api, message_id: str) -> None:
    await api.event(B.company, "receipt", where=lambda payload: message_id in payload["messageIds"])
    await api.message(A.company, message_id)
