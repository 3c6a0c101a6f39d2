"""What all open dashboards show: looked up once for all of them, and only while one is open."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final, NoReturn, final

import trio

from actors.http.dashboard.facts import DaemonFacts, ServerStore, daemon_facts
from actors.http.dashboard.rows import ActorRow, SessionRow, actor_rows, answered, count, listed, silent
from actors.http.dashboard.table import Table
from actors.http.services.backends import Backends
from actors.messages import FindCompany, GetDaemonHealth, GetStatus, ListSessions, Refused, SessionSummary
from config.settings import Settings
from storage.errors import StorageUnavailable
from supervisor.errors import SupervisorError

ASK_S: Final = 2.0
"""An actor that takes longer is shown as not answering."""
FACTS_EVERY: Final = 3
"""Number of intervals between two looks at the daemon's facts."""
STATUS_EVERY_S: Final = 5.0
"""A status request is a message that the company must handle: no company is asked more often than this."""
PAGE: Final = 1000


@final
class DashboardModel:
    """The tree, the sessions and the daemon's facts as of the last look."""

    def __init__(self, backends: Backends, settings: Settings, server: ServerStore) -> None:
        self._backends = backends
        self._settings = settings
        self._server = server
        self._interval_s = settings.http.dashboard_interval_s
        self.tree: Table[ActorRow] = Table(settings.http.dashboard_rows)
        self.sessions: Table[SessionRow] = Table(settings.http.dashboard_rows)
        self.facts: DaemonFacts | None = None
        self._asked_at: OrderedDict[str, float] = OrderedDict()
        """When each company was asked for its status, longest ago first."""
        self._oldest: dict[str, float] = {}
        self._postgres_version: str | None = None
        self._readers = 0
        self._watched = trio.Event()
        self._news = trio.Event()

    @asynccontextmanager
    async def watched(self) -> AsyncGenerator[None, None]:
        """Keep the model up to date during a block."""
        self._readers += 1
        self._watched.set()
        try:
            yield
        finally:
            self._readers -= 1
            if self._readers == 0:
                self._watched = trio.Event()

    async def changed(self) -> None:
        """Wait for the next change."""
        await self._news.wait()

    async def run(self) -> NoReturn:
        """Update again and again while a dashboard is open. What cannot be read now stays as it was."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._again_and_again, self._look_at_tree, self._interval_s)
            nursery.start_soon(self._again_and_again, self._look_at_sessions, self._interval_s)
            nursery.start_soon(self._again_and_again, self._ask_companies, self._interval_s)
            nursery.start_soon(self._again_and_again, self._look_at_facts, self._interval_s * FACTS_EVERY)
        raise AssertionError("the loops have no end")

    async def _again_and_again(self, look: Callable[[], Awaitable[bool]], every_s: float) -> NoReturn:
        while True:
            await self._watched.wait()
            if await look():
                self._tell()
            await trio.sleep(every_s)

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def _look_at_tree(self) -> bool:
        root = self._backends.system.snapshot()
        rows = dict(actor_rows(root, self._backends.system.unix_now(), self._oldest, self._backends.metrics.remarks))
        for path in self._oldest.keys() - rows.keys():
            del self._oldest[path]
        return self.tree.replace(rows.items(), count(root))

    # --- sessions -----------------------------------------------------------------------------------------------------

    async def _look_at_sessions(self) -> bool:
        try:
            found, total = await self._list()
        except SupervisorError:
            return False  # the directory is restarting or hangs: the tree shows it
        return self.sessions.replace(((s.company_id, listed(s, self.sessions.get(s.company_id))) for s in found), total)

    async def _list(self) -> tuple[list[SessionSummary], int]:
        found: list[SessionSummary] = []
        after: str | None = None
        while True:
            page = await self._backends.directory.ask(ListSessions(after, PAGE), timeout=ASK_S)
            found += page.sessions
            after = page.next
            if after is None or len(found) >= self._settings.http.dashboard_rows:
                return found, page.count

    async def _ask_companies(self) -> bool:
        """Ask a share of the companies for their status at each look, so that a thousand cost no more than fifty."""
        for gone in self._asked_at.keys() - self.sessions.names:
            del self._asked_at[gone]
        async with trio.open_nursery() as nursery:
            for company_id in islice(self._due(), self._settings.http.dashboard_statuses):
                self._asked_at[company_id] = trio.current_time()
                self._asked_at.move_to_end(company_id)
                nursery.start_soon(self._ask, company_id)
        return True

    def _due(self) -> Iterator[str]:
        """Return the companies to ask: first those whose present status is unknown, then those that were asked longest ago."""
        unknown = {name: None for name in self.sessions.names if self._is_unknown(name)}
        before = trio.current_time() - STATUS_EVERY_S
        due = (company_id for company_id, at in self._asked_at.items() if at <= before and company_id not in unknown)
        return iter([*unknown, *due])

    def _is_unknown(self, company_id: str) -> bool:
        row = self.sessions.get(company_id)
        return row is not None and row.reason is None and row.answers is not False

    async def _ask(self, company_id: str) -> None:
        try:
            company = await self._backends.directory.ask(FindCompany(company_id), timeout=ASK_S)
            status = await company.ask(GetStatus(), timeout=ASK_S)
        except (SupervisorError, Refused):
            status = None
        row = self.sessions.get(company_id)
        if row is not None:
            now = self._backends.system.unix_now()
            self.sessions.put(company_id, silent(row) if status is None else answered(row, status, now))

    # --- the daemon ---------------------------------------------------------------------------------------------------

    async def _look_at_facts(self) -> bool:
        try:
            available: bool | None = (await self._backends.health.ask(GetDaemonHealth(), timeout=ASK_S)).ready
        except SupervisorError:
            available = None
        if self._postgres_version is None:
            self._postgres_version = await self._ask_version()
        before = self.facts
        self.facts = daemon_facts(
            self._settings,
            self._backends.metrics,
            version=self._postgres_version,
            available=available,
            sessions=self.sessions.total,
            actors=self.tree.total,
        )
        return self.facts != before

    async def _ask_version(self) -> str | None:
        try:
            with trio.move_on_after(ASK_S):
                return await self._server.version()
        except StorageUnavailable:
            pass
        return None
