"""Journal deltas on their way to Postgres."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.company import shipping
from actors.company.shipping import Shipment, ShippingStopped
from actors.engine.protocol.messages import JournalDelta, KeyRow


def delta(position: int, *keys: str, creds: bytes | None = None, base: bool = False) -> JournalDelta:
    rows = tuple(KeyRow("session", key, str(position).encode()) for key in keys)
    return JournalDelta(position=position, creds=creds, keys=rows, base=base)


class GatedCommit:
    """A commit that waits until the test releases it."""

    def __init__(self) -> None:
        self.committed: list[JournalDelta] = []
        self.gate = trio.Event()

    async def __call__(self, journal: JournalDelta) -> None:
        await self.gate.wait()
        self.committed.append(journal)


async def test_what_waits_is_merged_and_the_last_value_wins() -> None:
    """While one commit is under way the others become one delta with one value a key."""
    commit = GatedCommit()
    shipment = Shipment(commit, committed=0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shipment.run)
        await shipment.put(delta(1, "a"))
        await wait_all_tasks_blocked()
        await shipment.put(delta(2, "a", "b", creds=b"{}"))
        await shipment.put(delta(3, "b"))
        commit.gate.set()
        await shipment.wait_committed(3)
        nursery.cancel_scope.cancel()

    first, second = commit.committed
    assert first.position == 1
    assert (second.position, second.creds) == (3, b"{}")
    assert {(row.key_id, row.value) for row in second.keys} == {("a", b"2"), ("b", b"3")}


async def test_waiting_for_a_position_ends_when_it_is_committed() -> None:
    """A send waits for exactly its own position."""
    commit = GatedCommit()
    shipment = Shipment(commit, committed=4)
    await shipment.wait_committed(4)
    with trio.move_on_after(0) as scope:
        await shipment.wait_committed(5)

    assert scope.cancelled_caught


async def test_those_who_wait_are_told_when_shipping_ends() -> None:
    """No caller hangs on a position that will not come."""

    async def fail(journal: JournalDelta) -> None:
        raise RuntimeError("lease lost")

    shipment = Shipment(fail, committed=0)
    await shipment.put(delta(1, "a"))
    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError), pytest.RaisesExc(ShippingStopped)):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shipment.wait_committed, 1)
            await wait_all_tasks_blocked()
            nursery.start_soon(shipment.run)


async def test_a_full_shipment_makes_the_engine_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of waiting keys is bounded: above it the engine keeps its journal itself."""
    monkeypatch.setattr(shipping, "MAX_WAITING_KEYS", 2)
    shipment = Shipment(GatedCommit(), committed=0)
    await shipment.put(delta(1, "a", "b"))
    with trio.move_on_after(0) as scope:
        await shipment.put(delta(2, "c"))

    assert scope.cancelled_caught
    assert len(shipment._keys) == 2


async def test_a_new_file_announces_itself_even_without_changes() -> None:
    """The base delta of a rebuilt file is committed although its position is not above the old one."""
    commit = GatedCommit()
    commit.gate.set()
    shipment = Shipment(commit, committed=0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shipment.run)
        await shipment.put(delta(0, base=True))
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert [journal.base for journal in commit.committed] == [True]
