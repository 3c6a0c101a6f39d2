"""The replaced system's database: tables ``whatsapp_auth`` and ``whatsapp_keys`` in their forms, filled as its auth state filled them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import asyncpg

from storage.baileys.names import CREDS_FILE, parse_name

HOUR_S: Final = 3600.0


@dataclass(frozen=True)
class Form:
    """One form of the tables."""

    name: str
    script: LiteralString
    creds: str = "creds"
    value: str = "value"
    composite: bool = False
    """Type and id in one column."""
    wrap: int = 0
    """How often a value is made a JSON string of."""
    has_times: bool = True


_FULL: LiteralString = """
    CREATE TABLE whatsapp_auth (company_id TEXT PRIMARY KEY, creds JSONB NOT NULL,
        created_at TIMESTAMPTZ DEFAULT now(), updated_at TIMESTAMPTZ DEFAULT now());
    CREATE TABLE whatsapp_keys (company_id TEXT NOT NULL, key_type TEXT NOT NULL, key_id TEXT NOT NULL, value JSONB NOT NULL,
        created_at TIMESTAMPTZ DEFAULT now(), updated_at TIMESTAMPTZ DEFAULT now(), expires_at TIMESTAMPTZ,
        PRIMARY KEY (company_id, key_type, key_id));
    CREATE INDEX ON whatsapp_keys (company_id);
    ALTER TABLE whatsapp_auth ENABLE ROW LEVEL SECURITY;
    ALTER TABLE whatsapp_keys ENABLE ROW LEVEL SECURITY;
    CREATE POLICY service ON whatsapp_auth USING (true);
    CREATE FUNCTION cleanup_expired_whatsapp_keys() RETURNS INTEGER LANGUAGE sql AS $$ SELECT 1 $$;
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at = now(); RETURN NEW; END $$;
    CREATE TRIGGER touch BEFORE UPDATE ON whatsapp_auth FOR EACH ROW EXECUTE FUNCTION touch();
"""
_CREDENTIALS: LiteralString = """
    CREATE TABLE whatsapp_auth (id SERIAL PRIMARY KEY, company_id VARCHAR(64) UNIQUE, credentials JSON, updated_at TIMESTAMP DEFAULT now());
    CREATE TABLE whatsapp_keys (id SERIAL PRIMARY KEY, company_id VARCHAR(64), key_type VARCHAR(50), key_id VARCHAR(255), key_data JSON,
        updated_at TIMESTAMP DEFAULT now());
"""
_COMPOSITE: LiteralString = """
    CREATE TABLE whatsapp_auth (company_id INTEGER PRIMARY KEY, creds TEXT NOT NULL);
    CREATE TABLE whatsapp_keys (company_id INTEGER NOT NULL, key_id TEXT NOT NULL, value TEXT, PRIMARY KEY (company_id, key_id));
"""

FULL: Final = Form("full", _FULL)
FORMS: Final = (
    FULL,
    Form("encoded twice", _FULL, wrap=1),
    Form("encoded three times", _FULL, wrap=2),
    Form("credentials and key_data", _CREDENTIALS, creds="credentials", value="key_data"),
    Form("composite, text, no times", _COMPOSITE, composite=True, has_times=False),
)


def create(dsn: str, form: Form = FULL) -> None:
    """Make the tables."""
    run(dsn, form.script)


def fill(dsn: str, company_id: str, files: Mapping[str, Any], form: Form = FULL, age_s: float = HOUR_S) -> None:
    """Write the content of a Baileys directory into the tables, with a time that long ago."""
    asyncio.run(_fill(dsn, company_id, files, form, age_s))


async def _fill(dsn: str, company_id: str, files: Mapping[str, Any], form: Form, age_s: float) -> None:
    connection = await asyncpg.connect(dsn)
    company = int(company_id) if form.composite else company_id
    written = f", now() - interval '{age_s} s'" if form.has_times else ""
    rows: list[tuple[Any, ...]] = []
    try:
        for name, value in files.items():
            text = value.decode() if isinstance(value, bytes) else json.dumps(value)
            for _ in range(form.wrap):
                text = json.dumps(text)
            if name == CREDS_FILE:
                columns = f"company_id, {form.creds}{', updated_at' if written else ''}"
                await connection.execute(
                    f"INSERT INTO whatsapp_auth ({columns}) VALUES ($1, $2{written})", company, text
                )
                continue
            kind, key = parse_name(name) or ("unknown", name)
            rows.append((company, f"{kind}-{key}", text) if form.composite else (company, kind, key, text))
        ids, marks = ("key_id", "$1, $2, $3") if form.composite else ("key_type, key_id", "$1, $2, $3, $4")
        columns = f"company_id, {ids}, {form.value}{', updated_at' if written else ''}"
        await connection.executemany(f"INSERT INTO whatsapp_keys ({columns}) VALUES ({marks}{written})", rows)
        if form.script is _FULL:
            for table in ("whatsapp_auth", "whatsapp_keys"):
                await connection.execute("ALTER TABLE whatsapp_auth DISABLE TRIGGER touch")
                await connection.execute(f"UPDATE {table} SET created_at = updated_at WHERE company_id = $1", company)
                await connection.execute("ALTER TABLE whatsapp_auth ENABLE TRIGGER touch")
    finally:
        await connection.close()


def run(dsn: str, sql: str) -> Any:
    """Run statements there, or one, whose first value is returned."""
    return asyncio.run(_run(dsn, sql))


async def _run(dsn: str, sql: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await (connection.fetchval(sql) if sql.lstrip().startswith("SELECT") else connection.execute(sql))
    finally:
        await connection.close()


def dump(dsn: str) -> list[str]:
    """Everything in both tables, to check that nothing was changed."""
    return asyncio.run(_dump(dsn))


async def _dump(dsn: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        query = "SELECT a::text AS row FROM whatsapp_auth a UNION ALL SELECT k::text FROM whatsapp_keys k ORDER BY 1"
        moved = await connection.fetchval("SELECT to_regclass('wasup_moved')::text")
        return [str(row["row"]) for row in await connection.fetch(query)] + [str(moved)]
    finally:
        await connection.close()
