"""DELETE of a company: what ends with it, what is kept, and what the next company of its id finds."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from storage.database.pool import Database
from storage.tables import (
    api_keys,
    audit,
    companies,
    events,
    idempotency,
    media,
    ownership,
    removal,
    webhook_dead_letters,
    webhook_deliveries,
    webhooks,
)
from storage.tables.events import NewEvent
from storage.tables.media import NewMedia
from storage.tables.webhook_deliveries import DeadLetter
from storage.tables.webhooks import Change, Limits

A, B = "962302", "962303"
OWNER = "here/1"
URL = "https://receiver.example/hook"


async def fill(database: Database, company_id: str, number: int) -> None:
    """Store one of everything that belongs to a company's id."""
    await database.write(companies.ensure, company_id, "running")
    event = NewEvent(f"{company_id}-{number}", "message", company_id, 1.0, b'{"text":"secret"}')
    await database.write(events.append, [event])
    await database.write(media.keep, [NewMedia(company_id, f"0a{number}", None, b"{}")], 3600.0)
    digest = hashlib.sha256(b"body").digest()
    await database.write(idempotency.claim, company_id, f"key-{number}", digest, claim="c", owner=OWNER)
    await database.write(idempotency.settle, company_id, f"key-{number}", "c", b"{}")


async def webhook(database: Database, *of: str) -> str:
    """A webhook with a dead letter of each of its companies, or of both when it is for all."""
    limits = Limits(100, 100)
    change = Change(url=URL, companies=of or None)
    webhook_id, _ = await database.write(webhooks.create, change, secret=None, limits=limits)
    held = await database.write(webhook_deliveries.acquire, webhook_id, OWNER, 60.0)
    assert held is not None
    for seq, company_id in enumerate(of or (A, B), 1):
        letter = DeadLetter(
            seq=seq,
            event_id=f"e{seq}",
            type="message",
            company_id=company_id,
            body=b"{}",
            attempts=1,
            failure="timed_out",
            status=None,
        )
        await database.write(webhook_deliveries.bury, held, letter)
    return webhook_id


async def left(database: Database, company_id: str) -> dict[str, int]:
    """How many rows each erased table has of a company."""
    counts: dict[str, int] = {}
    for table in removal.ERASED:
        sql: Any = f"SELECT count(*) FROM {table} WHERE company_id = $1"
        counts[table] = await database.fetchval(sql, company_id)
    return counts


async def forget(database: Database, company_id: str) -> None:
    """As the directory does."""
    await database.write(ownership.forget, company_id, OWNER, 60.0, "by an operator", give_back=True)


async def test_a_table_with_a_companys_id_is_erased_or_kept_for_a_reason(database: Database) -> None:
    """A new table needs a decision what DELETE means for it."""
    rows = await database.fetch(
        "SELECT c.table_name FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name) "
        "WHERE c.column_name = 'company_id' AND c.table_schema = current_schema() AND t.table_type = 'BASE TABLE'"
    )

    assert {row["table_name"] for row in rows} == removal.ERASED.keys() | removal.KEPT


async def test_the_next_company_of_an_id_finds_nothing(database: Database) -> None:
    """No event, file or idempotent request, and no key that worked before; another company keeps all of its own."""
    for company_id in (A, B):
        for number in range(3):
            await fill(database, company_id, number)
    await webhook(database)
    before = await left(database, B)
    own = await database.write(api_keys.create, "of A", [A])
    await forget(database, A)
    erased = await removal.erase(database, A, batch=2)
    await database.write(companies.ensure, A, "running")
    digest = hashlib.sha256(b"other").digest()
    claimed = await database.write(idempotency.claim, A, "key-1", digest, claim="d", owner=OWNER)

    assert erased == 10
    assert set((await left(database, A)).values()) == {0, 1}  # the new claim
    assert claimed
    assert await events.read(database, after=0, limit=10, company_ids=[A]) == []
    assert await media.find(database, A, "0a1") is None
    assert await api_keys.find(database, api_keys.digest(own.secret)) is None
    assert await left(database, B) == before


async def test_keys_lose_the_company_or_end(database: Database) -> None:
    """A key for it alone is revoked and can neither read nor make it again; one for two keeps the other; daemons hear of both."""
    alone = await database.write(api_keys.create, "alone", [A])
    both = await database.write(api_keys.create, "both", [A, B])
    other = await database.write(api_keys.create, "other", [B])
    admin = await database.write(api_keys.create, "admin", None)
    await fill(database, A, 1)
    await forget(database, A)
    found = {
        key.key_id: await api_keys.find(database, api_keys.digest(key.secret)) for key in (alone, both, other, admin)
    }

    assert found[alone.key_id] is None
    scopes = [None if (key := found[each.key_id]) is None else key.companies for each in (both, other)]
    assert scopes == [frozenset({B}), frozenset({B})]
    assert found[admin.key_id] is not None
    assert set(await api_keys.revoked(database, 60.0)) == {alone.key_id, both.key_id}


async def test_webhooks_lose_the_company_or_end(database: Database) -> None:
    """With the dead letters of it; those of others stay."""
    ids = [await webhook(database, *of) for of in ((A,), (A, B), ())]
    await fill(database, A, 1)
    await forget(database, A)
    await removal.erase(database, A)
    found = [await webhooks.find(database, None, webhook_id) for webhook_id in ids]
    letters = await database.fetch("SELECT company_id FROM webhook_dead_letters")

    assert found[0] is None
    assert [None if each is None else each.companies for each in found[1:]] == [(B,), None]
    assert [row["company_id"] for row in letters] == [B, B]
    assert await webhook_dead_letters.list_page(database, [A], ids[2]) == []


async def test_what_is_stored_late_goes_before_the_id_is_used_again(database: Database) -> None:
    """An event and a claim that were on their way during the DELETE: the sweep and the next company remove them."""
    await fill(database, A, 1)
    await forget(database, A)
    await removal.erase(database, A)
    await database.write(events.append, [NewEvent("late", "status", A, 1.0, b"{}")])
    assert await removal.sweep(database) == 1
    await database.write(events.append, [NewEvent("later", "status", A, 1.0, b"{}")])
    await database.write(companies.ensure, A, "running")

    assert set((await left(database, A)).values()) == {0}
    assert await removal.recent(database, 60.0) == frozenset()


async def test_an_id_that_was_made_anew_is_not_erased(database: Database) -> None:
    """An erasure that was slow does not touch the next company."""
    await fill(database, A, 1)
    await forget(database, A)
    await fill(database, A, 2)

    assert await removal.erase(database, A) == 0
    assert await removal.sweep(database) == 0
    assert (await left(database, A))["whatsapp_events"] == 1


async def test_the_archive_and_the_audit_log_stay(database: Database) -> None:
    """The way back after a mistake, for a limited time; and the record of who did it, for ever."""
    await fill(database, A, 1)
    creds = msgspec.json.encode({"me": {"id": "79000000001@s.whatsapp.net"}})
    await database.execute("INSERT INTO whatsapp_auth (company_id, creds) VALUES ($1, $2)", A, creds)
    await database.write(audit.append, 1.0, "admin000", "forget", A, "192.0.2.1")
    await forget(database, A)
    await removal.erase(database, A)

    assert await database.fetchval("SELECT count(*) FROM whatsapp_auth WHERE company_id = $1", A) == 0
    assert await database.fetchval("SELECT count(*) FROM whatsapp_auth_archive WHERE company_id = $1", A) == 1
    assert [record.target for record in await audit.read(database)] == [A]
