"""Which engine process hosts which company, and which processes there are."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, final

import structlog

from actors.engine_pool.actor import GetEngineReport
from actors.engine_pool.slots import PREFIXES, Engine, EngineSlots
from actors.messages import (
    AssignEngine,
    EngineFull,
    EngineSlot,
    EngineWear,
    Hosts,
    Refused,
    ReleaseEngine,
    WaitReady,
)
from config.sections import EngineSettings
from supervisor import Actor, Backoff, ChildSpec, Context, ReplyTo, SupervisorRef
from supervisor.errors import ActorStopped, NoSuchActor, SupervisorError

REPORT_TIMEOUT_S = 2.0
FULL_AGAIN_S = 60.0
FAILED_AGAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class _EngineGone:
    engine: str


@dataclass(frozen=True, slots=True)
class _MakeReady:
    """A company is being linked: it will soon need a slot among the linked ones."""


@dataclass(frozen=True, slots=True)
class _IdleSince:
    engine: str
    taken: int
    """How many slots had been given in it by then."""


@final
class PlacementActor(Actor):
    """Gives companies slots in engine processes, fewest companies first; starts processes as they are needed and replaces worn ones.

    An ended client of the library leaves descriptors, memory and often a thread behind until its process ends; one that waited for a phone
    always does. So companies that are being linked have processes of their own, without linked companies: such a process ends when it has
    been empty for ``pairing_idle_s``, or, once it is worn, as soon as it is empty. A worn process of linked companies takes no more of
    them, has those it hosts move to another process, one at each report, and ends when the last has left.

    After a restart it asks the engines which companies they host, and so knows the same again.
    """

    def __init__(
        self,
        engines: SupervisorRef,
        *,
        make_engine: Callable[[Context], Actor],
        settings: EngineSettings,
        sessions_per_engine: int,
        have_leave: Callable[[str], None],
        version: Callable[[], str],
    ) -> None:
        """``have_leave`` tells a company to `LeaveEngine`; it neither waits nor fails. ``version`` returns what new processes announce."""
        self._engines = engines
        self._make_engine = make_engine
        self._settings = settings
        self._have_leave = have_leave
        self._present_version = version
        self._slots = EngineSlots(sessions_per_engine)
        self._log = structlog.get_logger("wasup.placement")

    async def started(self) -> None:
        for child in self._engines.which_children():
            engine = self._slots.add(child.id)
            await self._learn(engine)
            self._look_whether_idle(engine)

    async def receive(self, message: Any) -> Any:
        match message:
            case AssignEngine(company_id, hosts):
                engine = self._slots.kept(company_id, hosts, self._version) or await self._choose(company_id, hosts)
                self._slots.put(company_id, engine)
                self.context.spawn(self._answer_when_ready, engine, self.context.defer(), name="slot")
                if hosts == "pairing":
                    self.context.continue_with(_MakeReady())
            case _MakeReady():
                await self._make_ready()
            case ReleaseEngine(company_id):
                self._leave(company_id)
            case EngineFull(company_id):
                if (full := self._leave(company_id)) is not None:
                    await self._learn(full)
            case EngineWear(name, is_worn):
                self._note_wear(name, is_worn=is_worn)
            case _IdleSince(name, taken):
                self._end_if_idle(name, taken)
            case _EngineGone(name):
                self._slots.remove(name)
            case _:
                raise TypeError(f"placement does not understand {type(message).__name__}")

    @property
    def _version(self) -> str:
        return self._present_version()

    # --- leaving ---

    def _leave(self, company_id: str) -> Engine | None:
        """Free a company's slot. Return the engine it was in."""
        engine = self._slots.leave(company_id)
        if engine is not None:
            self._look_whether_idle(engine)
        return engine

    def _look_whether_idle(self, engine: Engine) -> None:
        if engine.hosted:
            return
        if engine.is_worn:
            self._end(engine, "worn")
        elif engine.version != self._version:
            self._end(engine, "another version is announced")
        elif engine.hosts == "pairing":
            self.context.after(self._settings.pairing_idle_s, _IdleSince(engine.name, engine.taken))

    def _end_if_idle(self, name: str, taken: int) -> None:
        engine = self._slots.engines.get(name)
        if engine is not None and engine.taken == taken and not engine.hosted:
            self._end(engine, "idle")

    def _note_wear(self, name: str, *, is_worn: bool) -> None:
        engine = self._slots.engines.get(name)
        if engine is None:
            return  # it is being ended
        if is_worn and not engine.is_worn:
            self._log.warning("engine_worn", engine=engine.name, companies=len(engine.hosted))
        engine.is_worn = is_worn
        if not is_worn:
            return
        if not engine.hosted:
            self._end(engine, "worn")
        elif engine.hosts == "linked" and self._has_room("linked"):
            self._have_leave(engine.next_to_leave())

    def _end(self, engine: Engine, why: str) -> None:
        """Send no more companies to the engine, and end its process in the background."""
        self._slots.remove(engine.name)
        self._log.info("engine_ended", engine=engine.name, reason=why)
        self.context.spawn(self._terminate, engine.name, name="end")

    async def _terminate(self, name: str) -> None:
        try:
            await self._engines.terminate_child(name)
        except SupervisorError as error:
            self._log.error("engine_did_not_end", engine=name, reason=str(error))

    # --- choosing ---

    async def _learn(self, engine: Engine) -> None:
        """Note the companies that an engine hosts, besides those on their way to it."""
        try:
            report = await self._engines.child(engine.name).ask(GetEngineReport(), timeout=REPORT_TIMEOUT_S)
        except SupervisorError:
            return  # it is being restarted and hosts no company
        engine.version = report.version
        for company_id in report.companies:
            self._slots.put(company_id, engine)

    async def _choose(self, company_id: str, hosts: Hosts) -> Engine:
        self._leave(company_id)
        if not self._has_room("linked"):  # a phone would be linked to a company that then has no process to run in
            raise Refused("engine_unavailable", "every engine process is full", retry_after_s=FULL_AGAIN_S)
        return self._slots.with_room(hosts, self._version) or await self._start_engine(hosts)

    def _has_room(self, hosts: Hosts) -> bool:
        return self._slots.with_room(hosts, self._version) is not None or self._slots.count(
            hosts, self._version
        ) < self._most(hosts)

    def _most(self, hosts: Hosts) -> int:
        return self._settings.max_pairing_processes if hosts == "pairing" else self._settings.max_processes

    async def _make_ready(self) -> None:
        if self._slots.with_room("linked", self._version) is None:
            with suppress(Refused):  # tried again when the company asks for the slot
                await self._start_engine("linked")

    async def _start_engine(self, hosts: Hosts) -> Engine:
        if self._slots.count(hosts, self._version) >= self._most(hosts):
            raise Refused(
                "engine_unavailable",
                "as many companies as possible are being linked now",
                retry_after_s=FULL_AGAIN_S,
            )
        version = self._version
        taken = {child.id for child in self._engines.which_children()}
        name = next(name for number in itertools.count() if (name := f"{PREFIXES[hosts]}-{number}") not in taken)
        spec = ChildSpec(
            id=name,
            start=self._make_engine,
            shutdown=self._settings.stop_timeout_s + 1.0,
            backoff=Backoff(minimum=0.1, maximum=10.0),
        )
        try:
            await self._engines.start_child(spec)
        except SupervisorError as error:
            self._log.error("engine_did_not_start", engine=name, reason=str(error))
            raise Refused(
                "engine_unavailable", "no engine process could be started", retry_after_s=FAILED_AGAIN_S
            ) from error
        engine = self._slots.add(name)
        engine.version = version
        return engine

    async def _answer_when_ready(self, engine: Engine, reply: ReplyTo[Any]) -> None:
        try:
            ref = self._engines.child(engine.name)
            ready = await ref.ask(WaitReady(), timeout=self._settings.start_timeout_s)
        except SupervisorError as error:
            if isinstance(error, NoSuchActor | ActorStopped):  # it will not come back: its companies get another slot
                await self.context.ref.send(_EngineGone(engine.name))
            reply.fail(Refused("engine_unavailable", f"{engine.name} is not ready: {error}", retry_after_s=2.0))
        else:
            engine.version = ready.version
            reply.reply(
                EngineSlot(engine=ref.path, socket_path=ready.socket_path, hosts=engine.hosts, version=ready.version)
            )
