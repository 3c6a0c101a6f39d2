"""The OpenAPI document is made when it is asked for first, and delays no other request meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest
import trio

from actors.http.openapi.document import Document
from config.sections import HttpSettings
from tests.http.world import app_for, running

OWN = HttpSettings(max_tickets=99)
"""Routes of its own: this test puts another document into them."""
PATIENCE_S = 60.0


async def test_the_document_is_made_once_and_not_by_the_event_loop() -> None:
    """However many ask for it at the same time."""
    makers: list[int] = []

    def make() -> bytes:
        makers.append(threading.get_ident())
        return b"{}"

    document = Document(make)
    got: list[bytes] = []

    async def get() -> None:
        got.append(await document.get())

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(get)

    assert got == [b"{}"] * 3
    assert len(makers) == 1
    assert makers[0] != threading.get_ident()


async def test_a_document_that_could_not_be_made_is_tried_again() -> None:
    """A failure is not cached."""
    makers: Iterator[bytes | Exception] = iter([MemoryError("as the test wants it"), b"{}"])

    def make() -> bytes:
        made = next(makers)
        if isinstance(made, Exception):
            raise made
        return made

    document = Document(make)
    with pytest.raises(MemoryError):
        await document.get()

    assert await document.get() == b"{}"


async def test_others_are_answered_while_the_document_is_made() -> None:
    """The framework needs a good part of a second for it."""
    begun, go_on = threading.Event(), threading.Event()

    def make() -> bytes:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        return b"{}"

    app_for(OWN).state.document = Document(make)
    answers: list[httpx.Response] = []
    async with running(http=OWN) as daemon, trio.open_nursery() as nursery:

        async def ask() -> None:
            answers.append(await daemon.client.get("/docs/openapi.json", timeout=PATIENCE_S))

        nursery.start_soon(ask)
        await trio.to_thread.run_sync(begun.wait, PATIENCE_S)
        alive = await daemon.client.get("/livez")
        assert answers == []
        go_on.set()

    assert alive.status_code == 200
    assert answers[0].json() == {}
