"""What a file is, by its content; and which kinds of message it can be sent as."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import trio

from actors.engine.contents import MediaKind
from actors.media.ogg import opus_seconds

_HEAD_BYTES: Final = 256 * 1024
_UNKNOWN: Final = "application/octet-stream"
_SAME: Final = {
    "audio/x-m4a": "audio/mp4",
    "audio/x-hx-aac-adts": "audio/aac",
    "audio/x-aac": "audio/aac",
    "application/ogg": "audio/ogg",
    "image/jpg": "image/jpeg",
}
_TAKEN: Final[dict[str, frozenset[str]]] = {
    "image": frozenset({"image/jpeg", "image/png", "image/webp"}),
    "video": frozenset({"video/mp4", "video/3gpp"}),
    "audio": frozenset({"audio/ogg", "audio/mpeg", "audio/mp4", "audio/aac", "audio/amr"}),
    "sticker": frozenset({"image/webp"}),
}
VOICE_TYPE: Final = "audio/ogg"
VOICE_AS_SENT: Final = "audio/ogg; codecs=opus"


async def recognize(path: Path) -> str:
    """The file's type, like ``image/png``; ``application/octet-stream`` for what nobody knows."""
    return await trio.to_thread.run_sync(_recognize, path)


async def seconds_of(path: Path, mimetype: str) -> int:
    """How long a voice recording (Opus in Ogg) lasts, rounded up; 0 for every other type."""
    return await trio.to_thread.run_sync(opus_seconds, path) if mimetype == VOICE_TYPE else 0


def natural_kind(mimetype: str) -> MediaKind:
    """What a file is sent as when nobody says."""
    for kind in ("image", "video", "audio"):
        if mimetype in _TAKEN[kind]:
            return kind
    return "document"


def is_taken(kind: MediaKind, mimetype: str) -> bool:
    """Whether WhatsApp's clients show a file of this type as this kind; documents are of any type."""
    return kind == "document" or mimetype in _TAKEN[kind]


def types_taken(kind: MediaKind) -> str:
    """The types that a kind takes, for people."""
    return ", ".join(sorted(_TAKEN[kind])) if kind in _TAKEN else "any"


def _recognize(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    found = str(_magic().from_buffer(head)).lower() if head else _UNKNOWN
    return _SAME.get(found, found if "/" in found and len(found) <= 128 else _UNKNOWN)


@cache
def _magic() -> Any:
    import_module("pylibmagic")  # makes the library findable for the next one
    return import_module("magic").Magic(mime=True)
