"""The base of all sections of the settings."""

from __future__ import annotations

import msgspec

KIB = 1024
MIB = 1024 * KIB
DAY_S = 86_400.0


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the sections."""
