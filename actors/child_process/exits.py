"""How the engine process ends: its exit statuses, and how long an end in order may take."""

from __future__ import annotations

from typing import Final

ORDERLY: Final = 0
CANNOT_START: Final = 3
CONTROL_LOST: Final = 4
NEVER_CONTROLLED: Final = 5

SHUTDOWN_S: Final = 3.0
"""Everything an end in order may take; then the process ends anyhow. What was not shipped lies in the device files."""
