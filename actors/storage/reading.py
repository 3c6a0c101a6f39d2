"""Reads auth state, without the storage actor, and reports state that cannot be opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

import structlog

from storage.database.pool import Database
from storage.errors import StorageError, UnreadableState
from storage.tables import audit, auth_state
from storage.tables.auth_state import AuthState

ACTOR: Final = "wasup"
"""The actor in the audit log when the daemon acts, and no key."""

ACTION: Final = "auth_state_unreadable"


@final
class AuthReader:
    """Loads companies' auth state. State that cannot be opened is logged and audited once, until it can be opened or has another fault."""

    def __init__(self, database: Database, *, wall_clock: Callable[[], float]) -> None:
        self._database = database
        self._wall_clock = wall_clock
        self._reported: dict[str, str] = {}
        """The last fault of each company that cannot be read."""
        self._log = structlog.get_logger("wasup.storage")

    async def load(self, company_id: str) -> AuthState:
        """Return `auth_state.load`; raises as it does."""
        try:
            state = await auth_state.load(self._database, company_id)
        except UnreadableState as error:
            if self._reported.get(company_id) != str(error):
                await self._report(error)
            raise
        self._reported.pop(company_id, None)
        return state

    async def _report(self, error: UnreadableState) -> None:
        self._log.error("auth_state_unreadable", company_id=error.company_id, reason=str(error))
        target = f"/companies/{error.company_id}: {error.what}: {error.why}"
        try:
            await self._database.write(audit.append, self._wall_clock(), ACTOR, ACTION, target, "")
        except StorageError as failure:
            self._log.warning("audit_not_written", reason=type(failure).__name__)
        else:
            self._reported[error.company_id] = str(error)
