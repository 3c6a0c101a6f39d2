"""Environment variables that several kinds of runs set for their daemons."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

SHORT_WAITS: Final = MappingProxyType(
    {
        "WASUP_COMPANY_RECONNECT_MIN_S": "0.2",
        "WASUP_COMPANY_RECONNECT_MAX_S": "2",
        "WASUP_COMPANY_CIRCUIT_MIN_S": "2",
        "WASUP_COMPANY_CIRCUIT_MAX_S": "4",
        "WASUP_COMPANY_CONFLICT_MIN_S": "1",
        "WASUP_COMPANY_CONFLICT_MAX_S": "2",
        "WASUP_COMPANY_PING_TIMEOUT_S": "5",
        "WASUP_COMPANY_MAX_RESTARTS": "1000",
        "HEALTH_CHECK_INTERVAL": "2000",
    }
)
"""The shapes are those of the defaults, the waits are shorter, so that a run of faults spends its time on faults."""
