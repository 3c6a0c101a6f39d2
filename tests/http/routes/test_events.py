"""Events in pages."""

from __future__ import annotations

import pytest

from tests.http.routes.test_sessions import problem
from tests.http.world import A_KEY, COMPANY_A, COMPANY_B, Daemon

EVENTS = "/api/whatsapp/events"


async def test_pages_follow_each_other(daemon: Daemon) -> None:
    """`next` of a page is the `after` of the following one; the last page says where to go on later."""
    for _ in range(5):
        daemon.world.publish(COMPANY_A, "status")

    first = (await daemon.client.get(EVENTS, params={"limit": 3})).json()
    second = (await daemon.client.get(EVENTS, params={"limit": 3, "after": first["next"]})).json()

    assert first["success"] is True
    assert [event["seq"] for event in first["events"]] == [1, 2, 3]
    assert [event["seq"] for event in second["events"]] == [4, 5]
    assert second["next"] == 5


async def test_filters_choose_company_and_type(daemon: Daemon) -> None:
    """Repeated, or with commas."""
    for kind in ("qr", "message", "status"):
        daemon.world.publish(COMPANY_A, kind)
        daemon.world.publish(COMPANY_B, kind)

    for query in ("type=qr,status", "type=qr&type=status", "&".join(["type=qr", "type=status"] * 50)):
        page = (await daemon.client.get(f"{EVENTS}?companyId={COMPANY_B}&{query}")).json()
        assert [event["seq"] for event in page["events"]] == [2, 6]


async def test_a_key_of_one_company_reads_only_that_one(daemon: Daemon) -> None:
    """A filter on another is denied, whether that one exists or not."""
    daemon.world.publish(COMPANY_B, "status")
    daemon.world.publish(COMPANY_A, "status")
    async with daemon.client_with(A_KEY) as client:
        own = (await client.get(EVENTS)).json()
        foreign = await client.get(EVENTS, params={"companyId": COMPANY_B})
        missing = await client.get(EVENTS, params={"companyId": "nobody"})

    assert [event["companyId"] for event in own["events"]] == [COMPANY_A]
    assert problem(foreign) == (403, "access_denied")
    assert foreign.content == missing.content


@pytest.mark.parametrize(
    "query",
    [
        "after=-1", "after=x", "after=9223372036854775808", "after=" + "9" * 5000, "limit=0", "limit=1001",
        "type=a%00b", "type=mesage", "type=qr,Status", "companyId=a%20b", "type=" + ",".join(["qr"] * 101),
        "&".join(["type="] * 101), "&".join([f"companyId={COMPANY_A}"] * 101),
    ],
)  # fmt: skip
async def test_a_bad_query_is_422(daemon: Daemon, query: str) -> None:
    """Before anything is read."""
    assert problem(await daemon.client.get(f"{EVENTS}?{query}"))[0] == 422


async def test_with_storage_away_events_cannot_be_read(daemon: Daemon) -> None:
    """503 with Retry-After."""
    await daemon.client.get(EVENTS)
    daemon.world.storage_is_away = True

    answer = await daemon.client.get(EVENTS)

    assert problem(answer) == (503, "storage_unavailable")
    assert answer.headers["retry-after"] == "5"
