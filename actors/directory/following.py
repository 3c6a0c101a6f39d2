"""Follows other daemons on the same database: companies that come and go, start and stop, and leases that become free."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Never, final

import structlog
import trio

from storage.database.listening import Listener
from storage.database.pool import Database
from storage.errors import StorageError
from storage.tables import companies, ownership
from storage.tables.companies import Desired

BREATH_S: Final = 0.1
"""The pause between two looks, however many notifications come: a daemon that stops gives a thousand leases back within a second."""
FAILED_AGAIN_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Looked:
    """The result of one look at the database."""

    free: Mapping[str, bool]
    """Companies that are to run and have no owner, each with whether it is linked."""
    records: Mapping[str, Desired] | None
    """All records; None when they have not changed."""
    touched: set[str]
    """Companies that orders at this daemon have changed since the look began: its result may be out of date for them."""
    taken_in: trio.Event = field(default_factory=trio.Event)
    """The receiver sets this once it has acted on the result. The next look begins after that."""


@final
class RecordFollower:
    """Looks every ``interval_s``, and at once when PostgreSQL notifies of a change. A lost notification costs at most one interval."""

    def __init__(self, database: Database, listener: Listener, interval_s: float) -> None:
        self._database = database
        self._listener = listener
        self._interval_s = interval_s
        self._digest: str | None = None
        """The digest of the records that were handed over last."""
        self._is_doubted = True
        self._touched: set[str] = set()
        self._notified = trio.Event()
        self._log = structlog.get_logger("wasup.directory")

    @contextmanager
    def changing(self, company_id: str) -> Generator[None]:
        """Enclose an order at this daemon. A look that began before the order's end is disregarded for this company."""
        try:
            yield
        finally:
            self._touched.add(company_id)

    def read_again(self) -> None:
        """Have the next look return all records, changed or not."""
        self._is_doubted = True

    async def run(self, hand_over: Callable[[Looked], Awaitable[None]]) -> Never:
        """Hand each look over, one at a time, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            while True:
                try:
                    await self._look(hand_over)
                except StorageError as error:
                    self._is_doubted = True
                    self._log.warning("companies_not_loaded", reason=str(error))
                    await trio.sleep(FAILED_AGAIN_S)
                else:
                    await self._rest()
        raise AssertionError("neither task ends by itself")

    async def _look(self, hand_over: Callable[[Looked], Awaitable[None]]) -> None:
        self._notified = trio.Event()
        self._touched = touched = set[str]()
        is_doubted, self._is_doubted = self._is_doubted, False
        survey = await ownership.survey(self._database)
        records = await self._read_records() if is_doubted or survey.digest != self._digest else None
        looked = Looked(survey.free, records, touched)
        await hand_over(looked)
        await looked.taken_in.wait()
        if records is not None:
            self._digest = survey.digest
            self._is_doubted = self._is_doubted or bool(touched)

    async def _read_records(self) -> dict[str, Desired]:
        found: dict[str, Desired] = {}
        after = ""
        while page := await companies.list_all(self._database, after=after):
            found |= {company.company_id: company.desired for company in page}
            after = page[-1].company_id
        return found

    async def _rest(self) -> None:
        await trio.sleep(BREATH_S)
        with trio.move_on_after(self._interval_s - BREATH_S):
            await self._notified.wait()

    async def _listen(self) -> Never:
        while True:
            try:
                await self._listener.wait()
            except StorageError as error:
                self._log.debug("not_listening", reason=str(error))
                await trio.sleep(FAILED_AGAIN_S)
            else:
                self._notified.set()
