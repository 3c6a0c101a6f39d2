"""Frames come out whole, however the bytes arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.loopback.frames import MAX_FRAME, BadStreamError, FrameReader, frame

HEADER = b"WA\6\3"
ROUTING = b"ED\0\1" + (5).to_bytes(3, "big") + b"route"


@given(st.lists(st.binary(max_size=60), max_size=6), st.sampled_from([b"", ROUTING]), st.lists(st.integers(1, 9)))
def test_frames_survive_any_cut(payloads: list[bytes], routing: bytes, cuts: list[int]) -> None:
    """Introduction and frames may share WebSocket messages or span them."""
    stream = routing + HEADER + b"".join(map(frame, payloads))
    reader = FrameReader()
    received: list[bytes] = []

    for size in [*cuts, len(stream)]:
        received.extend(reader.feed(stream[:size]))
        stream = stream[size:]

    assert received == payloads
    assert reader.header == HEADER
    assert reader.routing_info == (b"route" if routing else b"")
    assert reader.dictionary_version == 3


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\n", b"XX\6\3", b"EDGE"])
def test_another_protocol_is_refused(start: bytes) -> None:
    """A stream that does not begin as WhatsApp's do ends at once."""
    with pytest.raises(BadStreamError):
        list(FrameReader().feed(start))


def test_a_frame_that_does_not_fit_is_refused() -> None:
    """The length has three bytes."""
    with pytest.raises(ValueError, match=str(MAX_FRAME - 1)):
        frame(bytes(MAX_FRAME))
