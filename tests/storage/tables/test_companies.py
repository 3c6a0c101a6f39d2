"""storage/tables/companies.py."""

from __future__ import annotations

import pytest

from storage.database.pool import Database
from storage.errors import IntegrityError
from storage.tables import companies
from tests.support.records import is_wanted


async def test_ensure_makes_a_company_once(database: Database) -> None:
    """A second ensure returns the first one's record unchanged."""
    first = await database.write(companies.ensure, "962302", "stopped")

    second = await database.write(companies.ensure, "962302", "running")

    assert first.desired == "stopped"
    assert second == first


async def test_list_pages_by_id(database: Database) -> None:
    """Companies come by ascending id, a page at a time."""
    for company_id in ("c", "a", "b"):
        await database.write(companies.ensure, company_id)

    first = await companies.list_all(database, limit=2)
    rest = await companies.list_all(database, after=first[-1].company_id, limit=2)

    assert [company.company_id for company in (*first, *rest)] == ["a", "b", "c"]


async def test_what_is_desired_is_recorded(database: Database) -> None:
    """It returns whether there was a record."""
    await database.write(companies.ensure, "962302")

    assert await database.write(companies.set_desired, "962302", "stopped")
    assert not await database.write(companies.set_desired, "nobody", "stopped")
    assert not await is_wanted(database, "962302")
    assert not await is_wanted(database, "nobody")

    found = await companies.find(database, "962302")
    assert found is not None
    assert found.desired == "stopped"


async def test_remove_forgets_the_record(database: Database) -> None:
    """A removed company is not found, and removing it again answers False."""
    await database.write(companies.ensure, "962302")

    assert await database.write(companies.remove, "962302")
    assert not await database.write(companies.remove, "962302")
    assert await companies.find(database, "962302") is None


@pytest.mark.parametrize("company_id", ["", "a b", "a/b", "x" * 65, "привет"])
async def test_an_impossible_id_is_refused(database: Database, company_id: str) -> None:
    """An id outside [A-Za-z0-9_-]{1,64} is an integrity error."""
    with pytest.raises(IntegrityError):
        await database.write(companies.ensure, company_id)
