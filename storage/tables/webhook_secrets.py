"""The secrets that sign a webhook's deliveries: the current one, and for a time the one before it.

Signing needs them readable, so with a master key configured they are wrapped by it (bound to the webhook); without one
they are stored plain.
"""

from __future__ import annotations

import secrets
from typing import Final, LiteralString, final

import msgspec

from config.json_text import read_json
from storage.crypto.sealing import Vault
from storage.database.connection import Connection
from storage.errors import BrokenSeal, UnknownMasterKey, UnreadableState

PREFIX: Final = "whsec_"

_FOREIGN: LiteralString = (
    "SELECT webhook_id, secrets, kek_id FROM webhooks WHERE kek_id IS DISTINCT FROM $1 ORDER BY webhook_id FOR UPDATE"
)
_WRAP: LiteralString = "UPDATE webhooks SET secrets = $2, kek_id = $3 WHERE webhook_id = $1"


@final
class Secrets(msgspec.Struct, frozen=True):
    """The signing secrets. ``previous`` is valid as long as the row says."""

    current: str
    previous: str | None = None

    def __repr__(self) -> str:
        return "Secrets(<hidden>)"


def new_secret() -> str:
    """Return a readable secret of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def seal(vault: Vault, webhook_id: str, value: Secrets) -> tuple[bytes, str | None]:
    """Return the columns ``secrets`` and ``kek_id``."""
    plain = msgspec.json.encode(value)
    if vault.master_keys is None:
        return plain, None
    master = vault.master_keys.current()
    return master.wrap(plain, _associated(webhook_id, master.id)), master.id


def unseal(vault: Vault, webhook_id: str, stored: bytes, kek_id: str | None) -> Secrets:
    """Return the secrets that `seal` was given. Raises `UnknownMasterKey`, or `BrokenSeal` when the row was changed or moved."""
    if kek_id is None:
        return read_json(stored, Secrets)
    master = None if vault.master_keys is None else vault.master_keys.find(kek_id)
    if master is None:
        raise UnknownMasterKey(webhook_id, kek_id, () if vault.master_keys is None else vault.master_keys.ids)
    plain = master.unwrap(stored, _associated(webhook_id, kek_id))
    if plain is None:
        raise BrokenSeal(webhook_id, "a webhook's secret", "it was changed, cut short or moved here from elsewhere")
    return read_json(plain, Secrets)


async def wrap_all(connection: Connection) -> tuple[int, dict[str, str]]:
    """Wrap every webhook's secrets by the current master key. Return how many were not before, and which cannot be opened, and why."""
    vault = connection.vault
    if vault.master_keys is None:
        return 0, {}
    done, failed = 0, dict[str, str]()
    for row in await connection.fetch(_FOREIGN, vault.master_keys.current().id):
        webhook_id: str = row["webhook_id"]
        try:
            sealed, kek_id = seal(vault, webhook_id, unseal(vault, webhook_id, row["secrets"], row["kek_id"]))
        except UnreadableState as error:
            failed[webhook_id] = str(error)
        else:
            await connection.execute(_WRAP, webhook_id, sealed, kek_id)
            done += 1
    return done, failed


def _associated(webhook_id: str, kek_id: str) -> bytes:
    return f"wasup webhook 1\0{webhook_id}\0{kek_id}".encode()
