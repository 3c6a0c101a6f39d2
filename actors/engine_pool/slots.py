"""Which company has a place in which engine process: the books of `actors.placement`, without a wait or a message."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, final

from actors.messages import Hosts

PREFIXES: Final[dict[Hosts, str]] = {"linked": "engine", "pairing": "pairing"}
"""How the engine actors of a kind are named: placement knows by it, after a crash, what an engine is for."""


def hosts_of(engine: str) -> Hosts:
    """Whom the engine of this name is for."""
    return "pairing" if engine.startswith(f"{PREFIXES['pairing']}-") else "linked"


@final
class Engine:
    """One engine process, as placement knows it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.hosts: Hosts = hosts_of(name)
        self.version = ""
        """Of WhatsApp Web, as it announces; a company that takes a place anew goes where the present one is announced."""
        self.hosted: OrderedDict[str, None] = OrderedDict()
        self.is_worn = False
        """Its process is to be replaced: no company is sent there any more."""
        self.taken = 0
        """Places given here so far: a timer can tell by it whether any was since it was set."""

    def takes(self, version: str) -> bool:
        """Whether companies are sent there, now that ``version`` is to be announced."""
        return not self.is_worn and self.version == version

    def next_to_leave(self) -> str:
        """A company that has a place here; another one each time, as long as there are others."""
        company_id = next(iter(self.hosted))
        self.hosted.move_to_end(company_id)
        return company_id


@final
class Places:
    """All engines with their companies. ``per_engine`` is the most companies one process takes."""

    def __init__(self, per_engine: int) -> None:
        self.engines: dict[str, Engine] = {}
        self._engine_of: dict[str, Engine] = {}
        self._per_engine = per_engine

    def add(self, name: str) -> Engine:
        """An engine that hosts nobody yet, as far as is known."""
        engine = self.engines[name] = Engine(name)
        return engine

    def remove(self, name: str) -> None:
        """That engine is gone, and every place in it."""
        engine = self.engines.pop(name, None)
        for company_id in engine.hosted if engine is not None else ():
            self._engine_of.pop(company_id, None)

    def put(self, company_id: str, engine: Engine) -> None:
        """The company has a place in that engine, and nowhere else."""
        if self._engine_of.get(company_id) is not engine:
            self.leave(company_id)
        engine.taken += 1
        engine.hosted[company_id] = None
        self._engine_of[company_id] = engine

    def leave(self, company_id: str) -> Engine | None:
        """Free a company's place; which engine that was in."""
        engine = self._engine_of.pop(company_id, None)
        if engine is not None:
            engine.hosted.pop(company_id, None)
        return engine

    def kept(self, company_id: str, hosts: Hosts, version: str) -> Engine | None:
        """The engine where the company has a place of this kind already and may stay."""
        engine = self._engine_of.get(company_id)
        return engine if engine is not None and engine.hosts == hosts and engine.takes(version) else None

    def with_room(self, hosts: Hosts, version: str) -> Engine | None:
        """The engine of this kind with the fewest companies; None when all are full."""
        found = [
            engine for engine in self._of(hosts) if engine.takes(version) and len(engine.hosted) < self._per_engine
        ]
        return min(found, key=lambda engine: len(engine.hosted), default=None)

    def count(self, hosts: Hosts, version: str) -> int:
        """Engines of this kind; those of another version, which companies only leave, do not count until they are as many again."""
        present = sum(engine.version == version for engine in self._of(hosts))
        return max(present, len(self._of(hosts)) // 2)

    def _of(self, hosts: Hosts) -> list[Engine]:
        return [engine for engine in self.engines.values() if engine.hosts == hosts]
