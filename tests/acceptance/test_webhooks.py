"""Webhooks of the installed daemon: events arrive at the application, also when the daemon is killed in between."""

from __future__ import annotations

import signal
from typing import Any

import msgspec
import trio

from tests.outbound.receiver import Received, listening
from tests.support.api import Api
from tests.support.site import Plan, Site, User
from tests.support.waiting import wait_until

A, B = User(1), User(2)
PLAN = Plan(
    companies=(A, B),
    settings={
        "WASUP_OUTBOUND_ALLOW_HTTP": "true",
        "WASUP_OUTBOUND_ALLOWED_NETWORKS": "127.0.0.1",
        "WASUP_WEBHOOKS_RETRY_MAX_S": "1",
        "WASUP_WEBHOOKS_CIRCUIT_MIN_S": "1",
        "WASUP_WEBHOOKS_CIRCUIT_MAX_S": "1",
    },
)
WEBHOOKS = "/api/whatsapp/webhooks"


def told(received: list[Received]) -> list[str]:
    """The texts of the messages that arrived, each once, in the order of their first arrival."""
    events: list[dict[str, Any]] = [msgspec.json.decode(request.body) for request in received]
    return list(dict.fromkeys(event["payload"]["text"] for event in events))


async def test_messages_arrive_through_a_kill(site: Site, api: Api) -> None:
    """The endpoint is down, the daemon is killed and started again, the endpoint is back: every message, in order, signed."""
    is_down = trio.Event()

    async def answer(_: Received) -> tuple[int, dict[str, str], bytes]:
        await trio.lowlevel.checkpoint()
        return (503 if is_down.is_set() else 204), {}, b""

    async with listening(answer) as host:
        body = {"url": f"http://127.0.0.1:{host.port}/", "companies": [B.company], "eventTypes": ["message"]}
        made = (await api.call("POST", WEBHOOKS, json=body)).json()
        await api.wait_connected(A.company, B.company)
        await api.send(A.company, B.phone, "one")
        await wait_until(lambda: told(host.received) == ["one"], seconds=30.0)
        is_down.set()
        await api.send(A.company, B.phone, "two")
        await api.event(B.company, "message", where=lambda payload: bool(payload["text"] == "two"), within=30.0)
        site.daemon.signal(signal.SIGKILL)
        await site.daemon.wait_ended(within=20.0)
        await site.daemon.restart()
        is_down = trio.Event()
        await api.wait_connected(A.company, B.company, within=60.0)
        await api.send(A.company, B.phone, "three")
        await wait_until(lambda: told(host.received) == ["one", "two", "three"], seconds=60.0)
        tested = await api.post(f"{WEBHOOKS}/{made['id']}/test")
        shown = await api.get(f"{WEBHOOKS}/{made['id']}")
        removed = await api.call("DELETE", f"{WEBHOOKS}/{made['id']}")

    assert tested["delivered"]
    assert (shown["status"], shown["deadLetters"], removed.status_code) == ("active", 0, 200)
    assert all(request.headers["x-wasup-signature"].startswith("t=") for request in host.received)
    assert made["secret"] not in site.daemon.log.read_text()
