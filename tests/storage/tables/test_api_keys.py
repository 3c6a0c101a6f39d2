"""storage/tables/api_keys.py."""

from __future__ import annotations

from storage.database.pool import Database
from storage.tables import api_keys


async def test_a_key_is_found_by_its_digest(database: Database) -> None:
    """The secret's digest finds the key with its scope; the secret itself is stored nowhere."""
    made = await database.write(api_keys.create, "shop", ["962302"])

    found = await api_keys.find(database, api_keys.digest(made.secret))

    assert found is not None
    assert (found.key_id, found.name, found.companies) == (made.key_id, "shop", frozenset({"962302"}))
    assert not found.is_admin
    assert not await database.fetch("SELECT 1 FROM api_keys k WHERE k::text LIKE '%' || $1 || '%'", made.secret)
    assert made.secret not in repr(made)


async def test_no_companies_named_is_the_admin_scope(database: Database) -> None:
    """None is admin; an empty list is a key that may do nothing."""
    admin = await database.write(api_keys.create, "admin", None)
    nothing = await database.write(api_keys.create, "nothing", [])

    found = [await api_keys.find(database, api_keys.digest(key.secret)) for key in (admin, nothing)]

    assert [key and key.is_admin for key in found] == [True, False]


async def test_a_revoked_key_is_not_found_but_listed(database: Database) -> None:
    """Revoking works once; the key stays in the list with the time of it."""
    made = await database.write(api_keys.create, "shop", None)

    assert await database.write(api_keys.revoke, made.key_id)
    assert not await database.write(api_keys.revoke, made.key_id)

    assert await api_keys.find(database, api_keys.digest(made.secret)) is None
    assert [key.revoked_at is not None for key in await api_keys.list_all(database)] == [True]
