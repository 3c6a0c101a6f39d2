"""Recordings, films and pictures of real formats, encoded here."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any, Final, cast

import av
from PIL import Image

FRAGMENTED: Final = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
"""As a browser's recorder writes MP4: no duration is in its head."""


def recording(container: str, codec: str, *, seconds: int = 2, options: dict[str, str] | None = None) -> bytes:
    """Silence of some seconds."""
    buffer = io.BytesIO()
    rate = 48_000
    with av.open(buffer, "w", format=container, container_options=options or {}) as output:
        stream: Any = output.add_stream(codec, rate=rate, layout="mono")
        samples = 960
        for number in range(seconds * rate // samples):
            frame = av.AudioFrame(format="s16", layout="mono", samples=samples)
            frame.planes[0].update(bytes(samples * 2))
            frame.sample_rate, frame.pts, frame.time_base = rate, number * samples, Fraction(1, rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def film(*, seconds: int = 2, width: int = 64, height: int = 48, codec: str = "mpeg4", container: str = "mp4") -> bytes:
    """Some seconds of one colour."""
    buffer, frames = io.BytesIO(), cast("Any", av.VideoFrame)  # not all of the library is typed
    with av.open(buffer, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=5)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(seconds * 5):
            output.mux(stream.encode(frames.from_image(Image.new("RGB", (width, height), "red"))))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def picture(width: int, height: int, kind: str = "JPEG", *, orientation: int = 1) -> bytes:
    """One colour."""
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (width, height), "red").save(buffer, kind, exif=exif)
    return buffer.getvalue()


def with_brand(mp4: bytes, brand: bytes) -> bytes:
    """The same file under another main brand."""
    return mp4[:8] + brand + mp4[12:]
