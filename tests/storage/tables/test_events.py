"""storage/tables/events.py: the event log."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
import trio

from storage.database.connection import Connection
from storage.database.pool import Database, open_database
from storage.errors import IntegrityError, StorageBusy
from storage.tables import events
from storage.tables.events import NewEvent
from tests.support.held_write import HeldWrite, waiting_for_a_lock


def event(event_id: str, *, company_id: str = "962302", kind: str = "message") -> NewEvent:
    return NewEvent(event_id, kind, company_id, 1_700_000_000.25, b'{"n":1}')


async def at_once(database: Database, *new: NewEvent, lock_timeout_s: float = 30.0) -> list[int] | None:
    return await database.write_single_statement(events.append_single_statement, new, lock_timeout_s)


async def test_appended_events_are_read_in_their_order(database: Database) -> None:
    """Seqs grow in the order of the events, and every field comes back as it went in."""
    seqs = await database.write(events.append, [event("b"), event("a"), event("c")])

    stored = await events.read(database)
    assert seqs == sorted(seqs)
    assert [(each.seq, each.id) for each in stored] == list(zip(seqs, ["b", "a", "c"], strict=True))
    assert (stored[0].type, stored[0].company_id, stored[0].timestamp, stored[0].payload) == (
        "message",
        "962302",
        1_700_000_000.25,
        b'{"n":1}',
    )
    assert await events.last_seq(database) == seqs[-1]


async def test_an_event_stored_twice_keeps_its_seq(database: Database) -> None:
    """The retry of an in-doubt append answers the first seqs and stores nothing twice."""
    first = await database.write(events.append, [event("a"), event("b")])

    again = await database.write(events.append, [event("b"), event("c"), event("a")])

    assert [again[2], again[0]] == first
    assert len(await events.read(database)) == 3


async def test_seqs_have_no_gaps(database: Database) -> None:
    """A write that is rolled back, an event that is stored already and one that is given twice use no number up."""

    async def fail(connection: Connection) -> None:
        await events.append(connection, [event("lost"), event("lost too")])
        raise RuntimeError("rolled back")

    await database.write(events.append, [event("a")])
    with pytest.raises(RuntimeError):
        await database.write(fail)
    await database.write(events.append, [event("a"), event("b"), event("b")])
    await database.write(events.append, [event("a"), event("b")])
    await database.write(events.append, [event("c")])

    assert [(each.seq, each.id) for each in await events.read(database)] == [(1, "a"), (2, "b"), (3, "c")]


async def test_events_of_one_statement_are_read_in_their_order(database: Database) -> None:
    """They continue the numbers before them, in the order given, and leave the connection's settings alone."""
    await database.write(events.append, [event("a")])

    seqs = await at_once(database, event("c"), event("b"))

    assert seqs == [2, 3]
    assert [(each.seq, each.id) for each in await events.read(database)] == [(1, "a"), (2, "c"), (3, "b")]
    assert await events.last_seq(database) == 3
    assert await database.fetchval("SELECT current_setting('lock_timeout')") == "0"


async def test_one_statement_writes_nothing_when_one_is_stored_already(database: Database) -> None:
    """It is left to the transaction, which returns the first seqs; no number is used up."""
    await database.write(events.append, [event("a")])

    assert await at_once(database, event("b"), event("a")) is None
    assert await database.write(events.append, [event("b"), event("a")]) == [2, 1]


async def test_one_statement_fails_beside_a_writer_of_the_same_event(database: Database) -> None:
    """It began before that one committed, so its index has to report it: nothing is written, no number is used up."""
    held = HeldWrite(events.append, [event("a")])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.write_slowly, 60.0, held)
        await held.entered.wait()

        async def repeat() -> None:
            with pytest.raises(IntegrityError):
                await at_once(database, event("new"), event("a"))

        async with trio.open_nursery() as repeating:
            repeating.start_soon(repeat)
            await waiting_for_a_lock(database)
            held.release()

    assert await database.write(events.append, [event("b")]) == [2]


async def test_one_statement_does_not_wait_for_ever(database: Database) -> None:
    """Another session has locked the counter's row: busy, and nothing is written."""
    held = HeldWrite(events.append, [event("a")])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.write_slowly, 60.0, held)
        await held.entered.wait()
        with pytest.raises(StorageBusy):
            await at_once(database, event("b"), lock_timeout_s=0.05)
        held.release()

    assert [each.id for each in await events.read(database)] == ["a"]


async def test_a_reader_that_pages_misses_nothing_of_concurrent_writers(postgres_dsn: str) -> None:
    """Eight writers, some by one statement, others in transactions that stay open for a while or are rolled back; a reader that always
    asks for the events after its last one has every number, once, in order, each as soon as it is committed."""
    chance = random.Random(7)
    writers, rounds = 8, 40
    seen: list[int] = []
    stored: list[int] = []

    async def transaction(connection: Connection, name: str, size: int, pause_ms: int, fails: bool) -> list[int]:
        seqs = await events.append(connection, [event(f"{name}.{number}") for number in range(size)])
        await connection.execute("SELECT pg_sleep($1)", pause_ms / 1000)
        if fails:
            raise RuntimeError("rolled back")
        return seqs

    async def write(database: Database, writer: int) -> None:
        for turn in range(rounds):
            size, pause_ms, fails = chance.randint(1, 4), chance.choice([0, 0, 2]), chance.random() < 0.2
            if chance.random() < 0.5:
                new = [event(f"{writer}-{turn}.{number}") for number in range(size)]
                stored.extend(await at_once(database, *new) or [])
                continue
            with suppress(RuntimeError):
                stored.extend(await database.write(transaction, f"{writer}-{turn}", size, pause_ms, fails))

    async def read(database: Database, until: trio.Event) -> None:
        while True:
            is_last = until.is_set()
            page = await events.read(database, after=seen[-1] if seen else 0, limit=7)
            seen.extend(each.seq for each in page)
            if is_last and not page:
                return

    async with open_database(postgres_dsn, size=writers + 1) as database, trio.open_nursery() as nursery:
        done = trio.Event()
        nursery.start_soon(read, database, done)
        async with trio.open_nursery() as writing:
            for writer in range(writers):
                writing.start_soon(write, database, writer)
        done.set()

    assert len(stored) > writers * rounds  # something was written
    assert seen == list(range(1, len(stored) + 1))
    assert seen == sorted(stored)


async def test_numbers_go_on_after_everything_was_pruned(database: Database) -> None:
    """A reader's cursor stays valid: no number is given twice."""
    await database.write(events.append, [event("a"), event("b")])
    await database.execute("DELETE FROM whatsapp_events")

    assert await events.last_seq(database) == 2
    assert await database.write(events.append, [event("c")]) == [3]


async def test_reading_filters_and_pages(database: Database) -> None:
    """after, limit, companies and types each narrow what is read."""
    seqs = await database.write(
        events.append,
        [event("1"), event("2", company_id="b"), event("3", kind="qr"), event("4")],
    )

    async def ids(**narrow: object) -> list[str]:
        return [each.id for each in await events.read(database, **narrow)]  # type: ignore[arg-type]  # one helper for every filter

    assert await ids(after=seqs[1]) == ["3", "4"]
    assert await ids(limit=1) == ["1"]
    assert await ids(company_ids={"b"}) == ["2"]
    assert await ids(types={"qr"}) == ["3"]
    assert await ids(company_ids=()) == []


async def test_pruning_takes_the_old_ones_only(database: Database) -> None:
    """Events stored before the given age are deleted over several batches; younger ones stay."""
    await database.write(events.append, [event(str(n)) for n in range(5)])
    await database.execute("UPDATE whatsapp_events SET stored_at = now() - interval '1 day' WHERE id <> '4'")

    pruned = await events.prune(database, 3600.0, batch=2)

    assert pruned == 4
    assert [each.id for each in await events.read(database)] == ["4"]
