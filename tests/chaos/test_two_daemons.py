"""Two daemons on one database, each stopped for longer than its leases last, again and again (L1)."""

from __future__ import annotations

import os
from collections import Counter
from random import Random

import pytest
import trio

from tests.chaos.two_daemons import (
    everybody_hands_over,
    keep_watch,
    messages_told,
    open_stage,
    stale_writes,
    stop_for_longer_than_the_lease,
    talk,
)
from tests.support.eventually import eventually
from tests.support.seeds import chosen_seed
from tests.support.site import User

SHORT_SEED = 962302
STOPS = int(os.environ.get("CHAOS_STOPS", "60"))
LISTENER, TALKER = User(98), User(99)


async def run(stops: int, companies: int, seed: int) -> None:
    """SIGSTOPs under traffic, then the proof."""
    random = Random(seed)
    print(f"two daemons: seed {seed}, {stops} stops, {companies} companies", flush=True)
    users = [User(number) for number in range(1, companies + 1)]
    async with open_stage(users, LISTENER, TALKER) as stage:
        victims: Counter[int] = Counter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_watch, stage)
            done = trio.Event()
            async with trio.open_nursery() as talking:
                talking.start_soon(talk, stage, done)
                for _ in range(stops):
                    victims[await stop_for_longer_than_the_lease(stage, random)] += 1
                done.set()
            nursery.cancel_scope.cancel()
        replaced = (await stage.loopback.counters())["replaced"]
        assert await stale_writes(stage) == []
        assert (replaced, stage.watch.most_sockets) == (0, 1)
        await stage.listener.wait_received(stage.watch.acknowledged, within=60.0)
        await everybody_hands_over(stage)

        async def all_told() -> bool:
            return stage.watch.sent_back.keys() <= (await messages_told(stage)).keys()

        await eventually("every message to be told", all_told, within=60.0)
        told = await messages_told(stage)
        assert {id_: told[id_] for id_ in stage.watch.sent_back if told[id_] != 1} == {}
        assert (await stage.loopback.counters())["pairings"] == companies + 2
        print(
            f"two daemons: seed {seed}: stopped {dict(victims)}, {len(stage.watch.acknowledged)} sends acknowledged and arrived, "
            f"{len(stage.watch.sent_back)} messages told once; 0 stale writes, never two sockets",
            flush=True,
        )


async def test_two_daemons_and_a_few_stops() -> None:
    """No write of an old owner, never two sockets of one company, nothing lost."""
    await run(stops=1, companies=2, seed=SHORT_SEED)


@pytest.mark.chaos
async def test_two_daemons_and_sixty_stops() -> None:
    """The same, for a long time."""
    await run(stops=STOPS, companies=5, seed=chosen_seed())
