"""storage/tables/media.py."""

from __future__ import annotations

from storage.database.pool import Database
from storage.tables import media
from storage.tables.media import NewMedia

COMPANY = "962302"


def new(media_id: str, company: str = COMPANY) -> NewMedia:
    """A file of a message."""
    return NewMedia(company, media_id, "3EB0", b'{"kind":"image"}')


async def test_a_file_is_found_by_its_company_and_id(database: Database) -> None:
    """As it was stored; another company's same id is another file."""
    await database.write(media.keep, [new("a"), new("b")], 60.0)

    found = await media.find(database, COMPANY, "a")
    assert found is not None
    assert (found.media_id, found.message_id, found.file) == ("a", "3EB0", b'{"kind":"image"}')
    assert await media.find(database, "962303", "a") is None


async def test_what_is_kept_stays_as_it_is(database: Database) -> None:
    """Storing it again changes nothing."""
    await database.write(media.keep, [new("a")], 60.0)
    await database.write(media.keep, [NewMedia(COMPANY, "a", None, b"{}")], 60.0)

    found = await media.find(database, COMPANY, "a")
    assert found is not None
    assert found.file == b'{"kind":"image"}'


async def test_what_is_over_is_not_found_and_goes(database: Database) -> None:
    """Batch by batch, however many there are; the others stay."""
    await database.write(media.keep, [new(str(number)) for number in range(5)], -1.0)
    await database.write(media.keep, [new("stays")], 60.0)

    assert await media.find(database, COMPANY, "1") is None
    assert await media.prune(database, batch=2) == 5
    assert await media.find(database, COMPANY, "stays") is not None


async def test_a_company_keeps_so_many(database: Database) -> None:
    """The oldest go; another company's are not counted with them."""
    for media_id in ("old", "newer", "newest"):
        await database.write(media.keep, [new(media_id)], 60.0)
    await database.write(media.keep, [new("other", "962303")], 60.0)

    assert await media.prune(database, kept_per_company=2) == 1
    assert await media.find(database, COMPANY, "old") is None
    assert await media.find(database, COMPANY, "newer") is not None
    assert await media.find(database, "962303", "other") is not None
