"""The stored record of a company is the same whether the linker or an engine has linked it: types, fields, null-ness, lengths."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from actors.engine.protocol import messages as p
from tests.engine.companies import A, linked, taken_up
from tests.engine.daemon import Record, run_engine
from tests.linker.test_linking import link_by_qr, linker_beside
from tests.loopback.server import open_loopback


async def record_by_linker(tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The record when the linker hands a company over, and after an engine has logged in."""
    async with linker_beside(tmp_path) as (loopback, linker):
        link = await link_by_qr(loopback, linker)
        handed_over = shape_of(link.record)
        async with run_engine(tmp_path, loopback.endpoints.environment()) as engine:
            link = await taken_up(engine, loopback, "a", link.record)
            await link.call(p.Disconnect)
        return handed_over, shape_of(link.record)


async def record_by_engine(tmp_path: Path) -> dict[str, Any]:
    """The record of the same company when an engine has linked it."""
    async with open_loopback() as loopback, run_engine(tmp_path, loopback.endpoints.environment()) as engine:
        link = await linked(engine, loopback, "a", A)
        await link.call(p.Disconnect)
        return shape_of(link.record)


async def test_both_ways_of_linking_store_the_same(tmp_path: Path) -> None:
    """After the first log-in, 812 pre-keys and all; at the hand-over there are the phone's identity and the two ids of the account."""
    handed_over, by_linker = await record_by_linker(tmp_path)
    (tmp_path / "other").mkdir()
    by_engine = await record_by_engine(tmp_path / "other")

    assert by_linker == by_engine
    assert handed_over["creds"].keys() == by_engine["creds"].keys()
    assert handed_over["keys"].keys() == {"identity-key", "lid-mapping"}


def shape_of(record: Record) -> dict[str, Any]:
    """The record without what may differ: its identity, and the bytes of its keys."""
    keys: dict[str, Counter[str]] = {}
    for (key_type, _), value in record.keys.items():
        keys.setdefault(key_type, Counter())[json.dumps(shape(json.loads(value)), sort_keys=True)] += 1
    return {
        "creds": shape(json.loads(record.creds or b"")),
        "keys": {name: sorted(found) for name, found in keys.items()},
    }


def shape(value: object, name: str = "") -> Any:
    """Fields with the types and lengths of their values."""
    match value:
        case dict():
            return {key: shape(part, str(key)) for key, part in value.items()}
        case list():
            return [shape(part) for part in value]
        case str():
            return f"text of {len(value)}"
        case bool() | None:
            return value
        case _:
            return type(value).__name__
