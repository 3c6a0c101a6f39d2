"""Frames that are no message between daemon and engine."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from actors.engine.protocol.messages import decode_from_engine, decode_to_engine

DEEP = b"\x91" * 100_000


@pytest.mark.parametrize("decode", [decode_from_engine, decode_to_engine])
@pytest.mark.parametrize("frame", [b"", b"\xc1", DEEP, b"\x82\xa4type\xa9Committed\xa5other" + DEEP])
def test_a_frame_that_is_no_message_is_one_error(decode: Callable[[bytes], object], frame: bytes) -> None:
    """Also one that nests a hundred thousand deep where no field is read."""
    with pytest.raises(msgspec.DecodeError):
        decode(frame)
