"""API keys: who may call, for which companies. A key's secret is shown once, when it is made; its SHA-256 is stored."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime
from typing import Final, LiteralString, final

import msgspec

from storage.database.connection import Connection, Reader, Row

PREFIX: Final = "wasup"

_CREATE: LiteralString = "INSERT INTO api_keys (key_id, name, digest, companies) VALUES ($1, $2, $3, $4)"
_LIST: LiteralString = "SELECT * FROM api_keys ORDER BY created_at, key_id"
_FIND: LiteralString = "SELECT * FROM api_keys WHERE digest = ANY ($1::bytea[]) AND revoked_at IS NULL"
_REVOKE: LiteralString = "UPDATE api_keys SET revoked_at = now() WHERE key_id = $1 AND revoked_at IS NULL"
_REVOKED: LiteralString = """
    SELECT key_id FROM api_keys
    WHERE revoked_at > now() - make_interval(secs => $1) OR narrowed_at > now() - make_interval(secs => $1)
"""


@final
class NewKey(msgspec.Struct, frozen=True):
    """A key just made. ``secret`` exists nowhere else."""

    key_id: str
    secret: str

    def __repr__(self) -> str:
        return f"NewKey(key_id={self.key_id!r}, secret=<hidden>)"


@final
class ApiKey(msgspec.Struct, frozen=True):
    """A stored key. ``companies`` is None for the scope `admin`."""

    key_id: str
    name: str
    companies: frozenset[str] | None
    created_at: datetime
    revoked_at: datetime | None

    @property
    def is_admin(self) -> bool:
        """Whether the key allows everything for every company."""
        return self.companies is None


def digest(secret: str) -> bytes:
    """Return the hash that is stored of a secret and that `find` takes. Secrets have 256 random bits, so a plain hash is enough."""
    return hashlib.sha256(secret.encode()).digest()


def generate() -> NewKey:
    """Return a new key, which is valid once it is stored."""
    key_id = secrets.token_hex(4)
    return NewKey(key_id, f"{PREFIX}_{key_id}_{secrets.token_urlsafe(32)}")


async def create(connection: Connection, name: str, companies: Collection[str] | None) -> NewKey:
    """Make a key for these companies, or for everything (None)."""
    key = generate()
    await store(connection, key, name, companies)
    return key


async def store(connection: Connection, key: NewKey, name: str, companies: Collection[str] | None) -> None:
    """Make ``key`` valid for these companies, or for everything (None)."""
    scope = None if companies is None else sorted(set(companies))
    await connection.execute(_CREATE, key.key_id, name, digest(key.secret), scope)


async def list_all(reader: Reader) -> list[ApiKey]:
    """Return all keys, revoked ones too, oldest first."""
    return [_key(row) for row in await reader.fetch(_LIST)]


async def find(reader: Reader, secret_digest: bytes) -> ApiKey | None:
    """Return the key with this digest; None when there is none or it is revoked."""
    return (await find_all(reader, [secret_digest])).get(secret_digest)


async def find_all(reader: Reader, digests: Collection[bytes]) -> dict[bytes, ApiKey]:
    """Return the valid keys with these digests, by digest. Revoked and unknown keys are left out."""
    return {row["digest"]: _key(row) for row in await reader.fetch(_FIND, list(digests))}


async def revoke(connection: Connection, key_id: str) -> bool:
    """Revoke a key for good. Return False when there is no such key or it is revoked already."""
    return await connection.execute(_REVOKE, key_id) == "UPDATE 1"


async def revoked(reader: Reader, within_s: float) -> list[str]:
    """Return the ids of keys that were revoked, or lost a company, in the last ``within_s`` seconds."""
    return [row["key_id"] for row in await reader.fetch(_REVOKED, within_s)]


def _key(row: Row) -> ApiKey:
    companies = row["companies"]
    return ApiKey(
        row["key_id"],
        row["name"],
        None if companies is None else frozenset(companies),
        row["created_at"],
        row["revoked_at"],
    )
