"""The loopback's deliberate faults, and whom they affect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

REFUSAL_CODES: Final = frozenset({401, 402, 403, 405, 406, 409, 411, 412, 413, 414, 415, 418, 500, 501, 503})
HOLDABLE: Final = frozenset({"ack", "ib", "iq", "message", "notification", "receipt", "success"})
"""Tags of the nodes the server sends that can be held back."""


@dataclass(slots=True)
class Refusal:
    """Answer log-ins with ``<failure reason=code>``: the next ``times`` of ``phone``; None stands for all."""

    code: int
    times: int | None
    phone: str | None
    attrs: Mapping[str, str]


@dataclass(slots=True)
class Faults:
    """The faults in force. Phone numbers are digits; None stands for everybody."""

    refusals: list[Refusal] = field(default_factory=list[Refusal])
    holds: set[tuple[str, str | None]] = field(default_factory=set[tuple[str, "str | None"]])
    frozen: set[str | None] = field(default_factory=set["str | None"])
    cut_after_pairing: bool = False
    """Cut the stream where stream:error 515 would follow linking: some clients then never connect again."""

    def refuse(self, code: int, *, times: int | None, phone: str | None, attrs: Mapping[str, str]) -> None:
        """Add a refusal; ValueError for a code WhatsApp does not use or a count below 1."""
        if code not in REFUSAL_CODES:
            raise ValueError(f"refusal code {code} is none of {sorted(REFUSAL_CODES)}")
        if times is not None and times < 1:
            raise ValueError(f"times {times} must be at least 1")
        self.refusals.append(Refusal(code, times, phone, attrs))

    def take_refusal(self, phone: str) -> Refusal | None:
        """Return the refusal that meets a log-in of ``phone``, and count it down."""
        for refusal in self.refusals:
            if refusal.phone in (None, phone):
                if refusal.times is not None:
                    refusal.times -= 1
                    if refusal.times == 0:
                        self.refusals.remove(refusal)
                return refusal
        return None

    def hold(self, tag: str, phone: str | None) -> None:
        """Hold back nodes of this tag; ValueError for one that cannot be held."""
        if tag not in HOLDABLE:
            raise ValueError(f"{tag!r} cannot be held, only {sorted(HOLDABLE)}")
        self.holds.add((tag, phone))

    def holds_back(self, tag: str, phone: str | None) -> bool:
        """Whether a node of this tag to this phone number's devices is to be held back."""
        return (tag, None) in self.holds or (tag, phone) in self.holds

    def is_frozen(self, phone: str | None) -> bool:
        """Whether connections of this phone number neither receive nor send."""
        return None in self.frozen or phone in self.frozen
