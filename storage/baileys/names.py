"""File names of Baileys' ``useMultiFileAuthState``: ``creds.json`` and ``<type>-<id>.json``.

Baileys writes ``/`` as ``__`` and ``:`` as ``-``, which cannot be reversed in general: type names contain each other
and ids may contain dashes. So a name is matched against the types, the longest first, and then against the form of that
type's ids.
"""

from __future__ import annotations

import re
from typing import Final

CREDS_FILE: Final = "creds.json"

KEY_TYPES: Final = tuple(
    sorted(
        (
            "pre-key", "session", "sender-key", "sender-key-memory", "app-state-sync-key", "app-state-sync-version", "lid-mapping",
            "device-list", "tctoken", "identity-key",
        ),
        key=len,
        reverse=True,
    )
)  # fmt: skip
"""Every type of Baileys 6 and 7, longest first."""

DOMAINS: Final = frozenset({"1", "128", "129"})
"""Suffixes of the user in a Signal address: LID, hosted, hosted LID. Without one it is a phone number."""

_SUFFIX: Final = ".json"
_SENDER_KEY: Final = re.compile(r"(?P<group>.+@(?:g\.us|broadcast))--(?P<user>[0-9]+(?:_[0-9]+)?)--(?P<device>[0-9]+)")
_ADDRESS: Final = re.compile(r"[0-9]+(?:_[0-9]+)?\.[0-9]+")
_FORMS: Final = {
    "pre-key": re.compile(r"[0-9]+"),
    "session": _ADDRESS,
    "identity-key": _ADDRESS,
    "sender-key": _SENDER_KEY,
    "app-state-sync-key": re.compile(r"[A-Za-z0-9+_]+={0,2}"),
    "lid-mapping": re.compile(r"[0-9]+(?:_reverse)?"),
}
"""Ids of another form cannot come from Baileys."""


def parse_name(name: str) -> tuple[str, str] | None:
    """Return type and id of a key's file; None for any other name (``creds.json`` among them)."""
    if not name.endswith(_SUFFIX):
        return None
    stem = name.removesuffix(_SUFFIX)
    for key_type in KEY_TYPES:
        if stem.startswith(f"{key_type}-"):
            key_id = _restore(key_type, stem.removeprefix(f"{key_type}-"))
            return (key_type, key_id) if key_id else None
    return None


def file_name(key_type: str, key_id: str) -> str:
    """Return the name of the file that Baileys keeps this key in."""
    return f"{key_type}-{key_id}{_SUFFIX}".replace("/", "__").replace(":", "-")


def sender_key_id(group: str, user: str, device: str) -> str:
    """Return Baileys' id of a sender key."""
    return f"{group}::{user}::{device}"


def _restore(key_type: str, text: str) -> str | None:
    """Return the id that Baileys made this part of a file name from; None when it cannot be one."""
    form = _FORMS.get(key_type)
    match = form.fullmatch(text) if form is not None else None
    if form is not None and match is None:
        return None
    if key_type == "app-state-sync-key":
        return text.replace("__", "/")
    if key_type == "sender-key" and match is not None:
        return sender_key_id(match["group"], match["user"], match["device"])
    return text
