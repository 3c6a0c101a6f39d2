"""Offers for linking: a QR code or a pairing code, each with its expiry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PAIRING_CODE_S = 160.0
"""A pairing code is valid until its connection ends, which WhatsApp ends after this time."""


@dataclass(frozen=True, slots=True)
class Code:
    """A code and when (trio time) it expires."""

    text: str
    expires_at: float


@dataclass(slots=True)
class PasskeyWalk:
    """How far linking with a passkey is."""

    options: bytes
    """JSON, WhatsApp's request."""
    expires_at: float
    """On trio's clock."""
    step: Literal["response", "phone", "confirm", "finishing"] = "response"
    code: str | None = None
    error: str | None = None
