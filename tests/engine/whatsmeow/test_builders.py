"""The fields with which a message describes its file."""

from __future__ import annotations

from typing import Any

import pytest

from actors.engine.protocol import contents as c
from actors.engine.protocol.messages import SendContent
from actors.engine.whatsmeow.builders import build_message
from actors.engine.whatsmeow.library import Library


def built(library: Library, kind: c.MediaKind) -> Any:
    """The part of the message that describes a file of this kind, with every attribute known."""
    key = bytes(32)
    file = c.StoredFile(
        kind=kind, direct_path="/v/a", media_key=key, file_sha256=key, file_enc_sha256=key, size=3, seconds=7, width=40, height=20,
        thumbnail=b"small", animated=True,
    )  # fmt: skip
    request = SendContent(call=1, to="2@lid", content=c.Media(file=file))
    return getattr(build_message(library.messages, request), f"{kind}Message")


@pytest.mark.parametrize("kind", ["image", "video"])
def test_a_picture_or_film_has_its_size_and_a_small_picture(library: Library, kind: c.MediaKind) -> None:
    """As phones show it before they have fetched it."""
    part = built(library, kind)

    assert (part.width, part.height, part.JPEGThumbnail) == (40, 20, b"small")


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_a_recording_or_film_has_its_length(library: Library, kind: c.MediaKind) -> None:
    """In seconds."""
    assert built(library, kind).seconds == 7


def test_a_moving_sticker_is_marked(library: Library) -> None:
    """With its size, and without a small picture, which stickers have in another form."""
    part = built(library, "sticker")

    assert (part.isAnimated, part.width, part.height) == (True, 40, 20)
