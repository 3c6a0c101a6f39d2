"""The soak: growth is found, mere variation is not; and how tables are measured."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.soak.bars import judge
from benchmarks.soak.slopes import HOUR_S, Point, slope
from benchmarks.soak.tables import look_at_tables, pack_tables
from storage.database.pool import Database

SEED = 962302
EVERY_S = 5.0


def series(per_hour: float, *, noise: float = 1.0, samples: int = 600) -> list[Point]:
    """A line with noise, sampled as the soak samples."""
    random = Random(SEED)
    times = [number * EVERY_S for number in range(samples)]
    return [(time, 60.0 + per_hour * time / HOUR_S + random.gauss(0.0, noise)) for time in times]


@pytest.mark.parametrize("per_hour", [-5.0, 0.0, 3.0, 100.0])
def test_a_slope_is_found_within_its_margin(per_hour: float) -> None:
    """Least squares, with an interval that holds the true slope and is no wider than the noise makes it."""
    found = slope(series(per_hour))

    assert found is not None
    assert abs(found.per_hour - per_hour) < found.margin < 1.0


def test_neighbours_that_resemble_each_other_tell_less() -> None:
    """A heap that wanders about a level is noise, however smooth: of 1,000 walks some 4 seem to grow (independent, 50 would)."""
    random = Random(SEED)
    grows = 0
    for _ in range(1000):
        level, walk = 60.0, list[Point]()
        for number in range(300):
            level += 0.05 * (60.0 - level) + random.gauss(0.0, 0.1)
            walk.append((number * EVERY_S, level))
        found = slope(walk)
        assert found is not None
        grows += found.is_surely_above(0.0)

    assert grows <= 15


def test_too_few_points_give_no_figure() -> None:
    """A slope of three points would mean nothing."""
    assert slope([]) is None
    assert slope(series(1.0, samples=10)) is None


def test_what_grows_is_told_from_what_wavers() -> None:
    """A leak of 3 MB an hour grows; noise, a fall, and growth below the floor do not."""
    lines = judge(
        {
            "daemon: memory, MB": series(3.0),
            "daemon: descriptors": series(0.0, noise=5.0),
            "daemon: trio tasks": series(-9.0),
            "table webhooks, MB": series(0.5, noise=0.01),
        },
        warm_up_s=0.0,
        is_calm=True,
    )

    assert {line.name: line.verdict for line in lines} == {
        "daemon: memory, MB": "GROWS",
        "daemon: descriptors": "zero",
        "daemon: trio tasks": "zero",
        "table webhooks, MB": "zero",
    }


def test_the_warm_up_does_not_count() -> None:
    """Caches that fill at the beginning are no leak."""
    warming = [(time, min(value, 60.0)) for time, value in series(600.0, noise=0.1)]

    assert [line.verdict for line in judge({"daemon: memory, MB": warming}, warm_up_s=60.0, is_calm=False)] == ["zero"]


def test_tables_are_judged_by_their_rows_under_torment() -> None:
    """A Postgres that was killed has forgotten what there is to clean up: the file grows meanwhile, the rows do not."""
    found = {
        "table webhooks, MB": series(50.0),
        "table webhooks, rows": series(50.0),
        "keys of who stays: whatsmeow-session, MB": series(50.0),
        "table audit_log, rows": series(50.0),
    }

    assert {line.name: line.verdict for line in judge(found, warm_up_s=0.0, is_calm=False)} == {
        "table webhooks, MB": "see --calm",
        "table webhooks, rows": "GROWS",
        "keys of who stays: whatsmeow-session, MB": "GROWS",
        "table audit_log, rows": "explained",
    }
    assert {line.verdict for line in judge(found, warm_up_s=0.0, is_calm=True)} == {"GROWS", "explained"}


def test_engines_are_judged_only_when_nobody_kills_them() -> None:
    """A process that was killed begins afresh: growth would not show."""
    found = {"engines: memory, MB": series(50.0)}

    assert [line.verdict for line in judge(found, warm_up_s=0.0, is_calm=False)] == ["see --calm"]
    assert [line.verdict for line in judge(found, warm_up_s=0.0, is_calm=True)] == ["GROWS"]


async def test_tables_are_looked_at_by_rows_and_kinds(database: Database) -> None:
    """All rows of a table; of keys, those of the companies that stay by kind."""
    await put_keys(database, "962302", 3)
    await put_keys(database, "churn-1", 4)

    found = await look_at_tables(database, ["962302"])

    assert found["table whatsapp_keys, rows"] == 7
    assert found["table whatsapp_keys, MB"] > 0
    assert {name: value for name, value in found.items() if name.startswith("keys of") and "MB" not in name} == {
        "keys of who stays: pre-key": 3
    }


async def test_a_packed_table_has_the_size_of_its_rows(database: Database) -> None:
    """Deleted rows leave no room behind, so that sizes can be compared."""
    await put_keys(database, "962302", 1)
    await pack_tables(database)
    before = await look_at_tables(database, [])
    await put_keys(database, "churn-1", 2000)
    await database.execute("DELETE FROM whatsapp_keys WHERE company_id = 'churn-1'")
    loose = await look_at_tables(database, [])
    await pack_tables(database)

    assert loose["table whatsapp_keys, MB"] > before["table whatsapp_keys, MB"]
    assert await look_at_tables(database, []) == before


async def put_keys(database: Database, company_id: str, count: int) -> None:
    """Insert as many pre-keys."""
    await database.execute(
        "INSERT INTO whatsapp_keys (company_id, key_type, key_id, value)"
        " SELECT $1, 'pre-key', number::text, '{}' FROM generate_series(1, $2) AS number",
        company_id,
        count,
    )
