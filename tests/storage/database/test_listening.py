"""storage/database/listening.py: a waiting task hears of a change at once, and a lost connection is made anew."""

from __future__ import annotations

import asyncio

import pytest
import trio

from config.postgres_url import read
from storage.database.dialer import Dialer
from storage.database.listening import Listener
from storage.database.pool import Database
from storage.errors import StorageUnavailable
from storage.tables import companies, leases, ownership

A = "962302"
HEARD_WITHIN_S = 5.0
LISTENING = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'wasup (listens)'"
)


async def hears(listener: Listener) -> bool:
    """Whether a notification comes within a time that only an overloaded machine needs."""
    with trio.move_on_after(HEARD_WITHIN_S):
        await listener.wait()
        return True
    return False


async def test_what_others_wait_for_is_notified(database: Database) -> None:
    """A record that is made, changed or removed; a lease that is released."""
    listener = database.listener(ownership.CHANNEL)
    await listener.wait()
    lease = await database.write(leases.acquire, A, "here/1", 60.0)

    for change in (
        (companies.ensure, A, "running"),
        (companies.set_desired, A, "stopped"),
        (companies.remove, A),
        (leases.release, A, "here/1", lease.epoch),
    ):
        await database.write(*change)
        assert await hears(listener), change


async def test_a_release_that_releases_nothing_is_silent(database: Database) -> None:
    """An old epoch's: there is nothing to look for."""
    listener = database.listener(ownership.CHANNEL)
    await database.write(leases.acquire, A, "here/1", 60.0)
    await listener.wait()
    await database.write(leases.release, A, "here/1", 0)

    with trio.move_on_after(0.5) as limit:
        await listener.wait()
    assert limit.cancelled_caught


async def test_a_lost_connection_is_told_and_made_anew(database: Database) -> None:
    """Notifications in between may have been missed: the first wait on the new connection returns at once."""
    listener = database.listener(ownership.CHANNEL)
    await listener.wait()
    await database.execute(f"SELECT pg_terminate_backend(pid) FROM ({LISTENING}) listening")  # pyright: ignore[reportArgumentType]

    with pytest.raises(StorageUnavailable), trio.fail_after(HEARD_WITHIN_S):
        await listener.wait()
    assert await hears(listener)
    await database.write(companies.ensure, A, "running")
    assert await hears(listener)


async def test_one_connection_is_enough_however_often_the_waiting_is_given_up(database: Database) -> None:
    """A directory that is restarted cancels its wait; the connection stays and is used again."""
    listener = database.listener(ownership.CHANNEL)
    await listener.wait()
    for _ in range(3):
        with trio.move_on_after(0.01):
            await listener.wait()

    assert len(await database.fetch(LISTENING)) == 1


async def test_a_connection_that_is_cancelled_while_it_is_named_is_not_left_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An open one would keep the asyncio loop from closing, and the daemon from ending."""
    ended: list[bool] = []

    class Cancelled:
        is_pooled = False

        async def execute(self, _statement: str) -> None:
            raise asyncio.CancelledError

        def terminate(self) -> None:
            ended.append(True)

    async def dial(_self: Dialer, **_of_pool: object) -> Cancelled:
        return Cancelled()

    monkeypatch.setattr(Dialer, "dial", dial)
    dialer = Dialer(read("postgresql://localhost/wasup"), "none", {})
    with pytest.raises(asyncio.CancelledError):
        await dialer.dial_to_listen()

    assert ended == [True]
