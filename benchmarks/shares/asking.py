"""Has one company's key ask for something until it is refused, hold what it got, and keep asking."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import trio

from tests.support.daemon import Daemon

REFUSED: Final = frozenset({409, 429, 503})
FIRST_S: Final = 0.01
"""The pause between attempts until one is refused."""
AGAIN_S: Final = 0.1
"""The pause between attempts after that."""
FULL_WITHIN_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Wish:
    """A request that takes a place, and may hold it: its connection is read until the daemon ends it."""

    target: str
    method: str = "GET"
    headers: tuple[str, ...] = ()
    body: bytes = b""
    length: int | None = None
    """The announced length of the body. If it exceeds that of ``body``, the request never ends."""

    def encoded(self, key: str) -> bytes:
        """Return the request as bytes."""
        length = len(self.body) if self.length is None else self.length
        lines = (
            f"{self.method} {self.target} HTTP/1.1",
            "Host: localhost",
            f"X-Api-Key: {key}",
            *([f"Content-Length: {length}"] if length else []),
            *(self.headers or ("Connection: close",)),
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body


@dataclass(slots=True)
class Asked:
    """The results of the attempts."""

    answers: Counter[int] = field(default_factory=Counter[int])
    """How many attempts got each status."""
    is_full: trio.Event = field(default_factory=trio.Event)
    """Set at the first refusal, or after `FULL_WITHIN_S` without one."""

    @property
    def refused(self) -> int:
        """How many attempts were refused."""
        return sum(self.answers[status] for status in REFUSED)


@asynccontextmanager
async def asking(daemon: Daemon, key: str, wish: Callable[[int], Wish]) -> AsyncGenerator[Asked]:
    """Within this block the key holds what it got and keeps asking. ``wish`` makes the request of each attempt.

    The block begins at the first refusal, or after `FULL_WITHIN_S` when a busy daemon has not refused one yet.
    """
    asked = Asked()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_ask_on, daemon, key, wish, asked)
        with trio.move_on_after(FULL_WITHIN_S):
            await asked.is_full.wait()
        asked.is_full.set()
        yield asked
        nursery.cancel_scope.cancel()


async def _ask_on(daemon: Daemon, key: str, wish: Callable[[int], Wish], asked: Asked) -> None:
    number = 0
    async with trio.open_nursery() as nursery:
        while True:
            # Connect one at a time: if the daemon is slow to accept, our connections must not queue before those of all others.
            stream = await _connect(daemon)
            nursery.start_soon(_attempt, stream, wish(number).encoded(key), asked)
            number += 1
            await trio.sleep(AGAIN_S if asked.is_full.is_set() else FIRST_S)


async def _connect(daemon: Daemon) -> trio.SocketStream:
    found = urlsplit(daemon.url)
    assert found.hostname is not None
    assert found.port is not None
    return await trio.open_tcp_stream(found.hostname, found.port)


async def _attempt(stream: trio.SocketStream, request: bytes, asked: Asked) -> None:
    async with stream:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(request)
            head = b""
            while b"\r\n\r\n" not in head:
                if not (data := await stream.receive_some(65536)):
                    return
                head += data
            _note(asked, int(head.split(maxsplit=2)[1]))
            while await stream.receive_some(65536):
                pass


def _note(asked: Asked, status: int) -> None:
    asked.answers[status] += 1
    if status in REFUSED:
        asked.is_full.set()
