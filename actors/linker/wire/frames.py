"""Frames of a WhatsApp stream: a header once, then 3-byte lengths and payloads, wherever WebSocket messages cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from actors.linker.wire.tokens import dictionary

MAX_FRAME_BYTES: Final = 1 << 20
"""The protocol allows 16 MB; frames while a device is linked have a few KB."""


class BadFrame(ValueError):
    """A frame that is longer than any frame while a device is linked."""


def header() -> bytes:
    """Return what a client sends first, which is also the handshake's prologue."""
    return b"WA\x06" + bytes((dictionary().version,))


def frame(payload: bytes) -> bytes:
    """Return the payload as one frame."""
    return len(payload).to_bytes(3, "big") + payload


class FrameReader:
    """Collects bytes and yields whole frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes, yield the frames that are complete; `BadFrame` for one that is too long."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= 3:
            size = int.from_bytes(buffer[:3], "big")
            if size > MAX_FRAME_BYTES:
                raise BadFrame(f"a frame of {size} bytes, {MAX_FRAME_BYTES} is the most")
            if len(buffer) < 3 + size:
                return
            taken = bytes(buffer[3 : 3 + size])
            del buffer[: 3 + size]
            yield taken
