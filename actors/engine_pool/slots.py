"""Which company has a slot in which engine process: the data of `actors.placement`, without waits or messages."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, final

from actors.messages import Hosts

PREFIXES: Final[dict[Hosts, str]] = {"linked": "engine", "pairing": "pairing"}
"""The name prefixes of engine actors by kind, from which placement knows after a crash what an engine is for."""


def hosts_of(engine: str) -> Hosts:
    """Return the kind of companies that the engine of this name hosts."""
    return "pairing" if engine.startswith(f"{PREFIXES['pairing']}-") else "linked"


@final
class Engine:
    """One engine process as placement knows it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.hosts: Hosts = hosts_of(name)
        self.version = ""
        """The version of WhatsApp Web it announces; a new slot is given only in an engine that announces the present version."""
        self.hosted: OrderedDict[str, None] = OrderedDict()
        self.is_worn = False
        """Its process is to be replaced: no company gets a slot there any more."""
        self.taken = 0
        """How many slots were given here so far: a timer can tell by it whether any was given since it was set."""

    def takes(self, version: str) -> bool:
        """Whether companies may get a slot here while ``version`` is the one to announce."""
        return not self.is_worn and self.version == version

    def next_to_leave(self) -> str:
        """Return a company that has a slot here, a different one at each call if there are several."""
        company_id = next(iter(self.hosted))
        self.hosted.move_to_end(company_id)
        return company_id


@final
class EngineSlots:
    """All engines with their companies. ``per_engine`` is the most companies one process takes."""

    def __init__(self, per_engine: int) -> None:
        self.engines: dict[str, Engine] = {}
        self._engine_of: dict[str, Engine] = {}
        self._per_engine = per_engine

    def add(self, name: str) -> Engine:
        """Add an engine that, as far as is known, hosts no company yet."""
        engine = self.engines[name] = Engine(name)
        return engine

    def remove(self, name: str) -> None:
        """Remove an engine that is gone, with every slot in it."""
        engine = self.engines.pop(name, None)
        for company_id in engine.hosted if engine is not None else ():
            self._engine_of.pop(company_id, None)

    def put(self, company_id: str, engine: Engine) -> None:
        """Give the company a slot in that engine, and free any other it has."""
        if self._engine_of.get(company_id) is not engine:
            self.leave(company_id)
        engine.taken += 1
        engine.hosted[company_id] = None
        self._engine_of[company_id] = engine

    def leave(self, company_id: str) -> Engine | None:
        """Free a company's slot; return the engine that it was in."""
        engine = self._engine_of.pop(company_id, None)
        if engine is not None:
            engine.hosted.pop(company_id, None)
        return engine

    def kept(self, company_id: str, hosts: Hosts, version: str) -> Engine | None:
        """Return the engine of this kind where the company has a slot already and may stay; None when there is none."""
        engine = self._engine_of.get(company_id)
        return engine if engine is not None and engine.hosts == hosts and engine.takes(version) else None

    def with_room(self, hosts: Hosts, version: str) -> Engine | None:
        """Return the engine of this kind with the fewest companies; None when all are full."""
        found = [
            engine for engine in self._of(hosts) if engine.takes(version) and len(engine.hosted) < self._per_engine
        ]
        return min(found, key=lambda engine: len(engine.hosted), default=None)

    def count(self, hosts: Hosts, version: str) -> int:
        """Count this kind's engines with ``version``, or half of all if that is more: companies only leave those of another version."""
        present = sum(engine.version == version for engine in self._of(hosts))
        return max(present, len(self._of(hosts)) // 2)

    def _of(self, hosts: Hosts) -> list[Engine]:
        return [engine for engine in self.engines.values() if engine.hosts == hosts]
