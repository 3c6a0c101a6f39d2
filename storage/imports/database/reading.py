"""Reads one company from another program's tables as the files of a Baileys directory, which an import can convert."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from config.json_text import read_json
from storage.baileys.directory import MAX_BYTES, MAX_FILES, Source, SourceFile, digest_of
from storage.baileys.names import CREDS_FILE, KEY_TYPES, file_name, parse_name
from storage.database.connection import Connection, Row
from storage.imports.database.shape import AUTH, ForeignError, Shape
from storage.whatsmeow.codec import json_array, json_object
from storage.whatsmeow.rows import LID_MAPPING, REVERSE

SEALED_KEY: Final = "movedIntoWasup"
"""The member that marks credentials which have moved."""

_MAX_ENCODINGS: Final = 3
"""How often a value may have been encoded as a JSON string; beyond it, the value counts as broken."""
_MAX_DEPTH: Final = 64
_TEXTS: Final = frozenset({"name", "notify", "verifiedName", "pushName", "platform"})
"""Text written by people; never decoded as JSON."""
_READ_ONLY: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
ALL_OR_REFUSED: Final = "SET LOCAL row_security = off"
"""Where policies would hide rows, the server refuses instead of returning some of them."""


async def begin_reading(connection: Connection) -> None:
    """Make the transaction one read-only snapshot. Must be its first statement."""
    await connection.execute(_READ_ONLY)
    await connection.execute(ALL_OR_REFUSED)


async def list_companies(connection: Connection, shape: Shape) -> list[str]:
    """Return every company id of the tables, in order."""
    await begin_reading(connection)
    return [row["company_id"] for row in await connection.fetch(shape.list_companies())]


async def read_snapshot(connection: Connection, shape: Shape, company_id: str, now_s: float) -> Source:
    """Return the company at one moment. `ForeignError` when it is missing, sealed, there twice, or larger than any auth state."""
    await begin_reading(connection)
    return await read_company(connection, shape, company_id, now_s)


async def read_company(
    connection: Connection, shape: Shape, company_id: str, now_s: float, *, lock: bool = False
) -> Source:
    """Like `read_snapshot`, in a transaction that may go on; ``lock`` locks the credentials until its end."""
    rows = await connection.fetch(shape.read_creds(lock=lock), company_id)
    if len(rows) != 1 or rows[0]["value"] is None:
        what = "no credentials" if not rows or len(rows) == 1 else f"{len(rows)} rows of credentials"
        raise ForeignError(f"company {company_id} has {what} in {AUTH} there")
    creds = _file(CREDS_FILE, rows[0]["value"], rows[0]["written_at"] or now_s)
    if is_sealed(creds.data):
        raise ForeignError(f"company {company_id} has moved away from there, and its archive is gone")
    size = await connection.fetchrow(shape.measure_keys(), company_id)
    assert size is not None, "an aggregate has a row"
    if size["keys"] > MAX_FILES or size["bytes"] > MAX_BYTES:
        raise ForeignError(
            f"company {company_id} has {size['keys']} keys of {size['bytes'] // 1024**2} MiB there; an auth state has at most "
            f"{MAX_FILES} of {MAX_BYTES // 1024**2} MiB together"
        )
    return source_of(company_id, creds, *_keys(await connection.fetch(shape.read_keys(), company_id, now_s), now_s))


def source_of(
    company_id: str,
    creds: SourceFile,
    files: Iterable[SourceFile],
    unreadable: Sequence[tuple[str, str]],
    expired: Sequence[str],
) -> Source:
    """Return the source of an import from its files."""
    whole = tuple(sorted((creds, *files), key=lambda file: file.name))
    digest = digest_of((file.name, file.data) for file in whole)
    return Source(
        f"the credentials of company {company_id} in {AUTH}", whole, tuple(unreadable), digest, tuple(expired)
    )


def is_sealed(creds: bytes) -> bool:
    """Return whether these credentials say that they have moved into wasup."""
    try:
        return SEALED_KEY in (json_object(read_json(creds)) or {})
    except msgspec.DecodeError:
        return False


def _keys(rows: Sequence[Row], now_s: float) -> tuple[list[SourceFile], list[tuple[str, str]], list[str]]:
    """Return the files, the unreadable entries with reasons, and the expired ones. A row without a time counts as written at ``now_s``."""
    files: dict[str, SourceFile] = {}
    unreadable: list[tuple[str, str]] = []
    expired: list[str] = []
    for row in rows:
        name = _name(row["key_type"], row["key_id"])
        if row["expired"]:
            expired.append(name)
        elif row["value"] is None:
            unreadable.append((name, "its value is NULL"))
        else:
            file = _file(name, row["value"], row["written_at"] or now_s)
            known = files.get(name)
            if known is None or known.written_at <= file.written_at:
                files[name] = file
    return list(files.values()), unreadable, sorted(expired)


def _name(key_type: str | None, key_id: str | None) -> str:
    """Return the file that Baileys' own store would keep this key in. Some stores put the type into the id, or give
    reverse LID mappings a type of their own."""
    kind, text = key_type or "", key_id or ""
    if kind in {f"{LID_MAPPING}-reverse", f"{LID_MAPPING}{REVERSE}"}:
        kind, text = LID_MAPPING, text.removesuffix(REVERSE) + REVERSE
    if kind and not (text.startswith(f"{kind}-") and parse_name(file_name(kind, text)) is None):
        return file_name(kind, text)
    for known in KEY_TYPES:
        if text.startswith(f"{known}-"):
            return file_name(known, text.removeprefix(f"{known}-").removesuffix(".json"))
    return file_name(kind or "unknown", text)


def _file(name: str, text: str, written_at: float) -> SourceFile:
    return SourceFile(name, _unwrapped(text), written_at)


def _unwrapped(text: str) -> bytes:
    """Return the JSON of a value, also where a store encoded it, or parts of it, as a JSON string."""
    try:
        value: Any = read_json(text)
        plain = _plain(value, 0)
    except msgspec.DecodeError:
        return text.encode("utf-8", "surrogateescape")  # the conversion reports what is wrong with it
    return text.encode() if plain is value else msgspec.json.encode(plain)


def _plain(value: Any, depth: int) -> Any:
    """Return ``value`` with every string that is JSON of an object, array or string decoded; the same object when there is none."""
    if depth > _MAX_DEPTH:
        raise msgspec.DecodeError("it nests too deep")
    if isinstance(value, str):
        return _decoded(value, depth)
    if (found := json_object(value)) is not None:
        made = {key: item if key in _TEXTS else _plain(item, depth + 1) for key, item in found.items()}
        return made if any(made[key] is not found[key] for key in made) else value
    if (items := json_array(value)) is not None and any(isinstance(item, (str, dict, list)) for item in items):
        plain = [_plain(item, depth + 1) for item in items]
        return plain if any(new is not old for new, old in zip(plain, items, strict=True)) else value
    return value


def _decoded(text: str, depth: int) -> Any:
    if text[:1] not in {"{", "[", '"'}:
        return text
    try:
        found = read_json(text)
    except msgspec.DecodeError:
        return text
    return _plain(found, depth + _MAX_DEPTH // _MAX_ENCODINGS)
