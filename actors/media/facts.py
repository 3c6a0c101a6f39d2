"""What inspection finds in an image, video or audio file."""

from __future__ import annotations

import msgspec


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a message says of its file beside the type. Zero and empty mean unknown."""

    seconds: int = 0
    """At least 1 for a file with a duration."""
    width: int = 0
    height: int = 0
    thumbnail: bytes = b""
    """A small JPEG, shown before the file is fetched."""
    has_video: bool = False
    """Whether there is a video track; a cover picture is none."""
    audio: str = ""
    """The codec of the first sound track, in FFmpeg's words."""
