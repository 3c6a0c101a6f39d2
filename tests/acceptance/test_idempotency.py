"""The daemon is killed during a send with an `Idempotency-Key`: the repeat never sends a second time."""

from __future__ import annotations

import os
import signal

import httpx
import pytest
import trio

from storage.database.pool import open_database
from tests.loopback.remote import RemoteLoopback
from tests.support.api import SESSIONS, Api
from tests.support.eventually import eventually
from tests.support.site import Plan, Site, User

A, B = User(1), User(2)
PLAN = Plan(companies=(A, B))
CONNECTED_WITHIN_S = 60.0


async def send(api: Api, key: str, text: str) -> httpx.Response:
    """Send a text from A to B under this key; a broken connection is a response of status 0."""
    body = {"phone": B.phone, "message": text}
    try:
        return await api.call("POST", f"{SESSIONS}/{A.company}/send", json=body, headers={"Idempotency-Key": key})
    except httpx.TransportError:
        return httpx.Response(0)


async def killed_amid(site: Site, api: Api, loopback: RemoteLoopback, key: str, before: int) -> httpx.Response:
    """Kill the daemon once its request is claimed (and as far as it gets from there); return the response to the repeat."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send, api, key, key)
        await eventually("the claim to be stored", lambda: _claimed(site, key), within=20.0)
        if key == "unacknowledged":
            await eventually("WhatsApp to have it", lambda: _has_more(loopback, before), within=20.0)
        site.daemon.signal(signal.SIGKILL)
        await site.daemon.wait_ended(within=20.0)
    await loopback.fault("release")
    await site.daemon.restart()
    await api.wait_connected(A.company, B.company, within=CONNECTED_WITHIN_S)
    return await send(api, key, key)


@pytest.mark.parametrize("key", ["unacknowledged", "unsent"])
async def test_a_send_whose_end_nobody_saw_is_not_repeated(
    site: Site, api: Api, loopback: RemoteLoopback, key: str
) -> None:
    """Killed after WhatsApp had the message, and killed before the engine could send it: the repeat gets
    `outcome_unknown` and nothing more goes out; another key sends."""
    await api.wait_connected(A.company, B.company)
    await api.send(A.company, B.phone, "before")
    before = len(await _routed(loopback, A))
    if key == "unacknowledged":
        await loopback.fault("hold", tag="ack", phone=A.phone)
        sent = 1
    else:
        for pid in site.daemon.engines():
            os.kill(pid, signal.SIGSTOP)
        sent = 0

    repeat = await killed_amid(site, api, loopback, key, before)
    other = await send(api, f"{key}-again", "after")

    assert (repeat.status_code, repeat.json()["code"]) == (409, "outcome_unknown")
    assert other.status_code == 200
    assert len(await _routed(loopback, A)) == before + sent + 1
    await api.message(B.company, other.json()["messageId"])
    # The recipient was killed as well. It asks again for messages it had not stored, which may take longer than the message after them.
    await eventually(f"{sent} messages of it to be events", lambda: _has_events(api, key, sent), within=30.0)
    assert (await _texts(api)).count(key) == sent


async def _has_events(api: Api, text: str, count: int) -> bool:
    return (await _texts(api)).count(text) >= count


async def _texts(api: Api) -> list[str]:
    """Of all messages that the recipient has as events."""
    return [event["payload"]["text"] for event in await api.events(company=B.company, kind="message")]


async def _claimed(site: Site, key: str) -> bool:
    async with open_database(site.dsn, size=1) as database:
        return bool(await database.fetchval("SELECT count(*) FROM idempotency WHERE key = $1", key))


async def _routed(loopback: RemoteLoopback, sender: User) -> set[str]:
    """The messages it has sent: each goes to several devices."""
    names = (sender.phone, sender.lid)
    return {each.message_id for each in await loopback.routed() if any(name in each.sender for name in names)}


async def _has_more(loopback: RemoteLoopback, before: int) -> bool:
    return len(await _routed(loopback, A)) > before
