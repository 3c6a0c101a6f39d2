"""Small files of real formats, made here: no binary lies in the repository."""

from __future__ import annotations

import struct
import zlib
from typing import Final


def png() -> bytes:
    """A PNG of one pixel."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")) + chunk(b"IEND", b"")
    )


def opus(samples: int = 48_000 * 3 + 312) -> bytes:
    """An Ogg file with Opus headers that ends at this sample; 312 samples at its beginning are not played."""
    head = b"OpusHead" + struct.pack("<BBHIHB", 1, 1, 312, 48_000, 0, 0)
    tags = b"OpusTags" + struct.pack("<I", 4) + b"test" + struct.pack("<I", 0)
    return b"".join(
        _page(number, granule, flags, packet)
        for number, (granule, flags, packet) in enumerate([(0, 2, head), (0, 0, tags), (samples, 4, b"\xfc\xff\xfe")])
    )


def ogg(codec: str) -> bytes:
    """The first page of an Ogg file of ``opus``, ``vorbis``, ``speex`` or ``flac``, by which it is recognised."""
    if codec == "opus":
        return opus()
    marks = {"vorbis": b"\x01vorbis", "speex": b"Speex   ", "flac": b"\x7fFLAC\x01\0"}
    return _page(0, 0, 2, marks[codec] + bytes(40))


def webp() -> bytes:
    """A lossless WebP of one pixel."""
    bits = b"\x2f\x00\x00\x00\x00\x07\xd0\xff\xfe\xf7\xbf\xff\x81\x88\xe8\x7f\x00\x00"
    return b"RIFF" + struct.pack("<I", 4 + 8 + len(bits)) + b"WEBPVP8L" + struct.pack("<I", len(bits)) + bits


def mp4() -> bytes:
    """The beginning of an MP4 file, by which it is recognised."""
    brand = b"ftypisom" + struct.pack(">I", 512) + b"isomiso2avc1mp41"
    return struct.pack(">I", 4 + len(brand)) + brand + struct.pack(">I", 8) + b"free" + struct.pack(">I", 8) + b"mdat"


PDF: Final = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer <<>>\n%%EOF\n"
HTML: Final = b"<!DOCTYPE html><html><script>alert(1)</script></html>"


def _page(number: int, granule: int, flags: int, packet: bytes) -> bytes:
    page = b"OggS" + struct.pack("<BBqIII", 0, flags, granule, 7, number, 0) + bytes([1, len(packet)]) + packet
    return page[:22] + struct.pack("<I", _checksum(page)) + page[26:]


def _checksum(page: bytes) -> int:
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
    return value
