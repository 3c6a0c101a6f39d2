"""The base of everything that goes between the daemon and an engine process."""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, tag_field="t", forbid_unknown_fields=True):
    """Base of everything on the wire; the tag is the class name."""
