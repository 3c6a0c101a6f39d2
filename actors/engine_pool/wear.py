"""When an engine process is worn: what clients that ended have left behind in the library is given back by the process's end alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from actors.engine.protocol.messages import EngineStatistics
from actors.messages import Hosts
from config.sections import EngineSettings

DESCRIPTORS_A_COMPANY: Final = 8
THREADS_A_COMPANY: Final = 4
"""What a running session may hold; measured are 5 and 2. What is more than that of all its companies was left behind."""

USABLE_DESCRIPTORS: Final = 0.6
"""The part of the descriptors the system allows a process that may be left behind: replacing it takes some of the rest."""

EXHAUSTED: Final = 1.5
"""So many times a limit: the process does not last until its companies have left it one by one, as when no other has room for them."""


@dataclass(frozen=True, slots=True)
class Wear:
    """How far a process is on its way to its end."""

    is_worn: bool
    """Another process is to take its place, one company after another."""
    is_exhausted: bool
    """It ends in order now, and its companies come back in the next."""


def wear_of(said: EngineStatistics, hosts: Hosts, settings: EngineSettings) -> Wear:
    """The wear of the process that reported this."""
    part = max(
        said.stale_clients / settings.max_stale_clients,
        (said.descriptors - DESCRIPTORS_A_COMPANY * len(said.companies)) / _most_descriptors(said, settings),
        (said.threads - THREADS_A_COMPANY * len(said.companies)) / settings.max_threads,
    )
    gave_up_enough = hosts == "pairing" and said.stale_clients >= settings.max_stale_pairings
    return Wear(is_worn=part >= 1.0 or gave_up_enough, is_exhausted=part >= EXHAUSTED)


def _most_descriptors(said: EngineStatistics, settings: EngineSettings) -> float:
    if not said.descriptor_limit:
        return settings.max_descriptors
    return min(settings.max_descriptors, USABLE_DESCRIPTORS * said.descriptor_limit)
