"""Frames of a WhatsApp stream: an introduction, then 3-byte lengths and payloads, wherever WebSocket messages cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

MAX_FRAME: Final = 1 << 24
_ROUTING_INTRO: Final = b"ED\0\1"
_MAGIC: Final = b"WA"


class BadStreamError(ValueError):
    """A stream that does not begin as WhatsApp's do."""


class FrameReader:
    """Collects bytes and yields whole frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.header: bytes | None = None
        """The four bytes ``WA``, 6, dictionary version, once they were read."""
        self.routing_info = b""
        """The routing data from an earlier stream, by which the client is led back to the same place; empty when it sent none."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes, yield the frames that are complete; BadStreamError when the introduction is not WhatsApp's."""
        self._buffer += data
        if self.header is None and not self._read_header():
            return
        buffer = self._buffer
        while len(buffer) >= 3:
            end = 3 + int.from_bytes(buffer[:3], "big")
            if len(buffer) < end:
                return
            frame = bytes(buffer[3:end])
            del buffer[:end]
            yield frame

    @property
    def dictionary_version(self) -> int:
        """The version of the dictionary the client named; only after `header`."""
        if self.header is None:
            raise BadStreamError("the introduction has not arrived yet")
        return self.header[3]

    def _read_header(self) -> bool:
        buffer = self._buffer
        if bytes(buffer[:4]) == _ROUTING_INTRO:
            if len(buffer) < 7 or len(buffer) < 7 + int.from_bytes(buffer[4:7], "big"):
                return False
            end = 7 + int.from_bytes(buffer[4:7], "big")
            self.routing_info = bytes(buffer[7:end])
            del buffer[:end]
        elif _ROUTING_INTRO.startswith(bytes(buffer[:4])):
            return False
        if len(buffer) < 4:
            return False
        if bytes(buffer[:2]) != _MAGIC:
            raise BadStreamError(f"stream begins with {bytes(buffer[:4])!r}")
        self.header = bytes(buffer[:4])
        del buffer[:4]
        return True


def frame(payload: bytes) -> bytes:
    """One frame. Clients expect each in a WebSocket message of its own."""
    if len(payload) >= MAX_FRAME:
        raise ValueError(f"frame of {len(payload)} bytes, {MAX_FRAME - 1} is the most")
    return len(payload).to_bytes(3, "big") + payload
