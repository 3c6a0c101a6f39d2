"""The events actor: stored first, then published; without gaps, whatever the reader does."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import trio
from prometheus_client import CollectorRegistry

from actors.daemon.metrics import Metrics
from actors.events.actor import EventsActor
from actors.events.subscription import Subscription, SubscriptionClosed
from actors.messages import Announce, Event, Publish, ReadEvents, Refused, Subscribe
from actors.storage.actor import StorageActor
from config.sections import EventSettings, StorageSettings
from storage.database.pool import Database
from storage.tables import companies, ownership, removal
from supervisor import Actor, ActorRef, ChildSpec, SupervisorSpec, System, open_system
from tests.actors.storage.test_actor import CountingMetrics
from tests.support.bars import patience
from tests.support.waiting import wait_until

COMPANY = "962302"


def event(text: str = "", *, company_id: str = COMPANY, type_: str = "message") -> Event:
    payload = msgspec.Raw(msgspec.json.encode({"text": text}))
    return Event(id=str(uuid.uuid4()), type=type_, company_id=company_id, timestamp=1.0, payload=payload)


class StorageThatIsAway(Actor):
    async def receive(self, message: Any) -> Any:
        raise Refused("storage_unavailable", "away")


@dataclass
class Log:
    ref: ActorRef
    system: System

    async def publish(self, *events: Event) -> None:
        await self.ref.ask(Publish(events))

    async def follow(self, **wanted: Any) -> Subscription:
        subscription = await self.ref.ask(Subscribe(**wanted))
        assert isinstance(subscription, Subscription)
        return subscription


@asynccontextmanager
async def events_actor(
    database: Database, *, storage: Callable[[Any], Actor] | None = None, **settings: Any
) -> AsyncIterator[Log]:
    def real_storage(_: Any) -> StorageActor:
        return StorageActor(
            database, settings=StorageSettings(), owner="here/1", lease_ttl_s=60.0, metrics=CountingMetrics()
        )

    spec = SupervisorSpec(
        [
            ChildSpec(id="storage", start=storage or real_storage),
            ChildSpec(
                id="events",
                start=lambda context: EventsActor(
                    context.ref_to("/storage"), database, EventSettings(**settings), Metrics(CollectorRegistry())
                ),
            ),
        ]
    )
    async with open_system(spec) as system:
        yield Log(system.ref("/events"), system)


async def take(subscription: Subscription, count: int) -> list[str]:
    texts: list[str] = []
    with trio.fail_after(patience(5)):
        async for found in subscription:
            texts.append(msgspec.json.decode(found.payload)["text"])
            if len(texts) == count:
                break
    return texts


async def test_a_follower_gets_what_comes_in_order(database: Database) -> None:
    """Live events arrive with growing seq."""
    async with events_actor(database) as log:
        subscription = await log.follow()
        await log.publish(event("one"), event("two"))

        assert await take(subscription, 2) == ["one", "two"]


async def test_resuming_replays_the_log_and_goes_on_live_without_a_gap(database: Database) -> None:
    """A reader that left at `after` gets every later event, once each, also across a restart of the daemon."""
    async with events_actor(database) as log:
        await log.publish(*(event(str(number)) for number in range(5)))
        first = await log.ref.ask(ReadEvents(limit=2))
    async with events_actor(database) as log:
        subscription = await log.follow(after=first.next)
        await log.publish(event("5"))

        assert await take(subscription, 4) == ["2", "3", "4", "5"]


async def test_a_long_log_is_read_in_pages(database: Database) -> None:
    """1,200 old events and one new one: all of them, once."""
    async with events_actor(database) as log:
        for start in range(0, 1200, 200):
            await log.publish(*(event(str(start + number)) for number in range(200)))
    async with events_actor(database) as log:
        subscription = await log.follow(after=0)
        await log.publish(event("last"))

        assert await take(subscription, 1201) == [*(str(number) for number in range(1200)), "last"]


async def test_filters_hold_for_replay_and_live(database: Database) -> None:
    """Only the wanted company and types, however sparse they are in the log."""
    async with events_actor(database) as log:
        await log.publish(event("mine"), event("other", company_id="962303"), event("status", type_="status"))
        subscription = await log.follow(after=0, company_ids=frozenset({COMPANY}), types=frozenset({"message"}))
        await log.publish(event("other", company_id="962303"), event("mine too"))

        assert await take(subscription, 2) == ["mine", "mine too"]


async def test_a_reader_that_stops_reading_is_closed_and_others_go_on(database: Database) -> None:
    """Its queue is bounded: closed with `slow_consumer`, with the seq to resume from; the other reader gets everything."""
    async with events_actor(database, subscriber_events=2) as log:
        slow, quick = await log.follow(), await log.follow()
        async with trio.open_nursery() as nursery:
            found: list[str] = []

            async def read_quick() -> None:
                found.extend(await take(quick, 6))

            nursery.start_soon(read_quick)
            for number in range(6):
                await log.publish(event(str(number)))
        with pytest.raises(SubscriptionClosed) as closed:
            await take(slow, 100)

        assert found == [str(number) for number in range(6)]
        assert closed.value.reason == "slow_consumer"


async def test_readers_are_told_when_the_actor_goes(database: Database) -> None:
    """A stop of the events actor closes subscriptions with `restarting`; they resume by `after` and miss nothing."""
    async with events_actor(database) as log:
        subscription = await log.follow()
        await log.publish(event("one"))
        await log.system.restart("/events")
        with pytest.raises(SubscriptionClosed) as closed:
            await take(subscription, 100)

        assert closed.value.reason == "restarting"
        resumed = await log.follow(after=closed.value.last_seq)
        await log.publish(event("two"))
        assert await take(resumed, 2) == ["one", "two"]


async def test_nobody_is_told_before_it_is_stored(database: Database) -> None:
    """With Postgres away publishing gets no reply, and no follower gets the event."""
    async with events_actor(database, storage=lambda _: StorageThatIsAway()) as log:
        subscription = await log.follow(after=0)
        log.ref.tell(Announce((event("one"),)))
        with trio.move_on_after(0.2) as scope:
            await take(subscription, 1)

        assert scope.cancelled_caught


async def test_what_waits_to_be_stored_is_bounded(database: Database) -> None:
    """More than the queue takes is refused; and one company's waiting events leave room for another's."""
    async with events_actor(database, storage=lambda _: StorageThatIsAway(), queue_events=6) as log:
        log.ref.tell(Announce((event("one"), event("two"))))
        with pytest.raises(Refused) as refusal:
            await log.publish(event("three"))
        with trio.move_on_after(0.2) as taken:
            await log.publish(event("of another", company_id="962303"))
        with pytest.raises(Refused) as full:
            await log.publish(*(event(company_id="962304") for _ in range(4)))

        assert (refusal.value.code, full.value.code) == ("storage_unavailable", "storage_unavailable")
        assert taken.cancelled_caught  # it waits to be stored


async def test_what_is_in_memory_of_a_removed_company_goes_too(database: Database) -> None:
    """A reader that resumes just behind the newest event does not get events from memory that the log no longer has."""
    async with events_actor(database, follow_interval_s=0.01) as log:
        await database.write(companies.ensure, COMPANY, "running")
        await log.publish(event("first"), event("second"), event("third"))
        await database.write(ownership.forget, COMPANY, "here/1", 60.0, "test", give_back=True)
        await removal.erase(database, COMPANY)

        async def is_gone() -> bool:
            subscription = await log.follow(after=1)
            with trio.move_on_after(0.05) as waited:
                await take(subscription, 1)
            subscription.close()
            return waited.cancelled_caught

        await wait_until(is_gone, seconds=10)


async def test_readers_of_the_log_take_turns(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that asks for a hundred pages at once has two read at a time, and another's page is read beside them at once."""
    under_way: list[str] = []
    hold = trio.Event()
    read = EventsActor._read

    async def slow(self: EventsActor, after: int, limit: int, wanted: Any, **how: Any) -> Any:
        if "greedy" in (wanted.types or ()):
            under_way.append("greedy")
            await hold.wait()
        return await read(self, after, limit, wanted, **how)

    monkeypatch.setattr(EventsActor, "_read", slow)
    async with events_actor(database) as log, trio.open_nursery() as nursery:
        await log.publish(event("one"))
        greedy = ReadEvents(types=frozenset({"greedy"}), reader="greedy")
        for _ in range(100):
            nursery.start_soon(log.ref.ask, greedy)
        await trio.testing.wait_all_tasks_blocked(0.05)
        with trio.fail_after(patience(5)):
            page = await log.ref.ask(ReadEvents(reader="modest"))
            await log.publish(event("two"))
        assert (len(page.events), len(under_way)) == (1, 2)
        hold.set()


async def test_subscribers_are_bounded(database: Database) -> None:
    """One more than the settings allow is refused."""
    async with events_actor(database, max_subscribers=1) as log, trio.open_nursery() as nursery:
        subscription = await log.follow()
        nursery.start_soon(take, subscription, 1)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Refused) as refusal:
            await log.follow()
        await log.publish(event("one"))

        assert refusal.value.code == "too_many_subscribers"


async def test_a_follower_hears_what_another_daemon_stored(database: Database) -> None:
    """Both daemons' events in the order of the log, each once, from either daemon, without a gap a reader could resume behind."""
    quick = 0.02
    async with (
        events_actor(database, follow_interval_s=quick) as here,
        events_actor(database, follow_interval_s=quick) as there,
    ):
        subscription = await here.follow()
        seqs: list[int] = []
        async with trio.open_nursery() as nursery:

            async def publish(log: Log) -> None:
                for _ in range(30):
                    await log.publish(event(), event())

            nursery.start_soon(publish, here)
            nursery.start_soon(publish, there)
            with trio.fail_after(30):
                async for found in subscription:
                    seqs.append(found.seq)
                    if len(seqs) == 120:
                        break

        assert seqs == list(range(1, 121))


async def test_a_follower_is_offered_nothing_it_has_read(database: Database) -> None:
    """An event that is in the log and not yet published when the reader gets to the log's end is not given twice."""
    async with events_actor(database, follow_interval_s=60.0) as log, events_actor(database) as other:
        await other.publish(event("one"))
        subscription = await log.follow(after=0)
        await other.publish(event("two"))
        assert await take(subscription, 2) == ["one", "two"]
        await log.publish(event("three"))

        assert await take(subscription, 1) == ["three"]
        assert subscription.position == 3


async def test_a_position_goes_on_over_what_is_not_wanted(database: Database) -> None:
    """A reader of one type learns how far it has come although no event arrives."""
    async with events_actor(database) as log:
        await log.publish(event("old", type_="status"), event("wanted"), event("old", type_="status"))
        subscription = await log.follow(after=0, types=frozenset({"message"}))
        assert await take(subscription, 1) == ["wanted"]
        assert subscription.position == 3
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take, subscription, 1)
            await trio.testing.wait_all_tasks_blocked()
            await log.publish(event("new", type_="status"))
            assert subscription.position == 4
            nursery.cancel_scope.cancel()


async def test_the_daemons_own_subscriptions_take_nobodys_place(database: Database) -> None:
    """They do not count against the limit, and are served beyond it."""
    async with events_actor(database, max_subscribers=1) as log:
        await log.follow(is_own=True)
        await log.follow()
        await log.follow(is_own=True)
        with pytest.raises(Refused):
            await log.follow()
