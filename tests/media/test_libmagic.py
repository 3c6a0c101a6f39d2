"""What libmagic gets to read, and how long it may take."""

from __future__ import annotations

import random
import threading
import time

import pytest
import trio
import trio.testing

from actors.media import libmagic
from actors.media.libmagic import AT_ONCE, LONGEST_RUN, Recognizer, shown_part
from tests.support.samples import HTML, PDF, png

SIZE = 256 * 1024
MOST_S = 0.25
"""Of processor time; the head that takes longest takes some 20 ms."""


def repeated(piece: bytes) -> bytes:
    return (piece * SIZE)[:SIZE]


def spaces(seed: int) -> bytes:
    chosen = random.Random(seed)
    return bytes(chosen.choice(b"\n \t\r\f\v") for _ in range(SIZE))


@pytest.mark.parametrize(
    "head",
    [
        *map(
            repeated,
            (b"\n", b"\r\n", b" ", b"\t", b"\r", b"\n ", b"\f\n", b"\n\n\t", b"\n" * 255 + b"x", b" " * 255 + b"#"),
        ),
        spaces(1),
    ],
    ids=lambda head: repr(head[:4]),
)
async def test_no_white_space_takes_long(head: bytes) -> None:
    """256 KiB of nothing but line ends took a second of processor time, under one lock for all companies."""
    began = time.process_time()
    found = await Recognizer(timeout_s=60.0).type_of(head)
    took = time.process_time() - began

    assert found == "text/plain"
    assert took < MOST_S


@pytest.mark.parametrize(("data", "mimetype"), [(png(), "image/png"), (PDF, "application/pdf"), (HTML, "text/html")])
async def test_what_comes_before_white_space_counts(data: bytes, mimetype: str) -> None:
    """A file shows its type at its beginning."""
    assert await Recognizer().type_of(data + b"\n" * SIZE) == mimetype


def test_only_a_long_run_of_white_space_ends_what_is_shown() -> None:
    """Up to its end, and everything where there is none."""
    run, short = b" \n" * (LONGEST_RUN // 2), b" " * (LONGEST_RUN - 1)

    assert shown_part(b"a" + run + run + b"b") == b"a" + run
    assert shown_part(b"a" + short + b"b" + short) == b"a" + short + b"b" + short


async def test_a_look_that_takes_long_keeps_neither_its_caller_nor_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up after its time; meanwhile others are served, `AT_ONCE` of them at the same time."""
    stuck = threading.Event()

    def look(head: bytes) -> str:
        if head == b"stuck":
            stuck.wait(30.0)
        return "text/plain"

    monkeypatch.setattr(libmagic, "_type_of", look)
    recognizer = Recognizer(timeout_s=0.2)
    given_up: list[str | None] = []

    async def be_stuck() -> None:
        given_up.append(await recognizer.type_of(b"stuck"))

    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE - 1):
            nursery.start_soon(be_stuck)
        await trio.testing.wait_all_tasks_blocked()
        beside = await recognizer.type_of(b"other")
    stuck.set()

    assert (beside, given_up) == ("text/plain", [None] * (AT_ONCE - 1))
