"""A company's connection to an engine process that fails or hangs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from actors.company import link as module
from actors.company.link import LinkLost, open_link

Serve = Callable[[trio.SocketStream], Awaitable[object]]


@asynccontextmanager
async def engine(path: Path, serve: Serve) -> AsyncGenerator[None]:
    """A listener where an engine process would be, which runs ``serve`` on each connection."""
    with trio.socket.socket(trio.socket.AF_UNIX) as listening:
        await listening.bind(str(path))
        listening.listen()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, serve, [trio.SocketListener(listening)])
            yield
            nursery.cancel_scope.cancel()


async def end(stream: trio.SocketStream) -> None:
    """Close, as the socket of an engine that was killed before its reply."""
    await stream.aclose()


async def say_nothing(_: trio.SocketStream) -> None:
    """An engine that hangs."""
    await trio.sleep_forever()


@pytest.mark.parametrize("serve", [end, say_nothing])
async def test_an_engine_that_does_not_answer_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    """Whether it was killed before its reply or hangs: the company hears of it and can go to another."""
    monkeypatch.setattr(module, "HANDSHAKE_S", 0.2)
    with trio.fail_after(30):
        async with engine(tmp_path / "sock", serve):
            with pytest.raises(LinkLost, match="did not answer"):
                async with open_link(str(tmp_path / "sock"), "962302"):
                    pass


async def test_no_engine_is_lost_at_once(tmp_path: Path) -> None:
    """The socket has no listener any more."""
    with pytest.raises(LinkLost, match="no engine process listens"):
        async with open_link(str(tmp_path / "sock"), "962302"):
            pass
