"""How the engine process ends: its exit statuses, and how long an orderly end may take."""

from __future__ import annotations

from typing import Final

ORDERLY: Final = 0
CANNOT_START: Final = 3
CONTROL_LOST: Final = 4
NEVER_CONTROLLED: Final = 5

SHUTDOWN_S: Final = 3.0
"""The most an orderly end may take in all; then the process ends anyway. Unshipped changes stay in the device files."""
