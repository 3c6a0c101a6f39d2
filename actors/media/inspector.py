"""The process that inspects one file: ``python -I -m actors.media.inspector FORMAT PATH``, which prints `Facts` as JSON.

Files come from strangers, and decoders are written in C. So this is a process of its own, with limited memory and processor time, that may
not write files. Facts that it cannot find within these limits are left out.
"""

from __future__ import annotations

import io
import resource
import signal
import sys
import warnings
from contextlib import suppress
from typing import Any, Final

import msgspec

from actors.media.facts import Facts

MEMORY_BYTES: Final = 1024 * 1024 * 1024
"""The limit of address space; the libraries alone take 130 MB of it."""
CPU_S: Final = 5
WALL_S: Final = 10
MAX_PIXELS: Final = 50_000_000
THUMBNAIL_PIXELS: Final = 100
"""The length of the longer side."""
MAX_THUMBNAIL_BYTES: Final = 16 * 1024
IMAGE: Final = "image"
_MAX_SECONDS: Final = 24 * 3600


def main() -> int:
    """Print the facts to standard output and return 0."""
    _limit()
    kind, path = sys.argv[1:]
    facts = _image(path) if kind == IMAGE else _recording(path, kind)
    sys.stdout.buffer.write(msgspec.json.encode(facts))
    return 0


def _limit() -> None:
    """Limit time, memory and writing, so that the process ends even if the daemon that started it is killed."""
    signal.alarm(WALL_S)
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):  # where the host's limit is lower already
            resource.setrlimit(what, (most, most))


def _image(path: str) -> Facts:
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    with Image.open(path, formats=("JPEG", "PNG", "WEBP")) as image:
        width, height = image.size
        if image.getexif().get(0x0112, 1) >= 5:  # turned by a quarter
            width, height = height, width
        found = Facts(width=width, height=height)
        with suppress(OSError, ValueError, MemoryError):
            image.draft("RGB", (THUMBNAIL_PIXELS * 2, THUMBNAIL_PIXELS * 2))
            return msgspec.structs.replace(found, thumbnail=_jpeg(ImageOps.exif_transpose(image)))
    return found


def _recording(path: str, container_format: str) -> Facts:
    import av
    from av.error import FFmpegError

    options = {"protocol_whitelist": "file", "enable_drefs": "0"}
    with av.open(path, format=container_format, options=options, metadata_errors="ignore") as container:
        films: list[Any] = [one for one in container.streams.video if not _is_cover(one)]
        codec = container.streams.audio[0].codec_context.name if container.streams.audio else ""
        found = Facts(has_video=bool(films), audio=codec, seconds=_seconds(container))
        with suppress(FFmpegError, OSError, ValueError, MemoryError):
            return _with_picture(found, container, films[0]) if films else found
    return found


def _is_cover(stream: Any) -> bool:
    return "attached_pic" in str(stream.disposition)


def _seconds(container: Any) -> int:
    """Return the duration that the file names, else the end of its last packet: a browser's recorder writes no duration."""
    seconds = (container.duration or 0) / 1_000_000
    if not seconds:
        for packet in container.demux():
            if packet.pts is not None:
                seconds = max(seconds, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        container.seek(0)
    return max(1, round(seconds)) if 0 < seconds <= _MAX_SECONDS else 0


def _with_picture(found: Facts, container: Any, stream: Any) -> Facts:
    width, height = stream.codec_context.width, stream.codec_context.height
    found = msgspec.structs.replace(found, width=width, height=height)
    if not 0 < width * height <= MAX_PIXELS:
        return found
    stream.thread_type = "NONE"
    frame = next(container.decode(stream))
    picture, quarter = frame.to_image(), frame.rotation % 180 == 90
    if frame.rotation:
        picture = picture.rotate(frame.rotation, expand=True)
    width, height = (height, width) if quarter else (width, height)
    return msgspec.structs.replace(found, width=width, height=height, thumbnail=_jpeg(picture))


def _jpeg(picture: Any) -> bytes:
    picture.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=60)
    data = buffer.getvalue()
    return data if len(data) <= MAX_THUMBNAIL_BYTES else b""


if __name__ == "__main__":
    sys.exit(main())
