"""Checks that everything stored of the companies can be opened and used: after a restore, or any day."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import LiteralString, final

import msgspec

from storage.database.connection import Reader
from storage.errors import UnreadableState
from storage.tables import auth_state, media, webhook_secrets
from storage.tables.auth_state import AuthState
from storage.tables.data_keys import require_master_key
from storage.whatsmeow.codec import CodecError
from storage.whatsmeow.creds import device_from_creds
from storage.whatsmeow.rows import rows_of

Progress = Callable[[int, int], None]
"""``(done, of)``."""

_COMPANIES: LiteralString = """
    SELECT company_id FROM whatsapp_auth UNION SELECT company_id FROM whatsapp_keys
    UNION SELECT company_id FROM whatsapp_data_keys WHERE retired_at IS NULL
    UNION SELECT company_id FROM whatsapp_media ORDER BY 1
"""
_WEBHOOKS: LiteralString = "SELECT webhook_id, secrets, kek_id FROM webhooks ORDER BY 1"


@final
class Integrity(msgspec.Struct, rename="camel"):
    """What was checked and found."""

    companies: int = 0
    linked: int = 0
    """Companies with credentials that a device file can be built from."""
    values: int = 0
    """Values that were opened, credentials included."""
    files: int = 0
    """Files of messages and uploads whose access data was opened."""
    webhooks: int = 0
    unreadable: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    """What cannot be opened or used, by company or webhook: such a company would not run, or its files could not be fetched."""
    left_out: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    """How many keys of a company a device file would be built without. Sessions among them are renegotiated."""


async def verify(reader: Reader, progress: Progress = lambda _done, _of: None) -> Integrity:
    """Open everything with the reader's vault and try to use it; changes nothing.

    Raises `MasterKeyError` when there is sealed state and no configured master key opens any of it.
    """
    await require_master_key(reader)
    found = Integrity()
    companies = [row["company_id"] for row in await reader.fetch(_COMPANIES)]
    for number, company_id in enumerate(companies, start=1):
        await _verify_company(reader, company_id, found)
        progress(number, len(companies))
    for row in await reader.fetch(_WEBHOOKS):
        _verify_webhook(reader, row["webhook_id"], row["secrets"], row["kek_id"], found)
    return found


async def _verify_company(reader: Reader, company_id: str, found: Integrity) -> None:
    found.companies += 1
    try:
        state = await auth_state.load(reader, company_id)
        found.values += len(state.keys) + (state.creds is not None)
        faults = _faults(state)
        found.files += await media.open_all(reader, company_id)
    except (UnreadableState, CodecError) as error:
        found.unreadable[company_id] = str(error)
        return
    found.linked += state.creds is not None
    if faults:
        found.left_out[company_id] = len(faults)


def _faults(state: AuthState) -> Sequence[str]:
    """Return the keys that cannot be used; `CodecError` when the credentials cannot."""
    if state.creds is None:
        return ()
    jid = str(device_from_creds(state.creds)["jid"])
    faults: list[str] = []
    for key_type, key_id, value in state.keys:
        try:
            rows_of(jid, key_type, key_id, value)
        except (CodecError, ValueError, TypeError, KeyError, AttributeError) as error:
            faults.append(f"{key_type}: {error}")
    return faults


def _verify_webhook(reader: Reader, webhook_id: str, secrets: bytes, kek_id: str | None, found: Integrity) -> None:
    found.webhooks += 1
    try:
        webhook_secrets.unseal(reader.vault, webhook_id, secrets, kek_id)
    except (UnreadableState, msgspec.MsgspecError) as error:
        found.unreadable[webhook_id] = str(error)
