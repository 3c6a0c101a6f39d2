"""When an engine process is worn: only its end frees what ended clients have left behind in the library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from actors.engine.protocol.messages import EngineStatistics
from actors.messages import Hosts
from config.sections import EngineSettings

DESCRIPTORS_A_COMPANY: Final = 8
THREADS_A_COMPANY: Final = 4
"""The most a running session may hold; 5 and 2 were measured. Anything beyond that of all its companies was left behind."""

USABLE_DESCRIPTORS: Final = 0.6
"""The part of a process's allowed descriptors that may be left behind: replacing the process needs some of the rest."""

EXHAUSTED: Final = 1.5
"""At this multiple of a limit the process would not last until its companies have left one by one, as when no other has room."""


@dataclass(frozen=True, slots=True)
class Wear:
    """How worn a process is."""

    is_worn: bool
    """Another process is to take its place, one company after another."""
    is_exhausted: bool
    """It ends in an orderly way now, and its companies come back in another process."""


def wear_of(said: EngineStatistics, hosts: Hosts, settings: EngineSettings) -> Wear:
    """Return the wear of the process that reported this."""
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
