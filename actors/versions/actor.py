"""The versions actor: looks up the newest version of WhatsApp Web at the start, every day, and when the one in use is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, final

import structlog
import trio

from actors.versions.lookup import LookUpFailed
from actors.versions.state import VersionState
from config.doubling import Doubling
from config.outward import WhatsAppSettings
from storage.errors import StorageUnavailable
from storage.tables.whatsapp_version import Remembered
from supervisor import Actor

AGAIN_FIRST_S: Final = 60.0
AGAIN_MOST_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class _Look:
    """It is time for the next look-up."""


class Memory(Protocol):
    """Keeps the result of the last successful look-up, in Postgres."""

    async def recall(self) -> Remembered | None: ...
    async def remember(self, version: str) -> None: ...


@final
class VersionsActor(Actor):
    """Keeps `VersionState` up to date. It has started once the stored version is read and, if that is out of date, the page was asked.

    With a setting other than `auto` it does nothing. A failed look-up changes nothing.
    """

    def __init__(
        self,
        state: VersionState,
        *,
        settings: WhatsAppSettings,
        ask: Callable[[], Awaitable[str]],
        memory: Memory,
        wall_clock: Callable[[], float],
    ) -> None:
        """``ask`` looks the version up; it returns a version, or raises `LookUpFailed`."""
        self._state = state
        self._settings = settings
        self._ask = ask
        self._memory = memory
        self._wall_clock = wall_clock
        self._again = Doubling(AGAIN_FIRST_S, AGAIN_MOST_S)
        self._log = structlog.get_logger("wasup.versions")

    async def started(self) -> None:
        if self._state.is_auto:
            remembered = await self._recall()
            if remembered is None or self._wall_clock() - remembered.seen_at > self._settings.version_interval_s:
                await self._look()
            self._state.settle(renew_after_s=0.0)
            self.context.every(self._settings.version_interval_s, _Look())
            self.context.spawn(self._watch, name="watch")
        current = self._state.current
        self._log.info("whatsapp_version", version=current.text, source=current.source)

    async def receive(self, message: Any) -> Any:
        match message:
            case _Look():
                await self._look()
                self._state.settle(renew_after_s=self._settings.version_renew_s)
                if self._state.is_exhausted:
                    self.context.after(self._again.next_s(), _Look())
            case _:
                raise TypeError(f"the versions actor does not understand {type(message).__name__}")

    async def _watch(self) -> None:
        """Look up at once when the version in use is refused for the first time."""
        while True:
            await self._state.doubted.wait()
            self._state.doubted = trio.Event()
            refused = self._state.current.text
            self._log.warning("whatsapp_version_refused", version=refused)
            self._again.reset()
            await self._look()
            self._state.settle(renew_after_s=self._settings.version_renew_s)
            if self._state.is_exhausted:
                self._log.error("whatsapp_version_exhausted", version=refused)
                self.context.after(self._again.next_s(), _Look())
            else:
                self._log.info("whatsapp_version", version=self._state.current.text, source=self._state.current.source)

    async def _look(self) -> None:
        try:
            with trio.fail_after(self._settings.version_timeout_s):
                version = await self._ask()
        except (LookUpFailed, trio.TooSlowError) as error:
            reason = str(error) or "the page did not answer in time"
            self._log.warning("whatsapp_version_not_found", reason=reason, version=self._state.current.text)
            return
        if why := self._state.found(version):
            self._log.warning("whatsapp_version_not_believed", version=version, reason=why)
            return
        try:
            await self._memory.remember(version)
        except StorageUnavailable as error:
            self._log.warning("whatsapp_version_not_remembered", reason=str(error))

    async def _recall(self) -> Remembered | None:
        try:
            remembered = await self._memory.recall()
        except StorageUnavailable as error:
            self._log.warning("whatsapp_version_not_remembered", reason=str(error))
            return None
        if remembered is not None and (why := self._state.found(remembered.version, remembered.found_at)):
            self._log.warning("whatsapp_version_not_believed", version=remembered.version, reason=why)
            return None
        return remembered
