"""``freeze_gc``: a collector that does not look through ten thousand actors that are not garbage."""

from __future__ import annotations

import gc

import pytest

from supervisor import Actor, ChildSpec, ExitReason, SupervisorSpec, open_system
from supervisor.errors import StartFailed
from tests.supervisor.probes import Boom, Journal, probe


async def test_the_garbage_collector_passes_over_a_started_tree() -> None:
    """With ``freeze_gc`` what is there after the start is frozen until the block is left."""
    before = gc.get_freeze_count()
    async with open_system(SupervisorSpec([probe("a")]), freeze_gc=True):
        assert gc.get_freeze_count() > before

    assert gc.get_freeze_count() == 0


async def test_the_garbage_collector_passes_over_a_tree_that_stops() -> None:
    """With ``freeze_gc`` what came after the start is frozen too while it is stopped."""
    frozen: list[int] = []

    class Last(Actor):
        async def stopping(self, reason: ExitReason) -> None:
            frozen.append(gc.get_freeze_count())

    async with open_system(SupervisorSpec([ChildSpec("last", lambda _: Last())]), freeze_gc=True):
        started = gc.get_freeze_count()
        came_since = [[] for _ in range(10_000)]  # type: ignore[var-annotated]

    # Some of what was frozen at the start may have been freed since: that is counted off.
    assert frozen[0] > started + len(came_since) // 2
    assert gc.get_freeze_count() == 0


async def test_a_failed_start_leaves_nothing_frozen() -> None:
    """The garbage collector is as it was."""

    class Broken(Actor):
        async def started(self) -> None:
            raise Boom("broken")

    spec = SupervisorSpec([ChildSpec("broken", lambda _: Broken())])
    with pytest.raises(StartFailed):
        async with open_system(spec, on_event=Journal().on_event, freeze_gc=True):
            pass

    assert gc.get_freeze_count() == 0
