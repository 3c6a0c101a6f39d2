"""A file's type, by its content."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.engine.protocol.contents import MediaKind
from actors.media.libmagic import Recognizer
from actors.media.ogg import opus_seconds
from actors.media.recognizing import is_taken, natural_kind, recognize, seconds_of, types_taken
from tests.support.samples import HTML, PDF, mp4, opus, png, webp


@pytest.mark.parametrize(
    ("data", "mimetype", "kind"),
    [
        (png(), "image/png", "image"),
        (webp(), "image/webp", "image"),
        (mp4(), "video/mp4", "video"),
        (opus(), "audio/ogg", "audio"),
        (b"ID3\x03\0\0\0\0\0\x0a" + bytes(10) + b"\xff\xfb\x90\0" + bytes(413), "audio/mpeg", "audio"),
        (PDF, "application/pdf", "document"),
        (HTML, "text/html", "document"),
        (b"\0\x01\x02\x03" * 8, "application/octet-stream", "document"),
        (b"", "application/octet-stream", "document"),
    ],
)
async def test_a_file_is_what_it_holds(tmp_path: Path, data: bytes, mimetype: str, kind: MediaKind) -> None:
    """Not by its name."""
    path = tmp_path / "image.jpg"
    path.write_bytes(data)

    found = await recognize(path, Recognizer())

    assert (found, natural_kind(found)) == (mimetype, kind)
    assert is_taken(kind, found)


def test_each_kind_takes_what_phones_show() -> None:
    """A document may be anything; a sticker is WebP."""
    assert is_taken("document", "text/html")
    assert is_taken("sticker", "image/webp")
    assert not is_taken("sticker", "image/png")
    assert not is_taken("image", "image/svg+xml")
    assert not is_taken("video", "audio/ogg")
    assert (types_taken("sticker"), types_taken("document")) == ("image/webp", "any")


@pytest.mark.parametrize(("samples", "seconds"), [(48_000 * 3 + 312, 3), (48_000 * 3 + 313, 4), (312, 0), (-1, 0)])
def test_the_last_page_of_a_recording_says_how_long_it_is(tmp_path: Path, samples: int, seconds: int) -> None:
    """Rounded up, without the part that is not played."""
    path = tmp_path / "voice.ogg"
    path.write_bytes(opus(samples))

    assert opus_seconds(path) == seconds


@pytest.mark.parametrize("data", [b"", b"OggS", b"OpusHead", png(), opus()[:40], opus()[:60]])
def test_what_is_no_recording_has_no_length(tmp_path: Path, data: bytes) -> None:
    """Cut files and files of other formats."""
    path = tmp_path / "voice.ogg"
    path.write_bytes(data)

    assert opus_seconds(path) == 0


async def test_only_recordings_are_measured(tmp_path: Path) -> None:
    """Other types are not even opened."""
    assert await seconds_of(tmp_path / "missing", "audio/mpeg") == 0
