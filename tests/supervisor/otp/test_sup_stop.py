"""OTP's supervisor suite, group sup_stop: each test bears the name of its case."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor import BRUTAL_KILL, INFINITY, NORMAL, SHUTDOWN, Actor, ChildSpec, ExitReason, Restart
from tests.supervisor.otp.kit import Sup, open_simple, open_sup
from tests.supervisor.probes import Crash, Stop, nap, probe


class Sticky(Actor):
    """Never finishes to stop by itself."""

    async def stopping(self, reason: ExitReason) -> None:
        await trio.sleep_forever()


class Grumpy(Actor):
    """Fails to stop."""

    async def stopping(self, reason: ExitReason) -> None:
        raise RuntimeError("not like this")


async def stop(sup: Sup) -> None:
    await sup.system.supervisor("/").terminate_child("sup")


async def test_sup_stop_infinity(autojump_clock: MockClock) -> None:
    """INFINITY is legal for actors and supervisors; both end with shutdown, however long it takes."""
    async with open_sup([probe("a", shutdown=INFINITY), probe("b", shutdown=INFINITY)]) as sup:
        sup.child("a").tell(nap(10_000))
        await wait_all_tasks_blocked()
        await stop(sup)

    assert sup.ends("/sup/a") == sup.ends("/sup/b") == ["shutdown"]
    assert trio.current_time() == 10_000


async def test_sup_stop_timeout(autojump_clock: MockClock) -> None:
    """A cooperative child ends with shutdown; one that does not stop in its time is killed then."""
    async with open_sup([probe("a", shutdown=1.0), ChildSpec("b", lambda _: Sticky(), shutdown=1.0)]) as sup:
        await stop(sup)

    assert sup.ends("/sup/a") == ["shutdown"]
    assert sup.ends("/sup/b") == ["killed"]
    assert trio.current_time() == 1.0


async def test_sup_stop_timeout_dynamic(autojump_clock: MockClock) -> None:
    """Under a dynamic supervisor the times run together."""
    async with open_simple() as sup:
        for number in range(10):
            await sup.ref.start_child(ChildSpec(f"sticky{number}", lambda _: Sticky(), shutdown=1.0))
        await sup.ref.start_child(probe("a", shutdown=1.0))
        await stop(sup)

    assert sup.ends("/sup/a") == ["shutdown"]
    assert [sup.ends(f"/sup/sticky{number}") for number in range(10)] == [["killed"]] * 10
    assert trio.current_time() == 1.0


async def test_sup_stop_brutal_kill() -> None:
    """A child with BRUTAL_KILL is killed at once, without a call of `stopping`; its sibling stops in order."""
    async with open_sup([probe("a"), ChildSpec("b", lambda _: Sticky(), shutdown=BRUTAL_KILL)]) as sup:
        await stop(sup)

    assert sup.ends("/sup/a") == ["shutdown"]
    assert sup.ends("/sup/b") == ["killed"]


async def test_sup_stop_brutal_kill_dynamic() -> None:
    """Ten dynamic children that would linger are all killed at once."""
    async with open_simple() as sup:
        for number in range(10):
            await sup.ref.start_child(ChildSpec(f"c{number}", lambda _: Sticky(), shutdown=BRUTAL_KILL))
        await stop(sup)

    assert [sup.ends(f"/sup/c{number}") for number in range(10)] == [["killed"]] * 10


@pytest.mark.parametrize("restart", list(Restart))
@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, ExitReason("shutdown", "detail"), ExitReason("crashed")], ids=str)
async def test_sup_stop_race(restart: Restart, reason: ExitReason, autojump_clock: MockClock) -> None:
    """Children that end by themselves while the supervisor stops: order and reasons are kept, none is restarted."""
    slow = ChildSpec("slow", lambda _: Sticky(), shutdown=2.0)
    async with open_sup([probe("a", restart=restart), probe("b"), slow]) as sup, trio.open_nursery() as nursery:
        nursery.start_soon(stop, sup)
        await wait_all_tasks_blocked()
        sup.child("a").tell(Stop(reason) if reason.is_expected else Crash())
        await wait_all_tasks_blocked()

    ended = [event.path for event in sup.journal.events if event.kind in ("stopped", "crashed", "terminated")]
    assert ended == ["/sup/a", "/sup/slow", "/sup/b", "/sup"]
    assert sup.ends("/sup/a") == [reason.kind]
    assert not [event for event in sup.journal.events if event.kind == "restarting"]


async def test_sup_stop_non_shutdown_exit_dynamic() -> None:
    """Dynamic children that fail to stop in order: their reasons are kept, the supervisor ends with shutdown all the same."""
    async with open_simple() as sup:
        for number in range(3):
            await sup.ref.start_child(ChildSpec(f"c{number}", lambda _: Grumpy()))
        await stop(sup)

    assert [sup.ends(f"/sup/c{number}") for number in range(3)] == [["crashed"]] * 3
    assert sup.reason == "shutdown"
    crash: Any = next(event.crash for event in sup.journal.events if event.path == "/sup/c0" and event.crash)
    assert crash.text == "not like this"
