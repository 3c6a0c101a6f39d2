"""Renders a QR code's text as picture, data URL and terminal blocks."""

from __future__ import annotations

import io

import segno

MAX_LENGTH = 1024
"""Characters; WhatsApp's are about 240. A longer text is a fault of the engine and raises ValueError."""

_SCALE = 6
_QUIET_ZONE = 4
_TERMINAL_QUIET_ZONE = 2


def png(text: str) -> bytes:
    """Return a black-and-white PNG with the quiet zone that scanners need."""
    return _save(text, "png")


def svg(text: str) -> bytes:
    """Return a self-contained SVG document with a white background."""
    return _save(text, "svg")


def data_url(text: str) -> str:
    """Return the PNG as ``data:image/png;base64,…``, ready for an ``img`` element."""
    return _code(text).png_data_uri(scale=_SCALE, border=_QUIET_ZONE)


def terminal(text: str) -> str:
    """Return lines of half-block characters, for a dark or light terminal."""
    out = io.StringIO()
    _code(text).terminal(out=out, compact=True, border=_TERMINAL_QUIET_ZONE)
    return out.getvalue()


def _save(text: str, kind: str) -> bytes:
    out = io.BytesIO()
    _code(text).save(out, kind=kind, scale=_SCALE, border=_QUIET_ZONE, light="white")
    return out.getvalue()


def _code(text: str) -> segno.QRCode:
    if not text or len(text) > MAX_LENGTH:
        raise ValueError(f"a QR code of {len(text)} characters; 1 to {MAX_LENGTH} were expected")
    return segno.make_qr(text, error="l")
