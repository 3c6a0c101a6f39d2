"""Every error that leaves storage/. No error of asyncpg or asyncio does."""

from __future__ import annotations

from typing import final


class StorageError(Exception):
    """An operation of storage failed."""


class StorageUnavailable(StorageError):
    """The database could not be used now; the same call may work later.

    ``in_doubt`` concerns a write: False means nothing was written; True means the error came at COMMIT and
    the write may have landed, so the caller reads back (`auth_state.journal_position`) before it repeats anything that
    is not idempotent.
    """

    def __init__(self, reason: str, *, in_doubt: bool = False) -> None:
        super().__init__(
            f"the database is unavailable: {reason}" + (" (the write may have landed)" if in_doubt else "")
        )
        self.reason = reason
        self.in_doubt = in_doubt


@final
class StorageBusy(StorageUnavailable):
    """Another transaction was in the way (lock wait too long, deadlock, serialization). Nothing was written; repeat the call."""


@final
class StorageFull(StorageUnavailable):
    """The server has no room left; nothing was written. ``on_disk``: no room on its disk; otherwise it lacks memory or connections."""

    def __init__(self, reason: str, *, on_disk: bool) -> None:
        super().__init__(reason)
        self.on_disk = on_disk


@final
class StorageRefused(StorageUnavailable):
    """The server answers but refuses us: wrong address, password, database or rights. Waiting alone will not help."""


class QueryFailed(StorageError):
    """The server refused a statement for a reason that repeating does not change; nothing was written.

    Carries the server's five-letter ``sqlstate`` and primary message, never its DETAIL, which may quote stored values.
    """

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(f"{message} (SQLSTATE {sqlstate})")
        self.sqlstate = sqlstate
        self.message = message


@final
class InvalidValue(QueryFailed):
    """A value that the database cannot hold (NUL in text, not JSON, number out of range)."""


@final
class IntegrityError(QueryFailed):
    """The write contradicts what is stored (unique, foreign key, check, not null)."""


@final
class LeaseLost(StorageError):
    """The company's lease is no longer ours; the write was refused. ``current`` is the epoch now stored, None when
    the company never had a lease."""

    def __init__(self, company_id: str, epoch: int, current: int | None) -> None:
        now = "nobody holds it" if current is None else f"the stored epoch is {current}"
        super().__init__(f"the lease of company {company_id} with epoch {epoch} is lost: {now}")
        self.company_id = company_id
        self.epoch = epoch
        self.current = current


@final
class LeaseHeld(StorageError):
    """Another live owner holds the company's lease for ``expires_in_s`` more seconds, if it does not renew it."""

    def __init__(self, company_id: str, owner: str, expires_in_s: float) -> None:
        super().__init__(f"company {company_id} is owned by another daemon, {owner}")
        self.company_id = company_id
        self.owner = owner
        self.expires_in_s = expires_in_s


@final
class UnknownDeviceFile(StorageError):
    """A delta came from a device file that is not the company's present one (``current``); the delta was refused."""

    def __init__(self, company_id: str, file_id: str, current: str | None) -> None:
        super().__init__(
            f"company {company_id}: device file {file_id} is not the present one ({current or 'none yet'})"
        )
        self.company_id = company_id
        self.file_id = file_id
        self.current = current


@final
class RecordWentBack(StorageError):
    """The stored state of a company is older than what had been committed: a backup was restored, or a standby took
    over without the last commits. The delta was refused; everything in the device file has to be stored again."""

    def __init__(self, company_id: str, stored: int, known: int) -> None:
        super().__init__(
            f"company {company_id}: the database has its changes up to {stored} and had them up to {known} before: it went back"
        )
        self.company_id = company_id
        self.stored = stored
        self.known = known


@final
class MigrationError(StorageError):
    """The schema could not be brought to what this version needs; the message says why and what to do."""


@final
class EmbeddedPostgresError(StorageError):
    """The embedded server could not be started; the message says why and what to do."""


@final
class MasterKeyError(StorageError):
    """The master key cannot be used for this database; the message says why and what to do."""


class UnreadableState(StorageError):
    """The stored state of a company cannot be trusted or read. That is never the same as nothing being stored.

    ``what`` names the value, without ids that may contain phone numbers.
    """

    def __init__(self, company_id: str, what: str, why: str) -> None:
        super().__init__(f"company {company_id}: {what}: {why}")
        self.company_id = company_id
        self.what = what
        self.why = why


@final
class BrokenSeal(UnreadableState):
    """A sealed value differs from what was written: changed, cut short, moved from elsewhere, or replaced by a plain one."""


@final
class UnknownMasterKey(UnreadableState):
    """The company's data key is wrapped by a master key that is not configured here."""

    def __init__(self, company_id: str, kek_id: str, known: tuple[str, ...]) -> None:
        configured = f"the configured ones are {', '.join(known)}" if known else "none is configured"
        super().__init__(company_id, "its data key", f"it is wrapped by the master key {kek_id}; {configured}")
        self.kek_id = kek_id
