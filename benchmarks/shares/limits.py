"""The shared limits, and how company A's key takes all it may of each."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import httpx
import trio

from benchmarks.caller import Caller
from benchmarks.shares.asking import AGAIN_S, Wish, asking
from tests.outbound.receiver import Received, listening
from tests.support.api import EVENTS, SESSIONS, Api
from tests.support.daemon import Daemon
from tests.support.eventually import eventually
from tests.support.site import User

A: Final = User(1)
B: Final = User(2)
UNLINKED: Final = tuple(User(number) for number in range(10, 14))
"""Companies of A's key that are being linked."""
HOOKS: Final = 20
"""The number of webhooks that one company may have by default."""
EVENTS_FOR_HOOKS: Final = 10
ANSWER_AFTER_S: Final = 2.0
"""The time that a webhook's receiver takes, so that deliveries stay under way and the circuit stays closed."""
WEBHOOKS: Final = "/api/whatsapp/webhooks"
_WEBSOCKET: Final = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==",
)
_PLACES: Final = re.compile(r'^wasup_shared_places_taken\{of="(\w+)"\} ([\d.]+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Scene:
    """The participants."""

    daemon: Daemon
    api: Api
    key_a: str
    key_b: str

    async def places(self, of: str) -> int:
        """Return how many places of this limit are taken."""
        text = (await self.api.call("GET", "/metrics")).text
        return int(float(dict(_PLACES.findall(text))[of]))


@dataclass(frozen=True, slots=True)
class Held:
    """What A holds while B sends."""

    count: Callable[[], int]
    """Returns how many places, or other things, A holds."""
    refused: Callable[[], int] = lambda: 0
    """Returns how many times A was refused one more."""


Taking = Callable[[Scene], AbstractAsyncContextManager[Held]]
"""Makes a block within which A holds what it may of a limit."""


def _asking(of: str | None, *wishes: Wish) -> Taking:
    """Have A take places, which the daemon counts under the name ``of``. Without a name every answered attempt counts."""

    @asynccontextmanager
    async def taking(scene: Scene) -> AsyncGenerator[Held]:
        async with asking(scene.daemon, scene.key_a, lambda number: wishes[number % len(wishes)]) as asked:
            if of is None:
                yield Held(lambda: asked.answers[200], lambda: asked.refused)
            else:
                taken = await scene.places(of)
                yield Held(lambda: taken, lambda: asked.refused)

    return taking


@asynccontextmanager
async def _hooks(scene: Scene, count: int) -> AsyncGenerator[tuple[list[str], Callable[[], int]]]:
    """Make webhooks of A with a slow receiver. Yield their ids, and a function that returns how many deliveries are under way."""
    under_way = 0

    async def answer(_: Received) -> tuple[int, dict[str, str], bytes]:
        nonlocal under_way
        under_way += 1
        try:
            await trio.sleep(ANSWER_AFTER_S)
        finally:
            under_way -= 1
        return 204, {}, b""

    async with listening(answer) as host:
        body = {"url": f"http://127.0.0.1:{host.port}/", "companies": [A.company]}
        made = [await scene.api.call("POST", WEBHOOKS, json=body, key=scene.key_a) for _ in range(count)]
        ids = [str(one.json()["id"]) for one in made]
        try:
            yield ids, lambda: under_way
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(20.0):
                for each in ids:
                    await scene.api.call("DELETE", f"{WEBHOOKS}/{each}")


@asynccontextmanager
async def _deliveries(scene: Scene) -> AsyncGenerator[Held]:
    async with _hooks(scene, HOOKS) as (_, under_way):
        caller = Caller(scene.daemon, scene.key_b)
        for number in range(EVENTS_FOR_HOOKS):
            await caller.send(B.company, A.phone, f"for webhooks {number}")
        caller.close()

        async def busy() -> bool:
            return under_way() == HOOKS

        await eventually("every webhook to deliver", busy, within=30.0)
        yield Held(under_way)


@asynccontextmanager
async def _webhook_tests(scene: Scene) -> AsyncGenerator[Held]:
    async with _hooks(scene, 1) as (ids, _):
        wish = Wish(f"{WEBHOOKS}/{ids[0]}/test", "POST")
        async with _asking("webhook_tests", wish)(scene) as held:
            yield held


@asynccontextmanager
async def _pairings(scene: Scene) -> AsyncGenerator[Held]:
    """Have A's other companies show QR codes, which A asks for as pictures."""
    for user in UNLINKED:
        answer = await scene.api.call(
            "POST", f"{SESSIONS}/{user.company}/initialize", json={"method": "qr"}, key=scene.key_a
        )
        assert answer.status_code == 200, answer.text
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_look_at_codes, scene)
        yield Held(lambda: len(UNLINKED))
        nursery.cancel_scope.cancel()
    for user in UNLINKED:
        await scene.api.call("POST", f"{SESSIONS}/{user.company}/stop")


async def _look_at_codes(scene: Scene) -> None:
    while True:
        for user in UNLINKED:
            with suppress(httpx.TransportError):  # the daemon may have no connection left
                await scene.api.call("GET", f"{SESSIONS}/{user.company}/qr", key=scene.key_a)
            await trio.sleep(AGAIN_S)


_JSON: Final = ("Content-Type: application/json", "Connection: close")

ONE_BY_ONE: Final[Mapping[str, Taking]] = MappingProxyType(
    {
        "pairings with QR codes": _pairings,
        "webhook deliveries": _deliveries,
        "webhook tests": _webhook_tests,
        "look-ups of numbers": _asking(None, Wish(f"{SESSIONS}/{A.company}/contacts/{B.phone}")),
        "tickets": _asking("tickets", Wish(f"{EVENTS}/tickets", "POST")),
        "WebSocket readers": _asking("websockets", Wish(EVENTS, headers=_WEBSOCKET)),
        "dashboards": _asking("dashboards", Wish("/dashboard/stream")),
        "uploads": _asking("files", Wish(f"{SESSIONS}/{A.company}/media", "POST", body=b"\x89PNG", length=100_000)),
        "requests under way": _asking(
            "requests", Wish(f"{SESSIONS}/{A.company}/send", "POST", _JSON, body=b"{", length=100)
        ),
    }
)
"""In an order in which one key can take them all: once it has no place for a request, it gets nothing else."""


@asynccontextmanager
async def _everything(scene: Scene) -> AsyncGenerator[Held]:
    async with AsyncExitStack() as stack:
        # Tests and deliveries would share A's 20 webhooks, so deliveries stand for both.
        chosen = [taking for name, taking in ONE_BY_ONE.items() if name != "webhook tests"]
        held = [await stack.enter_async_context(taking(scene)) for taking in chosen]
        yield Held(lambda: sum(one.count() for one in held), lambda: sum(one.refused() for one in held))


LIMITS: Final[Mapping[str, Taking]] = MappingProxyType({**ONE_BY_ONE, "all of these at once": _everything})
