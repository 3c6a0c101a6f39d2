"""Inspects image, video and audio files, each in a short-lived process (actors/media/inspector.py)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final, final

import msgspec
import trio

from actors.media.facts import Facts
from actors.media.inspector import IMAGE, MAX_THUMBNAIL_BYTES, WALL_S
from config.json_text import read_json

AT_ONCE: Final = 2
_MAX_ANSWER_BYTES: Final = 2 * MAX_THUMBNAIL_BYTES + 1024
_FORMATS: Final = {
    "image/jpeg": IMAGE,
    "image/png": IMAGE,
    "image/webp": IMAGE,
    "video/mp4": "mov",
    "video/3gpp": "mov",
    "video/quicktime": "mov",
    "video/x-m4v": "mov",
    "audio/mp4": "mov",
    "audio/ogg": "ogg",
    "audio/mpeg": "mp3",
    "audio/aac": "aac",
    "audio/amr": "amr",
}
"""The format that decodes each type. FFmpeg must not guess it from the file: it also reads playlists, which name other files."""


@final
class Inspector:
    """Runs at most `AT_ONCE` inspecting processes; further files wait."""

    def __init__(self, *, timeout_s: float = WALL_S + 2.0) -> None:
        self._limiter = trio.CapacityLimiter(AT_ONCE)
        self._timeout_s = timeout_s

    async def inspect(self, path: Path, mimetype: str) -> Facts:
        """Return what is in the file. Return empty facts for other types, and for files that cannot be read within the limits."""
        container = _FORMATS.get(mimetype)
        if container is None:
            return Facts()
        async with self._limiter:
            with trio.move_on_after(self._timeout_s):
                return await _run(container, path)
        return Facts()


async def _run(container: str, path: Path) -> Facts:
    process = await trio.lowlevel.open_process(
        [sys.executable, "-I", "-m", "actors.media.inspector", container, str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={},
    )
    try:
        answer = await _read(process)
        return read_json(answer, Facts) if await process.wait() == 0 else Facts()
    except msgspec.DecodeError:
        return Facts()
    finally:
        if process.returncode is None:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


async def _read(process: trio.Process) -> bytes:
    assert process.stdout is not None
    answer = bytearray()
    async with process.stdout as stdout:
        while len(answer) <= _MAX_ANSWER_BYTES and (piece := await stdout.receive_some()):
            answer += piece
    return bytes(answer) if len(answer) <= _MAX_ANSWER_BYTES else b""
