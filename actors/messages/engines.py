"""Places in engine processes."""

from __future__ import annotations

from dataclasses import dataclass

from supervisor import Request


@dataclass(frozen=True, slots=True)
class EnginePlace:
    engine: str
    """Path of the EngineActor."""
    socket_path: str


@dataclass(frozen=True, slots=True)
class TakePlace(Request[EnginePlace]):
    """A running engine process with room (the same one again for a company that has one). Refused: `engine_unavailable`."""

    company_id: str


@dataclass(frozen=True, slots=True)
class LeavePlace:
    company_id: str


@dataclass(frozen=True, slots=True)
class PlaceWasFull:
    """From a company to placement: the engine process it was sent to had no room. What placement knows of it is wrong."""

    company_id: str


@dataclass(frozen=True, slots=True)
class WaitReady(Request[str]):
    """To an EngineActor: its socket path, once the process accepts connections."""
