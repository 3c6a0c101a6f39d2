"""Journal and event spool reach the daemon in the promised order, within bounds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.lowlevel
import trio.testing

from actors.engine import shipping as module
from actors.engine.device.file import DeviceFile
from actors.engine.logs import EngineLog
from actors.engine.protocol.messages import FromEngine, JournalDelta, OutboxEvent
from actors.engine.shipping import Shipper
from tests.engine.conftest import BuildFile
from tests.engine.device.test_reservations import session
from tests.engine.rows import PEER, put_identity, put_session
from tests.support.bars import patience


class Daemon:
    """The messages that were shipped."""

    def __init__(self) -> None:
        self.got: list[FromEngine] = []

    async def send(self, message: FromEngine) -> None:
        self.got.append(message)

    def names(self) -> list[str]:
        return [type(message).__name__ for message in self.got]


def shipper_for(file: DeviceFile, daemon: Daemon, *, position: int = 0, base: bool = False) -> Shipper:
    return Shipper(file, daemon.send, EngineLog("962302"), position=position, base=base)


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks and threads run until it holds."""
    with trio.fail_after(patience(10)):
        while not condition():
            await trio.lowlevel.checkpoint()


async def test_changes_go_before_the_event_that_rests_on_them(build_file: BuildFile) -> None:
    """The delta with the ratchet step, then the message it decrypted."""
    file, daemon = build_file(), Daemon()
    put_session(file._connection)
    file.event_spool.put("message", b"{}")

    position = await shipper_for(file, daemon).ship()

    assert daemon.names() == ["JournalDelta", "OutboxEvent"]
    delta, event = daemon.got
    assert isinstance(delta, JournalDelta)
    assert isinstance(event, OutboxEvent)
    assert event.position == delta.position == position == file.journal.position()


async def test_nothing_is_shipped_twice(build_file: BuildFile) -> None:
    """A second look sends only new changes."""
    file, daemon = build_file(), Daemon()
    shipper = shipper_for(file, daemon)
    put_session(file._connection)
    file.event_spool.put("message", b"{}")
    await shipper.ship()

    await shipper.ship()
    put_identity(file._connection)
    await shipper.ship()

    assert daemon.names() == ["JournalDelta", "OutboxEvent", "JournalDelta"]


async def test_a_new_file_announces_itself_first(build_file: BuildFile) -> None:
    """An empty base delta, so that Postgres knows the file before anything of it."""
    file, daemon = build_file(), Daemon()
    put_session(file._connection)

    await shipper_for(file, daemon, base=True).ship()

    assert [(message.base, message.position) for message in daemon.got if isinstance(message, JournalDelta)] == [
        (True, 0),
        (False, 1),
    ]


async def test_the_tail_of_an_earlier_life_is_shipped_first(build_file: BuildFile) -> None:
    """What Postgres has is skipped, what it lacks is sent at once."""
    file, daemon = build_file(), Daemon()
    put_session(file._connection)
    committed = file.journal.position()
    put_identity(file._connection)

    await shipper_for(file, daemon, position=committed).ship()

    (delta,) = daemon.got
    assert isinstance(delta, JournalDelta)
    assert [row.key_type for row in delta.keys] == ["identity-key"]


async def test_a_commit_cuts_the_journal_and_announces_the_file(build_file: BuildFile) -> None:
    """From then on Postgres knows the file, and its journal is short again."""
    file, daemon = build_file(), Daemon()
    put_session(file._connection)
    shipper = shipper_for(file, daemon, base=True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(shipper.run)
        await until(lambda: len(daemon.got) == 2)
        shipper.committed(1)
        await until(file.is_announced)
        await until(lambda: file._connection.scalar("SELECT count(*) FROM wasup_journal") == 0)
        nursery.cancel_scope.cancel()


async def test_the_journal_is_not_cut_after_every_commit(
    build_file: BuildFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries committed soon after a cut stay until the next one is due, which comes by itself."""
    monkeypatch.setattr(module, "CUT_EVERY_S", 0.3)
    file, daemon = build_file(), Daemon()
    cuts: list[int] = []
    cut = file.cut

    def count(position: int) -> None:
        cuts.append(position)
        cut(position)

    monkeypatch.setattr(file, "cut", count)
    shipper = shipper_for(file, daemon)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(shipper.run)
        for octet in range(5):
            put_identity(file._connection, octet=octet)
            shipper.committed(await shipper.ship())
            await trio.testing.wait_all_tasks_blocked(0.02)
        await until(lambda: file._connection.scalar("SELECT count(*) FROM wasup_journal") == 0)
        nursery.cancel_scope.cancel()

    assert cuts == sorted(set(cuts))
    assert cuts[-1] == 5


async def test_what_was_seen_elsewhere_is_shipped_without_another_look(build_file: BuildFile) -> None:
    """The library's thread has read the journal already; later changes go with the next delta."""
    file, daemon = build_file(), Daemon()
    shipper = shipper_for(file, daemon)
    put_identity(file._connection, octet=0)
    seen = await trio.to_thread.run_sync(shipper.look)
    put_identity(file._connection, octet=1)

    positions = [await shipper.ship(seen), await shipper.ship()]

    assert positions == [1, 2]
    assert [len(delta.keys) for delta in daemon.got if isinstance(delta, JournalDelta)] == [1, 1]


async def test_what_was_seen_before_somebody_else_shipped_is_looked_for_again(build_file: BuildFile) -> None:
    """Nothing is shipped twice."""
    file, daemon = build_file(), Daemon()
    shipper = shipper_for(file, daemon)
    put_identity(file._connection, octet=0)
    seen = await trio.to_thread.run_sync(shipper.look)
    await shipper.ship()
    put_identity(file._connection, octet=1)

    assert await shipper.ship(seen) == 2
    assert [delta.position for delta in daemon.got if isinstance(delta, JournalDelta)] == [1, 2]


async def test_a_position_that_was_shipped_needs_no_look(build_file: BuildFile) -> None:
    """And a position that was not is shipped."""
    file, daemon = build_file(), Daemon()
    shipper = shipper_for(file, daemon)
    put_identity(file._connection, octet=0)
    await shipper.ship()
    put_identity(file._connection, octet=1)

    assert (await shipper.ship_to(1), len(daemon.got)) == (1, 1)
    assert (await shipper.ship_to(2), len(daemon.got)) == (2, 2)


async def test_stored_events_are_cut(build_file: BuildFile) -> None:
    """Only what the daemon has not stored stays."""
    file, daemon = build_file(), Daemon()
    file.event_spool.put("message", b"1")
    file.event_spool.put("message", b"2")
    shipper = shipper_for(file, daemon)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(shipper.run)
        await until(lambda: len(daemon.got) == 2)
        shipper.events_stored(1)
        await until(lambda: [item.number for item in file.event_spool.all()] == [2])
        nursery.cancel_scope.cancel()


async def test_changes_wait_in_the_journal_while_postgres_is_away(
    build_file: BuildFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only so many deltas are under way uncommitted; many changes then become one delta."""
    monkeypatch.setattr(module, "DELTAS_AHEAD", 2)
    file, daemon = build_file(), Daemon()
    shipper = shipper_for(file, daemon)
    for octet in range(2):
        put_identity(file._connection, octet=octet)
        await shipper.ship()

    async with trio.open_nursery() as nursery:
        put_identity(file._connection, octet=2)
        nursery.start_soon(shipper.ship)
        await trio.testing.wait_all_tasks_blocked(0.05)
        waiting = len(daemon.got)
        put_identity(file._connection, octet=3)
        shipper.committed(1)

    assert waiting == 2
    assert [message.position for message in daemon.got if isinstance(message, JournalDelta)] == [1, 2, 4]


async def test_events_wait_while_the_event_log_is_away(build_file: BuildFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """They lie on disk; the daemon is not flooded."""
    monkeypatch.setattr(module, "EVENTS_AHEAD", 2)
    file, daemon = build_file(), Daemon()
    shipper = shipper_for(file, daemon)
    for _ in range(5):
        file.event_spool.put("message", b"{}")

    await shipper.ship()
    before = len(daemon.got)
    shipper.events_stored(2)
    await shipper.ship()

    assert (before, [message.number for message in daemon.got if isinstance(message, OutboxEvent)]) == (2, [1, 2, 3, 4])


async def test_changes_nobody_told_of_are_found_by_the_sweep(
    build_file: BuildFile, mock_clock: trio.testing.MockClock
) -> None:
    """The library may write at any time."""
    file, daemon = build_file(), Daemon()
    shipper = shipper_for(file, daemon, base=True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(shipper.run)
        await until(lambda: len(daemon.got) == 1)
        put_session(file._connection)
        for _ in range(3):  # the task may not have begun to sleep at the first jump
            mock_clock.jump(module.SWEEP_S)
            await trio.testing.wait_all_tasks_blocked(0.01)
        await until(lambda: len(daemon.got) == 2)
        nursery.cancel_scope.cancel()


async def test_events_go_on_after_a_log_out(build_file: BuildFile) -> None:
    """The deletions are not shipped, but the last messages are."""
    file, daemon = build_file(), Daemon()
    put_session(file._connection)
    file._connection.execute("DELETE FROM whatsmeow_device")
    file.event_spool.put("message", b"{}")

    await shipper_for(file, daemon).ship()

    (event,) = daemon.got
    assert isinstance(event, OutboxEvent)
    assert event.position == 0


async def test_a_reserved_step_is_not_shipped(build_file: BuildFile) -> None:
    """A caller that waits for it gets the position of the delta that reserved it, and an event that rests on it goes with that one too."""
    file, daemon = build_file(), Daemon()
    shipper = shipper_for(file, daemon)
    put_session(file._connection, PEER, session(5))
    reserved_at = await shipper.ship()
    put_session(file._connection, PEER, session(6))
    file.event_spool.put("receipt", b"{}")

    assert await shipper.ship() == await shipper.ship_to(file.journal.position()) == reserved_at
    assert daemon.names() == ["JournalDelta", "OutboxEvent"]
    assert isinstance(daemon.got[-1], OutboxEvent)
    assert daemon.got[-1].position == reserved_at < file.journal.position()


async def test_a_reserved_step_passes_once_its_reservation_is_committed(build_file: BuildFile) -> None:
    """Not while the delta is on its way, nor with anything else in the journal, nor before a new file was announced."""
    file, daemon = build_file(), Daemon()
    shipper = shipper_for(file, daemon)
    put_session(file._connection, PEER, session(5))
    unreserved = shipper.pass_reserved(shipper.look())
    position = await shipper.ship()
    put_session(file._connection, PEER, session(6))
    uncommitted = shipper.pass_reserved(shipper.look())
    shipper.committed(position)
    committed = shipper.pass_reserved(shipper.look())
    put_identity(file._connection)
    with_another = shipper.pass_reserved(shipper.look())
    unannounced = shipper_for(file, daemon, position=file.journal.position(), base=True)

    assert (unreserved, uncommitted, committed, with_another) == (False, False, True, False)
    assert not unannounced.pass_reserved(unannounced.look())


async def test_a_delta_that_could_not_be_sent_reserves_nothing(build_file: BuildFile) -> None:
    """It is shipped again as a whole."""
    file, daemon = build_file(), Daemon()
    shipper = shipper_for(file, daemon)
    put_session(file._connection, PEER, session(5))
    send, shipper._send = shipper._send, _broken
    with pytest.raises(trio.BrokenResourceError):
        await shipper.ship()
    shipper._send = send

    assert await shipper.ship() == file.journal.position()
    assert daemon.names() == ["JournalDelta"]


async def _broken(_message: FromEngine) -> None:
    raise trio.BrokenResourceError
