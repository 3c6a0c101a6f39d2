"""storage/tables/webhooks.py and its neighbours: who sees which, who delivers, what is kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from storage.crypto.sealing import Vault
from storage.database.connection import Connection
from storage.database.pool import Database, open_database
from storage.errors import BrokenSeal, UnknownMasterKey
from storage.tables import webhook_dead_letters, webhook_deliveries, webhook_secrets, webhooks
from storage.tables.webhook_deliveries import DeadLetter, Held, Progress
from storage.tables.webhooks import Change, Limits, TooManyWebhooks, Webhook

URL = "https://receiver.example/hook"


async def make(database: Database, **what: Any) -> str:
    made = await database.write(webhooks.create, Change(url=URL, **what), secret=None, limits=Limits(100, 100))
    return made[0]


async def found(database: Database, webhook_id: str) -> Webhook:
    webhook = await webhooks.find(database, None, webhook_id)
    assert webhook is not None
    return webhook


async def take(database: Database, webhook_id: str, owner: str = "here/1", ttl_s: float = 60.0) -> Held | None:
    return await database.write(webhook_deliveries.acquire, webhook_id, owner, ttl_s)


def letter(seq: int) -> DeadLetter:
    return DeadLetter(
        seq=seq,
        event_id=f"e{seq}",
        type="message",
        company_id="a",
        body=b"{}",
        attempts=3,
        failure="timed_out",
        status=None,
    )


async def test_a_key_sees_what_is_all_its_own(database: Database) -> None:
    """One for all companies, or for one more company than the key's, is not visible; for such a key it does not exist."""
    for_all = await make(database)
    for_a = await make(database, companies=["a"])
    for_both = await make(database, companies=["b", "a"])

    async def seen(only: set[str] | None) -> set[str]:
        count, page = await webhooks.list_page(database, only)
        assert count == len(page)
        return {webhook.webhook_id for webhook in page}

    assert await seen(None) == {for_all, for_a, for_both}
    assert await seen({"a"}) == {for_a}
    assert await seen({"a", "b"}) == {for_a, for_both}
    assert await seen(set()) == set()
    assert await webhooks.find(database, {"a"}, for_all) is None
    assert not await database.write(webhooks.change, {"a"}, for_all, Change(enabled=False))
    assert await database.write(webhooks.rotate, {"a"}, for_both, secret=None, overlap_s=0.0) is None
    assert not await database.write(webhooks.retire_previous, {"a"}, for_both)
    assert not await database.write(webhooks.remove, {"a"}, for_both)
    assert await database.write(webhooks.remove, {"a"}, for_a)
    assert await seen(None) == {for_all, for_both}


async def test_a_change_leaves_the_rest(database: Database) -> None:
    """Only the given fields change; None for companies or types means all."""
    webhook_id = await make(database, companies=["a"], types=["message"], description="mine")
    await database.write(webhooks.change, None, webhook_id, Change(types=None))
    first = await webhooks.find(database, None, webhook_id)
    await database.write(webhooks.change, None, webhook_id, Change(url="https://other.example/", enabled=False))
    second = await webhooks.find(database, None, webhook_id)

    assert first is not None
    assert second is not None
    assert (first.url, first.companies, first.types, first.enabled, first.version) == (URL, ("a",), None, True, 2)
    assert (second.url, second.companies, second.description, second.enabled) == (
        "https://other.example/",
        ("a",),
        "mine",
        False,
    )


async def test_there_are_at_most_so_many(database: Database) -> None:
    """In all and of a company: one more is not made, nor made by giving another to that company; existing ones can be changed."""
    of_a, of_b = await make(database, companies=["a"]), await make(database, companies=["b"])
    full = Limits(2, 1)

    async def refused(write: Any, *args: Any, **options: Any) -> str:
        with pytest.raises(TooManyWebhooks) as caught:
            await database.write(write, *args, **options)
        return str(caught.value)

    assert "2 may be made" in await refused(webhooks.create, Change(url=URL), secret=None, limits=full)
    one_more = Change(url=URL, companies=["b", "a"])
    assert "company a has 1" in await refused(webhooks.create, one_more, secret=None, limits=Limits(9, 1))
    widened = Change(companies=["a", "b"])
    assert "company b has 1" in await refused(webhooks.change, None, of_a, widened, full)
    assert await database.write(webhooks.change, None, of_b, Change(companies=["b", "c"]), full)
    assert {(await found(database, each)).companies for each in (of_a, of_b)} == {("a",), ("b", "c")}


async def test_a_secret_is_rotated_with_an_overlap(database: Database) -> None:
    """The one before stays valid until its time is over or it is retired."""
    made = await database.write(webhooks.create, Change(url=URL), secret="x" * 32, limits=Limits(9, 9))
    webhook_id, first = made
    second = await database.write(webhooks.rotate, None, webhook_id, secret=None, overlap_s=3600.0)
    both = await webhooks.valid_secrets(database, webhook_id)
    await database.execute("UPDATE webhooks SET previous_until = now()")
    after = await webhooks.valid_secrets(database, webhook_id)
    third = await database.write(webhooks.rotate, None, webhook_id, secret=None, overlap_s=0.0)
    at_once = await webhooks.valid_secrets(database, webhook_id)

    assert both is not None
    assert after is not None
    assert at_once is not None
    assert (first, both.current, both.previous) == ("x" * 32, second, first)
    assert (after.current, after.previous) == (second, None)
    assert (at_once.current, at_once.previous) == (third, None)
    assert str(second) not in repr(both)


async def test_secrets_are_wrapped_by_the_master_key(postgres_dsn: str, tmp_path: Path) -> None:
    """No secret is readable without it, a row moved to another webhook does not open, and a rotation wraps all anew."""
    old, new = tmp_path / "old", tmp_path / "new"
    for file in (old, new):
        file.write_text(os.urandom(32).hex())
        file.chmod(0o600)
    async with open_database(postgres_dsn) as plain:
        before = await make(plain)
    async with open_database(postgres_dsn, vault=Vault.of_file(old)) as database:
        made = await database.write(webhooks.create, Change(url=URL), secret=None, limits=Limits(9, 9))
        webhook_id, secret = made
        stored = await database.fetchval("SELECT secrets FROM webhooks WHERE webhook_id = $1", webhook_id)
        assert await database.write(webhook_secrets.wrap_all) == (1, {})  # the one from before
        opened = await webhooks.valid_secrets(database, webhook_id)
        held = await take(database, webhook_id)
    async with open_database(postgres_dsn, vault=Vault.of_file(new)) as database:
        with pytest.raises(UnknownMasterKey):
            await webhooks.valid_secrets(database, webhook_id)
        done, failed = await database.write(webhook_secrets.wrap_all)
        assert (done, set(failed)) == (0, {before, webhook_id})
    new.write_text(f"{new.read_text()}\n{old.read_text()}\n")
    async with open_database(postgres_dsn, vault=Vault.of_file(new)) as database:
        assert await database.write(webhook_secrets.wrap_all) == (2, {})
        assert await database.write(webhook_secrets.wrap_all) == (0, {})
        again = await webhooks.valid_secrets(database, webhook_id)
        await database.execute(
            "UPDATE webhooks SET secrets = (SELECT secrets FROM webhooks WHERE webhook_id = $1) WHERE webhook_id = $2",
            webhook_id,
            before,
        )
        with pytest.raises(BrokenSeal):
            await webhooks.valid_secrets(database, before)

    assert secret.encode() not in stored
    assert opened is not None
    assert again is not None
    assert held is not None
    assert opened.current == again.current == held.secrets.current == secret


async def test_one_owner_at_a_time(database: Database) -> None:
    """Another installation waits for the end of the lease, another boot of the same does not; each new owner has a new epoch."""
    webhook_id = await make(database)
    first = await take(database, webhook_id)
    assert first is not None
    assert await take(database, webhook_id, "there/1") is None
    same = await take(database, webhook_id)
    reboot = await take(database, webhook_id, "here/2")
    await database.execute("UPDATE webhooks SET lease_expires_at = now()")
    other = await take(database, webhook_id, "there/1")

    assert same is not None
    assert reboot is not None
    assert other is not None
    assert [held.epoch for held in (first, same, reboot, other)] == [1, 1, 2, 3]


async def test_a_lost_lease_writes_nothing(database: Database) -> None:
    """Neither cursor nor dead letters, once another daemon delivers; a release by the old one changes nothing."""
    webhook_id = await make(database)
    old = await take(database, webhook_id)
    new = await take(database, webhook_id, "here/2")
    assert old is not None
    assert new is not None
    progress = Progress(cursor=7, tried={8: 1})

    assert not await database.write(webhook_deliveries.save, old, progress)
    assert not await database.write(webhook_deliveries.bury, old, letter(3))
    assert not await database.write(webhook_deliveries.raise_from_dead, old, 3)
    await webhook_deliveries.release(database, old)
    assert await take(database, webhook_id, "there/1") is None
    assert await database.write(webhook_deliveries.save, new, progress)
    assert await database.write(webhook_deliveries.save, new, Progress(cursor=5, tried={}))
    found = await webhooks.find(database, None, webhook_id)
    assert found is not None
    assert (found.cursor, found.dead_letters) == (7, 0)


async def test_attempts_are_remembered_until_their_event_is_settled(database: Database) -> None:
    """Those above the cursor; a new holder continues the count."""
    webhook_id = await make(database)
    held = await take(database, webhook_id)
    assert held is not None
    await database.write(webhook_deliveries.save, held, Progress(cursor=2, tried={2: 5, 3: 1, 4: 2}))
    await database.write(webhook_deliveries.save, held, Progress(cursor=2, tried={4: 3}, settled=[3]))
    again = await take(database, webhook_id, "here/2")

    assert again is not None
    assert again.retries == {4: 3}


async def test_a_survey_renews_what_is_ours_and_finds_what_is_free(database: Database) -> None:
    """Neither those that another installation holds, nor those that are switched off."""
    ours, free, _foreign, _off = [await make(database) for _ in range(4)]
    await take(database, ours, ttl_s=10.0)
    await take(database, _foreign, "there/1")
    await database.write(webhooks.change, None, _off, Change(enabled=False))

    survey = await database.write(webhook_deliveries.survey, "here/1", 60.0, 100)

    left = {each.webhook_id: each.left_s for each in survey.candidates}
    assert left.keys() == {ours, free}
    assert left[free] is None
    assert left[ours] is not None
    assert left[ours] == pytest.approx(60.0, abs=5.0)


async def test_what_the_log_has_forgotten_is_counted(database: Database) -> None:
    """A webhook that was off longer than events are kept reports that it missed some."""
    webhook_id = await make(database)
    await database.execute("UPDATE whatsapp_event_counter SET last = 10")
    await database.execute(
        "INSERT INTO whatsapp_events (seq, id, type, company_id, occurred_at, payload) VALUES (8, 'e', 't', 'a', now(), '{}')"
    )
    held = await take(database, webhook_id)

    assert held is not None
    assert (held.cursor, held.forgotten) == (0, 7)


async def test_dead_letters_are_listed_replayed_discarded_and_pruned(database: Database) -> None:
    """Each call affects the letters that it names; pruned by age, and by number from the oldest."""
    webhook_id = await make(database)
    held = await take(database, webhook_id)
    assert held is not None
    for seq in range(1, 8):
        await database.write(webhook_deliveries.bury, held, letter(seq))

    async def seqs(**page: int) -> list[int]:
        return [each.seq for each in await webhook_dead_letters.list_page(database, None, webhook_id, **page)]

    assert await seqs(after=2, limit=3) == [3, 4, 5]
    assert await database.write(webhook_dead_letters.ask_for_replay, None, webhook_id, ["e1", "e2", "e99"]) == 2
    assert await database.write(webhook_dead_letters.ask_for_replay, None, webhook_id, ["e1", "e3"]) == 1
    replays = await webhook_deliveries.replays(database, held, after=1, limit=10)
    assert [each.seq for each in replays] == [2, 3]
    await database.write(webhook_deliveries.raise_from_dead, held, 2)
    assert await database.write(webhook_dead_letters.discard, None, webhook_id, ["e4"]) == 1
    assert await seqs() == [1, 3, 5, 6, 7]
    await database.execute("UPDATE webhook_dead_letters SET died_at = now() - interval '1 hour' WHERE seq = 1")
    assert await webhook_dead_letters.prune(database, 60.0, 2, batch=1) == 3
    assert await seqs() == [6, 7]
    assert await database.write(webhook_dead_letters.discard, None, webhook_id, None) == 2


async def test_what_is_removed_takes_everything_along(database: Database) -> None:
    """Attempts and dead letters too."""
    webhook_id = await make(database)
    held = await take(database, webhook_id)
    assert held is not None
    await database.write(webhook_deliveries.bury, held, letter(1))
    await database.write(webhook_deliveries.save, held, Progress(cursor=1, tried={2: 1}))

    async def left(connection: Connection) -> int:
        return int(
            await connection.fetchval(
                "SELECT (SELECT count(*) FROM webhook_retries) + (SELECT count(*) FROM webhook_dead_letters)"
            )
        )

    before = await database.write(left)
    await database.write(webhooks.remove, None, webhook_id)

    assert (before, await database.write(left)) == (2, 0)
