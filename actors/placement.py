"""Which engine process hosts which company."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import structlog

from actors.engines.actor import GetEngineReport
from actors.messages import EnginePlace, LeavePlace, PlaceWasFull, Refused, TakePlace, WaitReady
from config.sections import EngineSettings
from supervisor import Actor, Backoff, ChildSpec, Context, ReplyTo, SupervisorRef
from supervisor.errors import ActorStopped, NoSuchActor, SupervisorError

REPORT_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class _EngineGone:
    engine: str


@final
class PlacementActor(Actor):
    """Gives companies places in engine processes, fewest companies first, and starts processes as they are needed.

    What it knows can be learnt again: after a restart it asks the engines whom they host.
    """

    def __init__(
        self,
        engines: SupervisorRef,
        *,
        make_engine: Callable[[Context], Actor],
        settings: EngineSettings,
        sessions_per_engine: int,
    ) -> None:
        self._engines = engines
        self._make_engine = make_engine
        self._settings = settings
        self._sessions_per_engine = sessions_per_engine
        self._hosted: dict[str, set[str]] = {}
        self._engine_of: dict[str, str] = {}
        self._log = structlog.get_logger("wasup.placement")

    async def started(self) -> None:
        for child in await self._engines.which_children():
            self._hosted[child.id] = set()
            await self._learn(child.id)

    async def receive(self, message: Any) -> Any:
        match message:
            case TakePlace(company_id):
                engine = self._engine_of.get(company_id) or await self._choose()
                self._engine_of[company_id] = engine
                self._hosted[engine].add(company_id)
                self.context.spawn(self._answer_when_ready, engine, self.context.defer(), name="place")
            case LeavePlace(company_id):
                self._leave(company_id)
            case PlaceWasFull(company_id):
                if (full := self._leave(company_id)) is not None:
                    await self._learn(full)
            case _EngineGone(engine):
                for company_id in self._hosted.pop(engine, ()):
                    self._engine_of.pop(company_id, None)
            case _:
                raise TypeError(f"placement does not understand {type(message).__name__}")

    def _leave(self, company_id: str) -> str | None:
        """Free a company's place; which engine that was in."""
        engine = self._engine_of.pop(company_id, None)
        if engine is not None:
            self._hosted[engine].discard(company_id)
        return engine

    async def _learn(self, engine: str) -> None:
        """Note whom an engine hosts, beside those who are on their way to it."""
        try:
            report = await self._engines.child(engine).ask(GetEngineReport(), timeout=REPORT_TIMEOUT_S)
        except SupervisorError:
            return  # it is being restarted and hosts nobody
        for company_id in report.companies:
            self._leave(company_id)
            self._engine_of[company_id] = engine
            self._hosted[engine].add(company_id)

    async def _choose(self) -> str:
        with_room = [e for e, hosted in self._hosted.items() if len(hosted) < self._sessions_per_engine]
        if with_room:
            return min(with_room, key=lambda engine: len(self._hosted[engine]))
        return await self._start_engine()

    async def _start_engine(self) -> str:
        if len(self._hosted) >= self._settings.max_processes:
            raise Refused("engine_unavailable", "every engine process is full", retry_after_s=60.0)
        taken = {child.id for child in await self._engines.which_children()}
        engine = next(name for number in itertools.count() if (name := f"engine-{number}") not in taken)
        spec = ChildSpec(
            id=engine,
            start=self._make_engine,
            shutdown=self._settings.stop_timeout_s + 1.0,
            backoff=Backoff(minimum=0.1, maximum=10.0),
        )
        try:
            await self._engines.start_child(spec)
        except SupervisorError as error:
            self._log.error("engine_did_not_start", engine=engine, reason=str(error))
            raise Refused("engine_unavailable", "no engine process could be started", retry_after_s=5.0) from error
        self._hosted[engine] = set()
        return engine

    async def _answer_when_ready(self, engine: str, reply: ReplyTo[Any]) -> None:
        try:
            ref = self._engines.child(engine)
            socket_path = await ref.ask(WaitReady(), timeout=self._settings.start_timeout_s)
        except SupervisorError as error:
            if isinstance(error, NoSuchActor | ActorStopped):  # it will not come back: its companies get another place
                await self.context.ref.send(_EngineGone(engine))
            reply.fail(Refused("engine_unavailable", f"{engine} is not ready: {error}", retry_after_s=2.0))
        else:
            reply.reply(EnginePlace(engine=ref.path, socket_path=socket_path))
