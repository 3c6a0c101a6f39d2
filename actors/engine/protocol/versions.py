"""Which version of WhatsApp Web the library announces by itself (tests/engine/whatsmeow/test_announced_version.py compares)."""

from __future__ import annotations

from typing import Final

LIBRARY_ANNOUNCES: Final = "2.3000.1047769893"
"""The version that neonize 0.5.2 announces."""
LIBRARY_ANNOUNCES_SINCE: Final = 1789603200.0
"""Unix seconds of 2026-09-17, when that version was made."""
