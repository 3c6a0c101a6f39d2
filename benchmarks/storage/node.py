"""Real Baileys in a Node process of its own. It times itself, so neither its start nor the calls to it count."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, final

import msgspec
import trio

from benchmarks.storage.sample import Sample
from tests.loopback.node.install import InstallError, NodeMissingError, installed

SCRIPT: Final = Path(__file__).with_name("baileys_files.mjs")
ANSWER_WITHIN_S: Final = 60.0


class BaileysFailed(Exception):
    """Baileys failed. The text is its error."""


class _Answer(msgspec.Struct):
    ms: float = 0.0
    keys: int = 0
    error: str = ""


@final
class Baileys:
    """The process with Baileys. `open_baileys` makes it."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._buffered = b""

    async def load_ms(self, sample: Sample, *, one_by_one: bool = False) -> float:
        """Return the milliseconds to open the directory and read every key: all of a type at once, or one after the other."""
        request = {"load": str(sample.directory), "keys": sample.keys_of(sample.files), "oneByOne": one_by_one}
        return await self._ask(request, len(sample.changes))

    async def write_ms(self, sample: Sample, files: Sequence[Path]) -> float:
        """Return the milliseconds to write the keys of these files again, all at once, as Baileys does."""
        return await self._ask({"write": str(sample.directory), "keys": sample.keys_of(files)}, len(files))

    async def _ask(self, request: Mapping[str, object], keys: int) -> float:
        assert self._process.stdin is not None
        await self._process.stdin.send_all(msgspec.json.encode(request) + b"\n")
        with trio.fail_after(ANSWER_WITHIN_S):
            answer = msgspec.json.decode(await self._line(), type=_Answer)
        if answer.error or answer.keys != keys:
            raise BaileysFailed(answer.error or f"{answer.keys} keys were found, {keys} are there")
        return answer.ms

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._buffered:
            data = await self._process.stdout.receive_some(65536)
            if not data:
                raise BaileysFailed("its process has ended")
            self._buffered += data
        line, _, self._buffered = self._buffered.partition(b"\n")
        return line


@asynccontextmanager
async def open_baileys() -> AsyncGenerator[Baileys | str]:
    """Yield the process; if there is no Node or no Baileys, yield why."""
    try:
        modules = await trio.to_thread.run_sync(installed)
    except (NodeMissingError, InstallError, OSError) as why:
        yield str(why)
        return
    command = ["node", str(SCRIPT), str(modules)]
    async with trio.open_nursery() as nursery:
        run = partial(trio.run_process, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, check=False)
        process: trio.Process = await nursery.start(run)
        try:
            yield Baileys(process)
        finally:
            nursery.cancel_scope.cancel()
