"""Places in engine processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from supervisor import Request

Hosts = Literal["linked", "pairing"]
"""Whom an engine process hosts: linked companies, or companies that are being linked. Never both: see `actors.placement`."""


@dataclass(frozen=True, slots=True)
class EnginePlace:
    engine: str
    """Path of the EngineActor."""
    socket_path: str
    hosts: Hosts = "linked"
    version: str = ""
    """Of WhatsApp Web, as the process announces."""


@dataclass(frozen=True, slots=True)
class AssignEngine(Request[EnginePlace]):
    """A running engine process with room (the same one again for a company that has one). Refused: `engine_unavailable`."""

    company_id: str
    hosts: Hosts = "linked"


@dataclass(frozen=True, slots=True)
class ReleaseEngine:
    company_id: str


@dataclass(frozen=True, slots=True)
class EngineFull:
    """From a company to placement: the engine process it was sent to had no room. What placement knows of it is wrong."""

    company_id: str


@dataclass(frozen=True, slots=True)
class EngineWear:
    """From an EngineActor to placement, at each report of its process."""

    engine: str
    """Its name, like ``engine-0``."""
    is_worn: bool
    """Clients that ended have left so much behind in the process that another is to take its place."""


@dataclass(frozen=True, slots=True)
class LeaveEngine:
    """From placement to a company: its engine process is to be replaced. Take a place in another one, unless you are busy with it now."""


@dataclass(frozen=True, slots=True)
class EngineReady:
    socket_path: str
    version: str
    """Of WhatsApp Web, as the process announces."""


@dataclass(frozen=True, slots=True)
class WaitReady(Request[EngineReady]):
    """To an EngineActor: where it is, once the process accepts connections."""
