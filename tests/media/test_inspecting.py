"""The attributes found in pictures and recordings, and the cost of hostile ones."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import trio
from PIL import Image

from actors.media.facts import Facts
from actors.media.inspecting import Inspector
from actors.media.inspector import MAX_THUMBNAIL_BYTES
from actors.media.libmagic import Recognizer
from actors.media.recognizing import codec_of, is_animated, natural_kind, recognize, settled_type, voice_type
from tests.support.recordings import FRAGMENTED, film, picture, recording, with_brand
from tests.support.samples import mp4, ogg, opus, png, webp

INPUTS = Path(__file__).parents[1] / "inputs"
BRANDS = (
    b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"iso9", b"mp41", b"mp42", b"avc1", b"dash", b"M4V ", b"M4VH", b"MSNV", b"f4v ", b"XAVC",
    b"cmfc", b"NDSC", b"mp71",
)  # fmt: skip


async def look(path: Path, data: bytes) -> tuple[str, Facts]:
    """A file's type and attributes."""
    await trio.Path(path).write_bytes(data)
    found = await recognize(path, Recognizer())
    facts = await Inspector().inspect(path, found)
    return settled_type(found, facts), facts


@pytest.mark.parametrize("brand", BRANDS)
async def test_a_film_is_a_film_under_each_brand(tmp_path: Path, brand: bytes) -> None:
    """And has its length, size and picture."""
    found, facts = await look(tmp_path / "a", with_brand(film(), brand))

    assert (found, natural_kind(found)) == ("video/mp4", "video")
    assert (facts.seconds, facts.width, facts.height, facts.has_video) == (2, 64, 48, True)
    assert Image.open(io.BytesIO(facts.thumbnail)).size == (64, 48)


@pytest.mark.parametrize(("codec", "name"), [("aac", "aac"), ("libopus", "opus")])
@pytest.mark.parametrize("brand", [b"isom", b"iso5", b"mp42", b"M4A "])
async def test_what_a_browser_records_is_no_film(tmp_path: Path, brand: bytes, codec: str, name: str) -> None:
    """The tracks decide and not the brand; a fragmented file states its length in its fragments."""
    data = with_brand(recording("mp4", codec, seconds=3, options=FRAGMENTED), brand)
    found, facts = await look(tmp_path / "a", data)

    assert (found, natural_kind(found), facts.audio, facts.seconds) == ("audio/mp4", "audio", name, 3)
    assert (voice_type(found, facts.audio) or "").startswith("audio/mp4")


@pytest.mark.parametrize(
    ("container", "codec", "mimetype"),
    [("mp3", "libmp3lame", "audio/mpeg"), ("adts", "aac", "audio/aac"), ("ogg", "libopus", "audio/ogg")],
)
async def test_a_recording_has_its_length(tmp_path: Path, container: str, codec: str, mimetype: str) -> None:
    """Of every accepted format."""
    found, facts = await look(tmp_path / "a", recording(container, codec))

    assert (found, natural_kind(found), facts.seconds) == (mimetype, "audio", 2)


@pytest.mark.parametrize("name", ["vorbis", "opus", "speex", "flac"])
async def test_only_opus_in_ogg_is_a_voice_note(tmp_path: Path, name: str) -> None:
    """Phones play no other codec of that container as one."""
    path = tmp_path / "a.ogg"
    found, facts = await look(path, ogg(name))

    assert (found, await codec_of(path, found, facts)) == ("audio/ogg", name)
    assert (voice_type(found, name) is not None) == (name == "opus")


async def test_a_large_cover_does_not_hide_an_mp3(tmp_path: Path) -> None:
    """Nor does it make a film of it."""
    found, facts = await look(tmp_path / "a", (INPUTS / "cover_300k.mp3").read_bytes())

    assert (found, natural_kind(found), facts.seconds, facts.has_video) == ("audio/mpeg", "audio", 2, False)


async def test_a_moving_sticker_is_marked(tmp_path: Path) -> None:
    """By its header; a still one is not."""
    assert await is_animated(INPUTS / "animated.webp", "image/webp")
    (tmp_path / "still").write_bytes(webp())
    assert not await is_animated(tmp_path / "still", "image/webp")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_a_picture_has_its_size_and_a_small_one_of_it(tmp_path: Path, kind: str) -> None:
    """The small one keeps the proportions."""
    _, facts = await look(tmp_path / "a", picture(400, 200, kind))
    small = Image.open(io.BytesIO(facts.thumbnail))

    assert (facts.width, facts.height) == (400, 200)
    assert (small.format, small.size) == ("JPEG", (100, 50))
    assert len(facts.thumbnail) <= MAX_THUMBNAIL_BYTES


async def test_a_phones_picture_is_turned_as_it_is_shown(tmp_path: Path) -> None:
    """Phones write its orientation beside the pixels."""
    _, facts = await look(tmp_path / "a", picture(400, 200, orientation=6))

    assert (facts.width, facts.height) == (200, 400)
    assert Image.open(io.BytesIO(facts.thumbnail)).size == (50, 100)


def _bomb() -> bytes:
    """A PNG of 60,000 by 60,000 pixels in a few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    "data",
    [
        _bomb(),
        png()[:40],
        film()[:200],
        film()[:-300],
        mp4(),
        opus()[:60],
        b"ID3\x03\0\0\0\0\0\x0a" + bytes(10) + b"\xff\xfb",
    ],
    ids=["bomb", "cut PNG", "cut film", "film without its index", "empty MP4", "cut Ogg", "cut MP3"],
)
async def test_a_broken_or_hostile_file_is_only_less_described(tmp_path: Path, data: bytes) -> None:
    """It is still sent."""
    _, facts = await look(tmp_path / "a", data)

    assert facts.thumbnail == b""


async def test_a_playlist_in_the_clothes_of_a_film_reads_no_other_file(tmp_path: Path) -> None:
    """The format is given, never guessed: among the formats that FFmpeg could guess are lists that name other files and hosts."""
    (tmp_path / "secret").write_bytes(film())
    path = tmp_path / "a"
    path.write_bytes(b"#EXTM3U\n#EXTINF:1,\n" + str(tmp_path / "secret").encode() + b"\n")

    assert await Inspector().inspect(path, "video/mp4") == Facts()


async def test_a_process_that_never_answers_is_ended(tmp_path: Path) -> None:
    """After its time; the caller gets a file with fewer attributes."""
    import os

    path = tmp_path / "pipe"
    os.mkfifo(path)

    assert await Inspector(timeout_s=1.0).inspect(path, "image/png") == Facts()


def test_the_process_has_little_memory(tmp_path: Path) -> None:
    """A process that asks for more than its limit gets none, and the machine is not affected."""
    code = "from actors.media.inspector import _limit; _limit(); bytearray(2 * 1024 ** 3)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, cwd=INPUTS.parents[1])

    assert b"MemoryError" in done.stderr
