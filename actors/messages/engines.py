"""Slots in engine processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from supervisor import Request

Hosts = Literal["linked", "pairing"]
"""Which companies an engine process hosts: linked ones, or ones that are being linked. Never both: see `actors.placement`."""


@dataclass(frozen=True, slots=True)
class EngineSlot:
    engine: str
    """Path of the EngineActor."""
    socket_path: str
    hosts: Hosts = "linked"
    version: str = ""
    """The version of WhatsApp Web that the process announces."""


@dataclass(frozen=True, slots=True)
class AssignEngine(Request[EngineSlot]):
    """Answered with a running engine process with room; for a company that has one, with the same again. Refused: `engine_unavailable`."""

    company_id: str
    hosts: Hosts = "linked"


@dataclass(frozen=True, slots=True)
class ReleaseEngine:
    company_id: str


@dataclass(frozen=True, slots=True)
class EngineFull:
    """From a company to placement: the engine process that placement chose had no room, so what placement knows of it is wrong."""

    company_id: str


@dataclass(frozen=True, slots=True)
class EngineWear:
    """From an EngineActor to placement, at each report of its process."""

    engine: str
    """Its name, like ``engine-0``."""
    is_worn: bool
    """Whether ended clients have left so much behind in the process that another one must replace it."""


@dataclass(frozen=True, slots=True)
class LeaveEngine:
    """From placement to a company: its engine process is to be replaced. It moves to a slot in another one, unless it is busy now."""


@dataclass(frozen=True, slots=True)
class EngineReady:
    socket_path: str
    version: str
    """The version of WhatsApp Web that the process announces."""


@dataclass(frozen=True, slots=True)
class WaitReady(Request[EngineReady]):
    """To an EngineActor: answered, once the process accepts connections, with where it does."""
