"""storage/tables/auth_state.py: group commit, fencing, reading back."""

from __future__ import annotations

from typing import LiteralString

import msgspec
import pytest

from storage.database.pool import Database
from storage.errors import InvalidValue, LeaseLost, RecordWentBack, UnknownDeviceFile
from storage.tables import auth_state, leases
from storage.tables.auth_state import Delta, KeyChange

A, B = "962302", "962303"


def delta(
    company_id: str = A,
    *,
    position: int = 1,
    epoch: int = 1,
    owner: str = "daemon-1",
    file_id: str = "file-1",
    creds: bytes | None = None,
    changes: tuple[KeyChange, ...] = (),
    base: bool = False,
    after: int = 0,
) -> Delta:
    return Delta(company_id, owner, epoch, file_id, position, creds, changes, base, after)


def put(key_id: str, value: object, key_type: str = "session") -> KeyChange:
    return KeyChange(key_type, key_id, msgspec.json.encode(value))


async def test_a_delta_is_stored_and_read_back(database: Database) -> None:
    """Creds, keys and journal position of a committed delta are what load returns."""
    await database.write(leases.acquire, A, "daemon-1", 30.0)
    changes = (put("79000000001.0", {"n": 1}), put("7", {"k": {"type": "Buffer", "data": "AA=="}}, "pre-key"))

    results = await database.write(
        auth_state.commit_deltas, [delta(base=True, position=3, creds=b'{"me":1}', changes=changes)]
    )

    state = await auth_state.load(database, A)
    assert [(result.error, result.repeated) for result in results] == [(None, False)]
    assert (state.creds, state.file_id, state.position) == (b'{"me": 1}', "file-1", 3)
    assert {(kind, key): msgspec.json.decode(value) for kind, key, value in state.keys} == {
        ("session", "79000000001.0"): {"n": 1},
        ("pre-key", "7"): {"k": {"type": "Buffer", "data": "AA=="}},
    }


async def test_the_last_value_of_a_key_wins_across_deltas(database: Database) -> None:
    """Several deltas of one company in one commit leave each key as the last of them says, deletions included."""
    await database.write(leases.acquire, A, "daemon-1", 30.0)
    first = delta(base=True, position=1, changes=(put("a", 1), put("b", 1), put("c", 1)))
    second = delta(position=2, changes=(put("a", 2), KeyChange("session", "b", None)))

    await database.write(auth_state.commit_deltas, [first, second])

    state = await auth_state.load(database, A)
    assert sorted((key, value) for _, key, value in state.keys) == [("a", b"2"), ("c", b"1")]
    assert state.position == 2


async def test_a_lost_lease_refuses_its_company_only(database: Database) -> None:
    """In one group commit the company whose epoch is old is refused and the other is written."""
    await database.write(leases.acquire, A, "daemon-1", 30.0)
    await database.write(leases.acquire, B, "daemon-1", 30.0)
    stale = delta(A, base=True, epoch=0, changes=(put("a", 1),))

    results = await database.write(auth_state.commit_deltas, [stale, delta(B, base=True, changes=(put("b", 1),))])

    assert [type(result.error) for result in results] == [LeaseLost, type(None)]
    assert (await auth_state.load(database, A)).keys == []
    assert len((await auth_state.load(database, B)).keys) == 1


async def test_a_repeated_delta_changes_nothing(database: Database) -> None:
    """A delta at or below the recorded position is acknowledged as committed and not written again."""
    await database.write(leases.acquire, A, "daemon-1", 30.0)
    await database.write(
        auth_state.commit_deltas, [delta(base=True, position=1), delta(position=5, changes=(put("a", 5),))]
    )

    [result] = await database.write(auth_state.commit_deltas, [delta(position=5, changes=(put("a", 4),))])

    assert (result.error, result.repeated) == (None, True)
    assert (await auth_state.load(database, A)).keys == [("session", "a", b"5")]


async def test_another_device_file_is_refused(database: Database) -> None:
    """Only a base delta may bring a new device file; any other from an unknown file is refused."""
    await database.write(leases.acquire, A, "daemon-1", 30.0)
    await database.write(auth_state.commit_deltas, [delta(base=True, position=9)])

    [refused] = await database.write(auth_state.commit_deltas, [delta(file_id="file-2", position=10)])
    [accepted] = await database.write(auth_state.commit_deltas, [delta(file_id="file-2", position=1, base=True)])

    assert isinstance(refused.error, UnknownDeviceFile)
    assert accepted.error is None
    assert await auth_state.journal_position(database, A) == ("file-2", 1)


async def test_a_record_that_went_back_is_not_continued(database: Database) -> None:
    """After a failover without the last commits, the keys between what is stored and the next delta would be missing for ever."""
    await database.write(leases.acquire, A, "daemon-1", 30.0)
    await database.write(auth_state.commit_deltas, [delta(base=True, position=9)])
    await database.execute("UPDATE whatsapp_journal SET position = 5")

    [refused] = await database.write(auth_state.commit_deltas, [delta(position=10, after=9, changes=(put("a", 1),))])
    [known] = await database.write(auth_state.commit_deltas, [delta(position=10, after=5)])
    [new_file] = await database.write(
        auth_state.commit_deltas, [delta(position=1, after=9, file_id="file-2", base=True)]
    )

    assert isinstance(refused.error, RecordWentBack)
    assert "up to 5 and had them up to 9" in str(refused.error)
    assert (known.error, new_file.error) == (None, None)
    assert (await auth_state.load(database, A)).keys == []


async def test_deltas_of_one_commit_follow_each_other(database: Database) -> None:
    """Each continues the one before it, which is committed with it."""
    await database.write(leases.acquire, A, "daemon-1", 30.0)

    results = await database.write(
        auth_state.commit_deltas, [delta(base=True, position=1), delta(position=2, after=1), delta(position=3, after=2)]
    )

    assert [result.error for result in results] == [None, None, None]


async def test_more_keys_than_a_statement_takes(database: Database) -> None:
    """Two hundred and fifty keys are written in one transaction, a hundred a statement."""
    await database.write(leases.acquire, A, "daemon-1", 30.0)
    changes = tuple(put(str(n), n) for n in range(250))

    await database.write(auth_state.commit_deltas, [delta(base=True, changes=changes)])

    assert len((await auth_state.load(database, A)).keys) == 250


@pytest.mark.parametrize(
    "bad",
    [
        put("k", "a\0b"),
        KeyChange("session", "k", b'{"torn":'),
        KeyChange("session", "k", b'"\xff"'),
        KeyChange("session", "k", b"[" * 200_000),
        KeyChange("session", "k\0", b"1"),
    ],
    ids=["NUL", "torn", "not UTF-8", "deep", "NUL in the name"],
)
async def test_a_value_that_cannot_be_stored_is_its_companys_trouble(database: Database, bad: KeyChange) -> None:
    """A delta with a value that PostgreSQL would refuse is refused as a whole; the other company's is written."""
    for company_id in (A, B):
        await database.write(leases.acquire, company_id, "daemon-1", 30.0)
    deltas = [delta(A, base=True, changes=(put("good", 1), bad)), delta(B, base=True, changes=(put("good", 1),))]

    refused, written = await database.write(auth_state.commit_deltas, deltas)

    assert isinstance(refused.error, InvalidValue)
    assert written.error is None
    assert ((await auth_state.load(database, A)).keys, len((await auth_state.load(database, B)).keys)) == ([], 1)


async def test_an_escaped_backslash_is_no_nul(database: Database) -> None:
    """A value whose text merely spells the escape of NUL is stored as it is."""
    await database.write(leases.acquire, A, "daemon-1", 30.0)

    [result] = await database.write(auth_state.commit_deltas, [delta(base=True, changes=(put("k", r"\u0000"),))])

    assert result.error is None
    assert (await auth_state.load(database, A)).keys == [("session", "k", rb'"\\u0000"')]


async def test_unknown_leases_are_refused(database: Database) -> None:
    """No lease at all, another owner, another epoch, an expired lease: each refuses the delta and names the present
    epoch."""
    await database.write(leases.acquire, A, "daemon-1", 30.0)
    await database.write(leases.acquire, B, "daemon-1", 0.0)
    stale = [
        delta("nobody", base=True),
        delta(A, owner="daemon-2", base=True),
        delta(A, epoch=2, base=True),
        delta(B, base=True),
    ]

    results = await database.write(auth_state.commit_deltas, stale)

    assert [(type(r.error), getattr(r.error, "current", "")) for r in results] == [
        (LeaseLost, None), (LeaseLost, 1), (LeaseLost, 1), (LeaseLost, 1),
    ]  # fmt: skip
    assert await auth_state.journal_position(database, "nobody") == (None, 0)


async def test_lid_mappings_live_for_a_week(database: Database) -> None:
    """A LID mapping expires seven days after it was last written; nothing else expires."""
    await database.write(leases.acquire, A, "daemon-1", 30.0)
    both = (put("k", 1), put("79000000001", "1234", "lid-mapping"))
    days: LiteralString = (
        "SELECT extract(epoch FROM expires_at - now())::float8 / 86400 FROM whatsapp_keys WHERE key_type = $1"
    )
    await database.write(auth_state.commit_deltas, [delta(base=True, changes=both)])
    await database.execute(
        "UPDATE whatsapp_keys SET expires_at = now() + interval '1 day' WHERE key_type = 'lid-mapping'"
    )

    await database.write(auth_state.commit_deltas, [delta(position=2, changes=both)])

    assert await database.fetchval(days, "lid-mapping") == pytest.approx(7, abs=0.01)
    assert await database.fetchval(days, "session") is None
