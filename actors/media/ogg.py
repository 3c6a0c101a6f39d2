"""The codec of an Ogg file, and the duration of an Opus recording in it (RFC 3533, RFC 7845)."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Final

_RATE: Final = 48_000
"""Opus counts samples at this rate, whatever the rate of the recording."""
_TAIL_BYTES: Final = 128 * 1024
"""A page has 65,307 bytes at most, so the last one begins within these bytes."""
_HEAD_BYTES: Final = 128
_MARKS: Final = {"opus": b"OpusHead", "vorbis": b"\x01vorbis", "speex": b"Speex   ", "flac": b"\x7fFLAC"}
_MAX_S: Final = 24 * 3600


def ogg_codec(path: Path) -> str:
    """Return ``opus``, ``vorbis``, ``speex`` or ``flac``; empty for another or none."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if len(head) < 28 or not head.startswith(b"OggS"):
        return ""
    first = head[27 + head[26] :]  # after the page's table of segments
    return next((codec for codec, mark in _MARKS.items() if first.startswith(mark)), "")


def opus_seconds(path: Path) -> int:
    """Return whole seconds, rounded up; 0 when this is no such file, or it has no duration."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL_BYTES))
        tail = file.read()
    opus = head.find(b"OpusHead")
    last = tail.rfind(b"OggS")
    if opus < 0 or len(head) < opus + 12 or last < 0 or len(tail) < last + 14:
        return 0
    (skipped,) = struct.unpack_from("<H", head, opus + 10)
    (samples,) = struct.unpack_from("<q", tail, last + 6)
    seconds = math.ceil((samples - skipped) / _RATE)
    return seconds if 0 < seconds <= _MAX_S else 0
