"""QR codes as pictures, checked by reading them back from their pixels."""

from __future__ import annotations

import base64
import struct
import zlib

import pytest
import segno

from actors.http.routes import qr

TEXT = "2@" + "A1b2" * 57


def _pixels(png: bytes) -> list[list[int]]:
    """A small PNG reader for the kind that segno writes: one bit a pixel, rows as they are or as difference to the one above."""
    width, height, depth = struct.unpack(">IIB", png[16:25])
    assert depth == 1
    data, at = b"", 8
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + size]
        at += size + 12
    raw, stride = zlib.decompress(data), (width + 7) // 8
    rows = [bytes(stride)]
    for y in range(height):
        start = y * (stride + 1)
        line = raw[start + 1 : start + 1 + stride]
        assert raw[start] in {0, 2}
        rows.append(line if raw[start] == 0 else bytes((a + b) & 255 for a, b in zip(line, rows[-1], strict=True)))
    return [[row[x // 8] >> (7 - x % 8) & 1 for x in range(width)] for row in rows[1:]]


def test_the_png_shows_the_modules_of_the_text() -> None:
    """The picture, sampled at the middle of each module, is the code's matrix within a quiet zone of four."""
    pixels = _pixels(qr.png(TEXT))
    matrix = segno.make_qr(TEXT, error="l").matrix
    black = pixels[4 * 6 + 3][4 * 6 + 3]

    shown = [
        [pixels[(4 + y) * 6 + 3][(4 + x) * 6 + 3] == black for x in range(len(matrix))] for y in range(len(matrix))
    ]

    assert shown == [[bool(module) for module in row] for row in matrix]


def test_the_data_url_holds_the_png() -> None:
    """An img element can use it as it is."""
    prefix, _, encoded = qr.data_url(TEXT).partition(",")

    assert prefix == "data:image/png;base64"
    assert _pixels(base64.b64decode(encoded)) == _pixels(qr.png(TEXT))


def test_the_svg_is_one_document() -> None:
    """It has a root element of the right kind and refers to nothing outside."""
    svg = qr.svg(TEXT).decode()

    assert svg.count("<svg") == 1
    assert "href" not in svg


def test_the_terminal_form_is_as_wide_as_the_code() -> None:
    """One character a module, two modules a line, and the quiet zone of two."""
    lines = qr.terminal(TEXT).splitlines()
    size = len(segno.make_qr(TEXT, error="l").matrix) + 4

    assert {len(line) for line in lines} == {size}
    assert len(lines) == (size + 1) // 2


@pytest.mark.parametrize("text", ["", "A" * (qr.MAX_LENGTH + 1)])
def test_a_text_that_cannot_be_a_pairing_code_is_refused(text: str) -> None:
    """A faulty engine must not cost seconds of drawing."""
    with pytest.raises(ValueError, match="characters"):
        qr.png(text)
