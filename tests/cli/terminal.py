"""Runs commands as a terminal would, in a thread of their own, and keeps what they print."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from actors.main import main
from tests.http.world import until


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Standard output, a line each."""
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)

    @property
    def documents(self) -> list[Any]:
        """Standard output as JSON documents, one a line."""
        return [json.loads(line) for line in self.lines]


class Terminal:
    """One command at a time."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self._out = _capture()

    @property
    def shown(self) -> str:
        """The running command's output so far."""
        return _text(self._out)

    async def run(self, *argv: str, stdin: str = "") -> Ended:
        """Run `wasup` with these words; an exit from within counts as its exit code, as when a process ends."""
        # Abandoned when the test gives up: a command that hangs must fail its test, not hang it too.
        return await trio.to_thread.run_sync(self._run, argv, stdin, abandon_on_cancel=True)

    async def until_shown(self, text: str) -> None:
        """Wait until the running command has printed ``text``."""
        await until(lambda: text in self.shown)

    def _run(self, argv: tuple[str, ...], stdin: str) -> Ended:
        self._out, err = _capture(), _capture()
        with _standard_input(stdin), contextlib.redirect_stdout(self._out), contextlib.redirect_stderr(err):
            try:
                code = main(argv)
            except SystemExit as end:
                code = int(end.code or 0)
        return Ended(code, _text(self._out), _text(err))


def _capture() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


@contextlib.asynccontextmanager
async def running(terminal: Terminal, *words: str) -> AsyncGenerator[list[Ended], None]:
    """Run a command beside the block; it must end within a few seconds after it."""
    ended: list[Ended] = []

    async def run() -> None:
        ended.append(await terminal.run(*words))

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            yield ended


@contextlib.contextmanager
def _standard_input(text: str) -> Generator[None]:
    """Standard input with this text."""
    before = sys.stdin
    sys.stdin = io.StringIO(text)
    try:
        yield
    finally:
        sys.stdin = before
