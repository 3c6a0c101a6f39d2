"""No actor keeps the event loop to itself."""

from __future__ import annotations

from typing import Any

import trio
from trio.testing import MockClock

from supervisor import Actor, ChildSpec, Context, SupervisorSpec, open_system
from tests.supervisor.probes import Ping, probe


class Restless(Actor):
    """Always has one more message for itself, and never awaits."""

    def __init__(self, context: Context) -> None:
        context.ref.tell("again")

    async def receive(self, message: Any) -> Any:
        self.context.ref.tell("again")


SPEC = SupervisorSpec([ChildSpec("restless", Restless), probe("other")])


async def test_an_actor_that_is_never_idle_lets_others_run() -> None:
    """Its turns end by the clock; others reply, and it stops when asked to."""
    async with open_system(SPEC) as system:
        for _ in range(10):
            assert await system.ref("/other").ask(Ping()) == 1

        assert system.snapshot("/restless").handled > 10


async def test_an_actor_that_is_never_idle_lets_others_run_while_time_stands_still(mock_clock: MockClock) -> None:
    """Under a test's clock, which does not move by itself, a turn is one message."""
    async with open_system(SPEC) as system:
        for _ in range(10):
            assert await system.ref("/other").ask(Ping()) == 1

        assert 0 < system.snapshot("/restless").handled < 100
        assert trio.current_time() == 0
