"""One event on its way to one endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

REPLAYS: Final = ""
"""The ordering key of replays. No company has this name."""


@final
@dataclass(slots=True, eq=False)
class Delivery:
    """One event for one endpoint, from the log until it is delivered or given up."""

    seq: int
    event_id: str
    type: str
    company_id: str
    body: bytes
    occurred_at: float
    """Unix seconds."""
    attempts: int
    last_attempt: int
    """The number of attempts after which it is given up."""
    due_at: float = 0.0
    """By trio's clock."""
    is_replay: bool = False
    is_under_way: bool = False

    @property
    def ordering_key(self) -> str:
        """Deliveries of one ordering key are made one after the other."""
        return REPLAYS if self.is_replay else self.company_id
