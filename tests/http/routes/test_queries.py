"""Numbers, groups, read receipts and typing through the API."""

from __future__ import annotations

from typing import Any

import pytest

from actors import messages as m
from tests.http.routes.test_sessions import problem
from tests.http.world import COMPANY_A, Daemon

BASE = f"/api/whatsapp/sessions/{COMPANY_A}"
GROUP = "120363000000000001@g.us"


async def test_a_number_is_looked_up(daemon: Daemon) -> None:
    """In any written form; a response for one with an account and one without."""
    known = await daemon.client.get(f"{BASE}/contacts/8 900 000-00-02")
    unknown = await daemon.client.get(f"{BASE}/contacts/+79000000009")

    assert known.json() == {
        "success": True,
        "companyId": COMPANY_A,
        "phone": "+79000000002",
        "onWhatsapp": True,
        "id": "79000000002@s.whatsapp.net",
        "lid": None,
    }
    assert (unknown.json()["onWhatsapp"], unknown.json()["id"]) == (False, None)
    assert m.CheckContact("79000000002@s.whatsapp.net") in daemon.world.companies[COMPANY_A].asked


async def test_an_id_of_whatsapps_is_looked_up_as_it_is(daemon: Daemon) -> None:
    """Whatever numbering plans say of it."""
    answer = await daemon.client.get(f"{BASE}/contacts/5215500000002@s.whatsapp.net")

    assert answer.json()["onWhatsapp"] is True
    assert m.CheckContact("5215500000002@s.whatsapp.net") in daemon.world.companies[COMPANY_A].asked


@pytest.mark.parametrize("phone", ["12", "abc", "79000000002@example.org", GROUP])
async def test_what_is_no_number_is_not_asked_about(daemon: Daemon, phone: str) -> None:
    """WhatsApp gets no query."""
    assert problem(await daemon.client.get(f"{BASE}/contacts/{phone}")) == (422, "invalid_phone")
    assert daemon.world.companies[COMPANY_A].asked == []


async def test_look_ups_have_a_limit_of_their_own(daemon: Daemon) -> None:
    """WhatsApp bans accounts that ask about thousands of numbers: the response says how many are left, and what is too much is not asked.
    Sends have a limit of their own.
    """
    daemon.world.limit = 2
    url = f"{BASE}/contacts/+79000000002"
    answers = [await daemon.client.get(url) for _ in range(3)]
    sent = await daemon.client.post(f"{BASE}/send", json={"phone": "+79000000002", "message": "Hello"})

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
    assert problem(answers[-1]) == (429, "rate_limited")
    assert "2 look-ups a window" in answers[-1].json()["detail"]
    assert (answers[-1].headers["retry-after"], answers[-1].json()["retryAfter"]) == ("42", 42)
    assert sum(isinstance(asked, m.CheckContact) for asked in daemon.world.companies[COMPANY_A].asked) == 2
    assert sent.headers["ratelimit-remaining"] == "1"


async def test_a_look_up_that_cannot_be_made_is_not_counted(daemon: Daemon) -> None:
    """As with sends: a bad number and a company that is not connected use no token."""
    daemon.world.limit = 1
    bad = await daemon.client.get(f"{BASE}/contacts/12")
    daemon.world.companies[COMPANY_A].state = m.CompanyState.RECONNECTING
    away = await daemon.client.get(f"{BASE}/contacts/+79000000002")
    daemon.world.companies[COMPANY_A].state = m.CompanyState.CONNECTED
    good = await daemon.client.get(f"{BASE}/contacts/+79000000002")

    assert [problem(answer) for answer in (bad, away)] == [(422, "invalid_phone"), (503, "reconnecting")]
    assert good.status_code == 200


async def test_groups_are_listed_and_described(daemon: Daemon) -> None:
    """The list has no members, a single group has."""
    listed = (await daemon.client.get(f"{BASE}/groups")).json()
    single = (await daemon.client.get(f"{BASE}/groups/{GROUP}")).json()

    assert (listed["count"], listed["groups"]) == (1, [single["group"]])
    assert (single["group"]["id"], single["group"]["subject"], single["group"]["size"]) == (GROUP, "Sales", 1)
    assert single["members"] == [
        {
            "id": "100000000000001@lid",
            "pn": "79000000001@s.whatsapp.net",
            "lid": "100000000000001@lid",
            "admin": True,
            "owner": True,
        }
    ]


async def test_a_person_is_no_group(daemon: Daemon) -> None:
    """A group is named by its JID."""
    assert problem(await daemon.client.get(f"{BASE}/groups/+79000000002")) == (422, "invalid_phone")


async def test_reading_and_typing(daemon: Daemon) -> None:
    """Passed on with full JIDs; in a group with the authors of the messages."""
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("read", {"phone": "+79000000002", "messageIds": ["A1", "A2"]}),
        ("read", {"phone": GROUP, "messageIds": ["A3"], "sender": "+79000000003"}),
        ("typing", {"phone": "+79000000002", "state": "recording"}),
    ]
    for path, body in bodies:
        answer = await daemon.client.post(f"{BASE}/{path}", json=body)
        assert (answer.status_code, answer.json()) == (200, {"success": True})

    asked = [each for each in daemon.world.companies[COMPANY_A].asked if not isinstance(each, m.WaitConnected)]
    assert asked == [
        m.MarkRead("79000000002@s.whatsapp.net", ("A1", "A2"), None),
        m.MarkRead(GROUP, ("A3",), "79000000003@s.whatsapp.net"),
        m.SetTyping("79000000002@s.whatsapp.net", "recording"),
    ]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("read", {"phone": "+79000000002", "messageIds": []}),
        ("read", {"phone": "+79000000002", "messageIds": ["A 1"]}),
        ("read", {"phone": "+79000000002", "messageIds": ["A"] * 101}),
        ("read", {"phone": GROUP, "messageIds": ["A1"]}),
        ("typing", {"phone": "+79000000002", "state": "thinking"}),
        ("typing", {"phone": "+79000000002", "state": "paused", "for": 5}),
    ],
)
async def test_wrong_bodies_are_refused(daemon: Daemon, path: str, body: dict[str, Any]) -> None:
    """And no other side hears of it."""
    assert problem(await daemon.client.post(f"{BASE}/{path}", json=body)) == (422, "invalid_request")
    assert daemon.world.companies[COMPANY_A].asked == []


@pytest.mark.parametrize(
    ("code", "status"),
    [("no_active_session", 409), ("not_in_group", 409), ("no_such_group", 404), ("timeout", 504), ("overloaded", 503)],
)
async def test_refusals_are_passed_on(daemon: Daemon, code: str, status: int) -> None:
    """Each with its code."""

    async def refuse(_: Any) -> None:
        raise m.Refused(code, "as the company says")

    daemon.world.companies[COMPANY_A].on_ask = refuse

    assert problem(await daemon.client.get(f"{BASE}/groups/{GROUP}")) == (status, code)
