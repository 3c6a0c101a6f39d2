"""Moves a company's whole auth state in and out of the database, in one transaction each.

Values pass through `auth_state` only. An import writes as a device file would: under the company's lease, with the
directory's digest as the file's name, so that the same directory is recognised and never confused with a real device
file.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, LiteralString, TypeAlias, final

import msgspec

from config.json_text import read_json
from storage.database.connection import Connection, Reader
from storage.errors import StorageError
from storage.tables import archive, audit, auth_state, companies
from storage.tables.auth_state import ROWS_A_STATEMENT, AuthState, Delta, KeyChange
from storage.tables.leases import Lease
from storage.whatsmeow.codec import json_object

Standing: TypeAlias = Literal["free", "stored", "moved on", "taken"]
"""What a company has of a device: nothing; exactly this directory; this device, used since; another device."""

EXPORTED: Final = "exported to Baileys"
"""The reason of an archive whose state was handed over; its digest follows."""

_ELSEWHERE: LiteralString = "SELECT company_id FROM whatsapp_journal WHERE file_id = $1 AND company_id <> $2 LIMIT 1"
_LAST_REASON: LiteralString = "SELECT reason FROM whatsapp_auth_archive WHERE company_id = $1 ORDER BY id DESC LIMIT 1"


@final
class Arrival(msgspec.Struct, frozen=True):
    """A state to import."""

    company_id: str
    source: str
    """Digest of its source."""
    creds: bytes
    changes: Sequence[KeyChange]

    @property
    def file_id(self) -> str:
        """Stands for the device file, which does not exist yet."""
        return f"baileys-{self.source[:32]}"

    @property
    def digest(self) -> str:
        """Digest of what the database must hold afterwards."""
        keys = ((change.key_type, change.key_id, change.value) for change in self.changes if change.value is not None)
        return digest_of(self.creds, keys)


@final
class MoveRefused(StorageError):
    """The move would not have stored what was meant; nothing was written. The text says what differs."""


def digest_of(creds: bytes | None, keys: Iterable[tuple[str, str, bytes]]) -> str:
    """Return one digest for an auth state, independent of the JSON's layout."""
    whole = hashlib.sha256(b"" if creds is None else _canonical(creds))
    for key_type, key_id, value in sorted(keys):
        for part in (key_type.encode(), key_id.encode(), _canonical(value)):
            whole.update(len(part).to_bytes(4, "big") + part)
    return whole.hexdigest()


async def standing(reader: Reader, arrival: Arrival) -> Standing:
    """Return what the company has already."""
    state = await auth_state.load(reader, arrival.company_id)
    if state.creds is None:
        return "free"
    if _identity(state.creds) != _identity(arrival.creds):
        return "taken"
    return "stored" if state.file_id == arrival.file_id else "moved on"


async def owner_of_source(reader: Reader, arrival: Arrival) -> str | None:
    """Return another company that this very directory was imported into and that has not run since; None when there is none."""
    found: str | None = await reader.fetchval(_ELSEWHERE, arrival.file_id, arrival.company_id)
    return found


async def take_in(connection: Connection, arrival: Arrival, lease: Lease, stored: Callable[[int], None]) -> None:
    """Write the state in batches, read it back, and have the company run from now on unless its record says stopped.

    Raises the errors of `commit_deltas`, or `MoveRefused` when the state does not read back as meant; the transaction
    is void then.
    """
    if await standing(connection, arrival) != "free":
        raise MoveRefused(f"company {arrival.company_id} has a device already")
    await archive.archive(
        connection, arrival.company_id, "left over before an import", owner=lease.owner, epoch=lease.epoch
    )
    for number, delta in enumerate(_deltas(arrival, lease), 1):
        (result,) = await auth_state.commit_deltas(connection, [delta])
        if result.error is not None:
            raise result.error
        stored(min(number * ROWS_A_STATEMENT, len(arrival.changes)))
    state = await auth_state.load(connection, arrival.company_id)
    if digest_of(state.creds, state.keys) != arrival.digest:
        raise MoveRefused(f"what was stored for company {arrival.company_id} does not read back as it was written")
    await companies.ensure(connection, arrival.company_id, "running")
    await _audit(connection, "company_imported", arrival.company_id)


async def hand_over(connection: Connection, state: AuthState, lease: Lease, digest: str) -> None:
    """Archive the state, which another program will use, and keep the company stopped.

    ``digest`` names the destination. `MoveRefused` when the stored state is no longer ``state``, `LeaseLost` when the
    lease is not ours.
    """
    present = await auth_state.load(connection, state.company_id)
    if digest_of(present.creds, present.keys) != digest_of(state.creds, state.keys):
        raise MoveRefused(f"company {state.company_id} changed while it was exported")
    await companies.ensure(connection, state.company_id, "stopped")
    await companies.set_desired(connection, state.company_id, "stopped")
    reason = f"{EXPORTED} {digest}"
    await archive.archive(connection, state.company_id, reason, owner=lease.owner, epoch=lease.epoch)
    await _audit(connection, "company_exported", state.company_id)


async def was_handed_over(reader: Reader, company_id: str, digest: str) -> bool:
    """Return whether the company has no device now and the last one was handed over under this digest."""
    state = await auth_state.load(reader, company_id)
    return state.creds is None and await reader.fetchval(_LAST_REASON, company_id) == f"{EXPORTED} {digest}"


async def _audit(connection: Connection, action: str, company_id: str) -> None:
    await audit.append(connection, time.time(), "command line", action, company_id, "local")


def _deltas(arrival: Arrival, lease: Lease) -> Iterable[Delta]:
    batches = [
        tuple(arrival.changes[start : start + ROWS_A_STATEMENT])
        for start in range(0, len(arrival.changes), ROWS_A_STATEMENT)
    ]
    for number, batch in enumerate(batches or [()], 1):
        yield Delta(
            company_id=arrival.company_id,
            owner=lease.owner,
            epoch=lease.epoch,
            file_id=arrival.file_id,
            position=number,
            creds=arrival.creds if number == 1 else None,
            changes=batch,
            base=number == 1,
        )


def _identity(creds: bytes) -> object:
    """Return what identifies a device: its public identity key."""
    found: dict[str, Any] = json_object(read_json(creds)) or {}
    return (json_object(found.get("signedIdentityKey")) or {}).get("public")


def _canonical(value: bytes) -> bytes:
    return msgspec.json.encode(read_json(value), order="sorted")
