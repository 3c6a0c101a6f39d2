"""Another program's ``whatsapp_auth`` and ``whatsapp_keys``: detects which of the known forms they have, and builds the statements.

Table and column names come from the lists here; only the schema's name is given from outside, and is quoted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, LiteralString, final

from storage.database.connection import Reader, Row

AUTH: Final = "whatsapp_auth"
KEYS: Final = "whatsapp_keys"

_COLUMNS: LiteralString = """
    SELECT c.relname::text AS table_name, c.relkind::text AS kind, a.attname::text AS name,
        format_type(a.atttypid, NULL) AS type
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE n.nspname = $1 AND c.relname IN ('whatsapp_auth', 'whatsapp_keys')
"""
_IS_OURS: LiteralString = """
    SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = 'wasup_migrations')
"""

_JSON: Final = frozenset({"json", "jsonb", "text", "character varying"})
_COMPANY_TYPES: Final[Mapping[str, LiteralString]] = {
    "text": "$1",
    "character varying": "$1",
    "uuid": "$1::text::uuid",
    "integer": "$1::text::integer",
    "bigint": "$1::text::bigint",
}
_CREDS: Final[tuple[LiteralString, ...]] = ("creds", "credentials", "data", "value")
_VALUES: Final[tuple[LiteralString, ...]] = ("value", "key_data", "data")
_TYPES: Final[tuple[LiteralString, ...]] = ("key_type", "type", "category")
_IDS: Final[tuple[LiteralString, ...]] = ("key_id", "key", "id", "key_name")
_TIMES: Final[tuple[LiteralString, ...]] = ("updated_at", "created_at")


@final
class ForeignError(Exception):
    """Another program's tables cannot be used as they are; the text says what, why, and what would be right."""


@final
@dataclass(frozen=True, slots=True)
class Shape:
    """The statements for one form of the tables."""

    schema_name: str
    schema: LiteralString
    """The schema's name, quoted."""
    company: LiteralString
    """The parameter ``$1``, cast to the type of ``company_id``."""
    creds: LiteralString
    """The column of the credentials."""
    creds_type: str
    value: LiteralString
    value_type: str
    key_type: LiteralString | None
    """None: the id contains the type too, as ``type-id``."""
    key_id: LiteralString
    auth_time: LiteralString
    """When a row was written, in Unix seconds; NULL where the table does not say."""
    key_time: LiteralString
    has_times: bool
    expires: LiteralString
    """Whether a key had expired at the Unix time ``$2``."""

    def list_companies(self) -> LiteralString:
        """Select all company ids, in order."""
        return f"SELECT DISTINCT company_id::text AS company_id FROM {self.schema}.whatsapp_auth ORDER BY 1"

    def read_creds(self, *, lock: bool = False) -> LiteralString:
        """Select the credentials of one company: value and time."""
        return (
            f"SELECT {self.creds}::text AS value, {self.auth_time} AS written_at FROM {self.schema}.whatsapp_auth "
            f"WHERE company_id = {self.company}{' FOR UPDATE' if lock else ''}"
        )

    def measure_keys(self) -> LiteralString:
        """Select how many keys there are, and the length of their text."""
        return (
            f"SELECT count(*) AS keys, coalesce(sum(octet_length({self.value}::text)), 0)::bigint AS bytes "
            f"FROM {self.schema}.whatsapp_keys WHERE company_id = {self.company}"
        )

    def read_keys(self) -> LiteralString:
        """Select type, id, value and time of each key, and whether it had expired at the Unix time ``$2``."""
        kind: LiteralString = "NULL" if self.key_type is None else self.key_type
        return (
            f"SELECT {kind}::text AS key_type, {self.key_id}::text AS key_id, {self.value}::text AS value, {self.key_time} AS written_at, "
            f"{self.expires} AS expired FROM {self.schema}.whatsapp_keys WHERE company_id = {self.company}"
        )


def quoted(name: str) -> LiteralString:
    """Return an SQL identifier, quoted."""
    if "\x00" in name or not 0 < len(name.encode()) < 64:
        raise ForeignError("a schema's name is 1 to 63 bytes")
    escaped = name.replace('"', '""')
    return f'"{escaped}"'  # pyright: ignore[reportReturnType]  # quoted here, and nowhere else


async def find_shape(reader: Reader, schema: str) -> Shape:
    """Return the form of the tables in this schema. `ForeignError` when they are missing, ours, views, or of no known form."""
    name = quoted(schema)
    if await reader.fetchval(_IS_OURS, schema):
        raise ForeignError(
            f"the schema {schema} of that database is wasup's own; `wasup import database` takes another program's tables"
        )
    tables = _tables(await reader.fetch(_COLUMNS, schema), schema)
    auth, keys = tables[AUTH], tables[KEYS]
    company = _COMPANY_TYPES.get(auth.get("company_id", ""))
    if company is None or auth.get("company_id") != keys.get("company_id"):
        raise ForeignError(
            f"{schema}.{AUTH} and {KEYS} need a column company_id each, both text, varchar, uuid, integer or bigint; "
            f"found: {_shown(auth)}; {_shown(keys)}"
        )
    creds, value = _json_column(auth, _CREDS, f"{schema}.{AUTH}"), _json_column(keys, _VALUES, f"{schema}.{KEYS}")
    key_id = _first(keys, _IDS)
    if key_id is None:
        raise ForeignError(f"{schema}.{KEYS} has no column key_id; found: {_shown(keys)}")
    return Shape(
        schema_name=schema, schema=name, company=company, creds=creds, creds_type=auth[creds], value=value, value_type=keys[value],
        key_type=_first(keys, _TYPES), key_id=key_id, auth_time=_time(auth), key_time=_time(keys),
        has_times=_time(auth) != _NO_TIME and _time(keys) != _NO_TIME,
        expires="coalesce(expires_at <= to_timestamp($2), false)" if "expires_at" in keys else "$2::float8 IS NULL",
    )  # fmt: skip


_NO_TIME: LiteralString = "NULL::float8"


def _time(columns: Mapping[str, str]) -> LiteralString:
    found: list[LiteralString] = [name for name in _TIMES if columns.get(name, "").startswith("timestamp")]
    separator: LiteralString = ", "
    return f"extract(epoch FROM greatest({separator.join(found)}))::float8" if found else _NO_TIME


def _tables(rows: Sequence[Row], schema: str) -> dict[str, dict[str, str]]:
    """Return the columns of both tables with their types."""
    tables: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["kind"] not in {"r", "p"}:
            raise ForeignError(
                f"{schema}.{row['table_name']} is no table but a view or something else that runs what its maker wrote"
            )
        tables.setdefault(row["table_name"], {})[row["name"]] = row["type"]
    if missing := [name for name in (AUTH, KEYS) if name not in tables]:
        raise ForeignError(
            f"there is no table {' and no '.join(missing)} in the schema {schema}; name another with --source-schema"
        )
    return tables


def _json_column(columns: Mapping[str, str], names: Sequence[LiteralString], table: str) -> LiteralString:
    found = _first({name: kind for name, kind in columns.items() if kind in _JSON}, names)
    if found is None:
        raise ForeignError(f"{table} has no column {' or '.join(names)} of JSON or text; found: {_shown(columns)}")
    return found


def _first(columns: Mapping[str, str], names: Sequence[LiteralString]) -> LiteralString | None:
    return next((name for name in names if name in columns), None)


def _shown(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in sorted(columns.items())) or "no columns"
