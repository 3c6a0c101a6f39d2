"""What is found in a file of pictures or sound."""

from __future__ import annotations

import msgspec


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a message says of its file beside the type. Zero and empty: not found out."""

    seconds: int = 0
    """At least 1 where it lasts at all."""
    width: int = 0
    height: int = 0
    thumbnail: bytes = b""
    """A small JPEG, as it is shown before the file is fetched."""
    has_video: bool = False
    """A track of moving pictures; a cover is none."""
    audio: str = ""
    """The codec of the first sound track, in FFmpeg's words."""
