"""What one transaction of the storage actor does. It uses only the connection, and no actor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from actors.messages import Event, Refused
from actors.storage import requests
from actors.storage.refusals import owned_elsewhere
from storage.database.connection import Connection
from storage.errors import LeaseHeld, LeaseLost, StorageError, UnknownDeviceFile, UnreadableState
from storage.tables import archive, auth_state, events, leases, media, ownership
from storage.tables import auth_single_statement as auth_single_statement
from storage.tables.auth_state import Delta
from storage.tables.data_keys import KnownDataKeys


@dataclass(frozen=True, slots=True)
class WriteBatch:
    requests: tuple[Any, ...]
    owner: str
    lease_ttl_s: float
    known: KnownDataKeys = field(default_factory=KnownDataKeys)

    @property
    def deltas(self) -> list[Delta]:
        return [request.delta for request in self.requests if isinstance(request, requests.CommitDelta)]

    @property
    def events(self) -> list[Event]:
        return [
            event for request in self.requests if isinstance(request, requests.AppendEvents) for event in request.events
        ]

    @property
    def keys(self) -> int:
        """The number of keys in its deltas."""
        return sum(len(delta.changes) for delta in self.deltas)


def is_ordinary(work: WriteBatch) -> bool:
    """Return whether `perform_single_statement` may be tried: for ordinary deltas and events only."""
    ids = [event.id for event in work.events]
    return (
        all(isinstance(request, requests.CommitDelta | requests.AppendEvents) for request in work.requests)
        and auth_single_statement.is_ordinary(work.deltas, work.known)
        and len(set(ids)) == len(ids)
    )


async def perform_single_statement(connection: Connection, work: WriteBatch, lock_timeout_s: float) -> list[Any] | None:
    """Do what `perform` does, for ordinary work, by one statement for its deltas and then one for its events, without a transaction.

    Return None when `perform` has to be called after all. The deltas may be written by then, which does no harm.
    """
    deltas = work.deltas
    if deltas and await auth_single_statement.commit(connection, deltas, work.known, lock_timeout_s) is None:
        return None
    rows = [_row(event) for event in work.events]
    seqs = await events.append_single_statement(connection, rows, lock_timeout_s) if rows else []
    return None if seqs is None else _answers(work.requests, iter(seqs))


def _answers(all_requests: Sequence[Any], seqs: Iterator[int]) -> list[Any]:
    return [
        tuple(next(seqs) for _ in request.events) if isinstance(request, requests.AppendEvents) else None
        for request in all_requests
    ]


async def perform(connection: Connection, work: WriteBatch) -> list[Any]:
    """Perform the requests. Return the result of each, in order: a reply, or the exception for its caller. Deltas and events take one
    statement each.

    Deltas come first and leases last, so that a company's release follows its writes.
    """
    outcomes: dict[int, Any] = {}
    await _commit_deltas(connection, work.requests, work.known, outcomes)
    await _append_events(connection, work.requests, outcomes)
    for index, request in enumerate(work.requests):
        if index not in outcomes:
            outcomes[index] = await _perform_one(connection, request, work)
    return [outcomes[index] for index in range(len(work.requests))]


async def _commit_deltas(
    connection: Connection, all_requests: Sequence[Any], known: KnownDataKeys, outcomes: dict[int, Any]
) -> None:
    found = [(index, r.delta) for index, r in enumerate(all_requests) if isinstance(r, requests.CommitDelta)]
    if not found:
        return
    results = await auth_state.commit_deltas(connection, [delta for _, delta in found], known)
    for (index, delta), result in zip(found, results, strict=True):
        outcomes[index] = None if result.error is None else _refused(delta.company_id, result.error)


async def _append_events(connection: Connection, all_requests: Sequence[Any], outcomes: dict[int, Any]) -> None:
    found = [(index, r.events) for index, r in enumerate(all_requests) if isinstance(r, requests.AppendEvents)]
    if not found:
        return
    seqs = iter(await events.append(connection, [_row(event) for _, batch in found for event in batch]))
    for index, batch in found:
        outcomes[index] = tuple(next(seqs) for _ in batch)


def _row(event: Event) -> events.NewEvent:
    return events.NewEvent(event.id, event.type, event.company_id, event.timestamp, bytes(event.payload))


async def _perform_one(connection: Connection, request: Any, work: WriteBatch) -> Any:
    try:
        return await _outcome(connection, request, work)
    except LeaseHeld as held:
        return owned_elsewhere(held)
    except (LeaseLost, UnreadableState) as error:
        return _refused(request.company_id, error)


async def _outcome(connection: Connection, request: Any, work: WriteBatch) -> Any:
    match request:
        case requests.KeepMedia(_, new, keep_s):
            await media.keep(connection, new, keep_s)
        case requests.AcquireLease(company_id):
            return await ownership.take_up(connection, company_id, work.owner, work.lease_ttl_s)
        case requests.RenewLeases(company_ids):
            return await leases.renew(connection, work.owner, company_ids, work.lease_ttl_s)
        case requests.ReleaseLease(company_id, epoch):
            await leases.release(connection, company_id, work.owner, epoch)
        case requests.ArchiveAuth(company_id, reason, None):
            await ownership.archive_owned(connection, company_id, work.owner, work.lease_ttl_s, reason)
        case requests.ArchiveAuth(company_id, reason, int(epoch)):
            await archive.archive(connection, company_id, reason, owner=work.owner, epoch=epoch)
        case requests.ClaimCompany(company_id, desired):
            return await ownership.claim(connection, company_id, work.owner, work.lease_ttl_s, desired)
        case requests.RecordStop(company_id):
            await ownership.record_stop(connection, company_id, work.owner)
        case requests.ForgetRecord(company_id, reason, give_back):
            await ownership.forget(connection, company_id, work.owner, work.lease_ttl_s, reason, give_back=give_back)
        case _:
            return TypeError(f"storage does not understand {type(request).__name__}")
    return None


def _refused(company_id: str, error: StorageError) -> Refused:
    """Return the refusal for a delta (the session must end), or for a request that opens sealed rows."""
    is_lost = isinstance(error, LeaseLost | UnknownDeviceFile)
    return Refused("lease_lost" if is_lost else "storage_rejected", str(error), company_id=company_id)
