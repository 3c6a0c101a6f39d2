"""What is on offer for linking: a QR code or a pairing code, each with its end."""

from __future__ import annotations

from dataclasses import dataclass

PAIRING_CODE_S = 160.0
"""A pairing code dies with the connection it was made on, which WhatsApp ends after this time."""


@dataclass(frozen=True, slots=True)
class Code:
    """A code and when (trio time) it stops being valid."""

    text: str
    expires_at: float
