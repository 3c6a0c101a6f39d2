"""Finds the type of a file by its content, and the kinds of message it can be sent as."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Final

import trio

from actors.engine.protocol.contents import MediaKind
from actors.media.facts import Facts
from actors.media.libmagic import Recognizer
from actors.media.ogg import ogg_codec, opus_seconds

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
_VOICE: Final = {
    ("audio/ogg", "opus"): "audio/ogg; codecs=opus",
    ("audio/mp4", "aac"): "audio/mp4",
    ("audio/mp4", "opus"): "audio/mp4; codecs=opus",
}
"""The types and codecs that a voice note may have, each with the type it is sent as."""
_PICTURE_BRANDS: Final = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis", b"jp2 ", b"jpx ", b"crx ")


async def recognize(path: Path, recognizer: Recognizer) -> str:
    """Return the file's type, like ``image/png``; ``application/octet-stream`` for one that is not recognised, or not in time."""
    head, own = await trio.to_thread.run_sync(_look, path)
    if own is not None or not head:
        return own or _UNKNOWN
    found = await recognizer.type_of(head) or _UNKNOWN
    return _SAME.get(found, found if "/" in found and len(found) <= 128 else _UNKNOWN)


async def seconds_of(path: Path, mimetype: str) -> int:
    """Return how many seconds a voice recording (Opus in Ogg) lasts, rounded up; 0 for every other type."""
    return await trio.to_thread.run_sync(opus_seconds, path) if mimetype == VOICE_TYPE else 0


def settled_type(mimetype: str, facts: Facts) -> str:
    """Return the type of a file whose tracks are known: an MP4 container without video is a recording, whatever its brand says."""
    if mimetype in {"video/mp4", "video/3gpp", "audio/mp4"}:
        if facts.has_video:
            return mimetype if mimetype.startswith("video/") else "video/mp4"
        return "audio/mp4" if facts.audio else mimetype
    return mimetype


def voice_type(mimetype: str, codec: str) -> str | None:
    """Return the type that a voice note of this type and codec is sent as; None when phones do not play it as one."""
    return _VOICE.get((mimetype, codec))


async def codec_of(path: Path, mimetype: str, facts: Facts) -> str:
    """Return the codec of a file's sound, in FFmpeg's words; empty when it is not known."""
    return await trio.to_thread.run_sync(ogg_codec, path) if mimetype == VOICE_TYPE else facts.audio


async def is_animated(path: Path, mimetype: str) -> bool:
    """Return whether a WebP is animated, by its header."""
    if mimetype != "image/webp":
        return False
    async with await trio.open_file(path, "rb") as file:
        head = await file.read(21)
    return head[12:16] == b"VP8X" and bool(head[20] & 0x02)


def natural_kind(mimetype: str) -> MediaKind:
    """Return the kind that a file is sent as by default."""
    for kind in ("image", "video", "audio"):
        if mimetype in _TAKEN[kind]:
            return kind
    return "document"


def is_taken(kind: MediaKind, mimetype: str) -> bool:
    """Return whether WhatsApp's clients show a file of this type as this kind. A document may have any type."""
    return kind == "document" or mimetype in _TAKEN[kind]


def types_taken(kind: MediaKind) -> str:
    """Return the types that a kind takes, as text for people."""
    return ", ".join(sorted(_TAKEN[kind])) if kind in _TAKEN else "any"


def _look(path: Path) -> tuple[bytes, str | None]:
    """Return the head of the file, and its type where it is not left to libmagic."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        return head, _container(head, file)


def _container(head: bytes, file: BinaryIO) -> str | None:
    """Return the type where libmagic is wrong: MP4 of brands that it does not know, and MP3 after a cover larger than the head."""
    if head[4:8] == b"ftyp" and head[8:12] not in _PICTURE_BRANDS:
        brand = head[8:12].lower()
        if brand.startswith(b"qt"):
            return "video/quicktime"
        if brand.startswith((b"m4a", b"m4b", b"m4p")):
            return "audio/mp4"
        return "video/3gpp" if brand.startswith((b"3g", b"mmp4")) else "video/mp4"
    if head.startswith(b"ID3") and len(head) >= 10:
        high, middle, low, lowest = head[6:10]
        file.seek(10 + (high << 21 | middle << 14 | low << 7 | lowest))
        sync = file.read(2)
        # The layer distinguishes MPEG audio (1 to 3) from AAC (0).
        return (
            "audio/mpeg" if len(sync) == 2 and sync[0] == 0xFF and sync[1] & 0xE0 == 0xE0 and sync[1] & 0x06 else None
        )
    return None
