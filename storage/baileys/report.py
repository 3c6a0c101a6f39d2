"""What happened to each entry of a Baileys directory, for the operator who moves a company."""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal, TypeAlias, final

import msgspec

Verdict: TypeAlias = Literal["unreadable", "unknown", "broken", "expired", "not needed", "contradicted"]

MAX_LISTED: Final = 1000
"""Entries of a list in the report; beyond it only the count grows."""


@final
class Left(msgspec.Struct, frozen=True, rename="camel"):
    """A file or key that is left behind."""

    name: str
    verdict: Verdict
    reason: str


@final
class Ambiguous(msgspec.Struct, frozen=True, rename="camel"):
    """A session whose file name does not say whether its owner is a phone number or a LID."""

    name: str
    taken_as: Literal["pn", "lid"]
    reason: str


@final
class Report(msgspec.Struct, rename="camel"):
    """Counts by type, everything left behind with the reason, and what was guessed."""

    generation: str = ""
    """``v6`` or ``v7``, by the form of its Signal addresses."""
    files: int = 0
    moved: Counter[str] = msgspec.field(default_factory=Counter[str])
    """By type of Baileys' key; ``creds`` counts 1."""
    left: Counter[str] = msgspec.field(default_factory=Counter[str])
    """By verdict."""
    left_behind: list[Left] = msgspec.field(default_factory=list[Left])
    ambiguous: list[Ambiguous] = msgspec.field(default_factory=list[Ambiguous])
    warnings: list[str] = msgspec.field(default_factory=list[str])
    truncated: int = 0
    """Old chains, archived states and skipped messages inside sessions, for which the other library has no room."""

    def leave(self, name: str, verdict: Verdict, reason: str) -> None:
        """Record an entry that is left behind."""
        self.left[verdict] += 1
        if len(self.left_behind) < MAX_LISTED:
            self.left_behind.append(Left(name, verdict, reason))

    def guess(self, name: str, taken_as: Literal["pn", "lid"], reason: str) -> None:
        """Record a session whose owner had to be guessed."""
        if len(self.ambiguous) < MAX_LISTED:
            self.ambiguous.append(Ambiguous(name, taken_as, reason))
