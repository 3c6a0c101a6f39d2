"""storage/events.py: the event log."""

from __future__ import annotations

from storage import events
from storage.events import NewEvent
from storage.pool import Database


def event(event_id: str, *, company_id: str = "962302", kind: str = "message") -> NewEvent:
    return NewEvent(event_id, kind, company_id, 1_700_000_000.25, b'{"n":1}')


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
    """Events stored longer ago than asked are deleted over several batches; younger ones stay."""
    await database.write(events.append, [event(str(n)) for n in range(5)])
    await database.execute("UPDATE whatsapp_events SET stored_at = now() - interval '1 day' WHERE id <> '4'")

    pruned = await events.prune(database, 3600.0, batch=2)

    assert pruned == 4
    assert [each.id for each in await events.read(database)] == ["4"]
