"""The daemon's side of an engine process, reduced to what tests need: spawn, connect, and a record in place of Postgres."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import trio
import trio_websocket

from actors.engine.protocol import messages as p

ROOT = Path(__file__).parents[2]
M = TypeVar("M")


class Record:
    """What Postgres would hold of one company: the deltas written in their order."""

    def __init__(self) -> None:
        self.creds: bytes | None = None
        self.keys: dict[tuple[str, str], bytes] = {}
        self.file_id: str | None = None
        self.position = 0
        self.messages: set[str] = set()
        """Ids of messages in the event log."""

    def commit(self, file_id: str, delta: p.JournalDelta) -> None:
        if delta.base:
            self.file_id = file_id
        assert self.file_id == file_id
        assert delta.base or delta.position > self.position
        self.position = delta.position
        self.creds = delta.creds or self.creds
        for row in delta.keys:
            if row.value is None:
                self.keys.pop((row.key_type, row.key_id), None)
            else:
                self.keys[row.key_type, row.key_id] = row.value

    def types(self) -> set[str]:
        return {key_type for key_type, _ in self.keys}


class Link:
    """One company's connection. By default deltas are committed to the record and events stored."""

    def __init__(self, socket: trio_websocket.WebSocketConnection, company_id: str, record: Record) -> None:
        self.record = record
        self.company_id = company_id
        self.acknowledges = True
        self.said: list[p.FromEngine] = []
        self._socket = socket
        self._file_id = ""
        self._call = 0
        self._looked_at = 0

    async def send(self, message: p.Message) -> None:
        await self._socket.send_message(p.encode(message))

    async def receive(self) -> p.FromEngine:
        message = p.decode_from_engine(cast("bytes", await self._socket.get_message()))
        arrived = _message_id(message)
        if arrived not in self.record.messages:  # else the engine was killed before it heard that this is stored
            self.said.append(message)
        match message:
            case p.Opened():
                self._file_id = message.file_id
            case p.JournalDelta() if self.acknowledges:
                self.record.commit(self._file_id, message)
                await self.send(p.Committed(position=message.position))
            case p.OutboxEvent() if self.acknowledges:
                if arrived is not None:
                    self.record.messages.add(arrived)
                await self.send(p.EventsStored(number=message.number))
            case _:
                pass
        return message

    async def hear(self, *kinds: type[M], timeout_s: float = 40) -> M:
        """The next message of these kinds; messages before it are handled as they come."""
        with trio.fail_after(timeout_s):
            while not isinstance(message := await self.receive(), kinds):
                pass
        return message

    async def call(self, kind: Any, /, **fields: Any) -> Any:
        """Make a call and wait for its reply."""
        self._call += 1
        await self.send(kind(call=self._call, **fields))
        with trio.fail_after(40):
            while getattr(message := await self.receive(), "call", None) != self._call:
                pass
        return message

    async def open(self, proxy: str | None, **changes: Any) -> p.Opened:
        """The opening dialogue, with the record's state."""
        await self.send(
            p.Open(
                **(
                    {
                        "company_id": self.company_id,
                        "file_id": self.record.file_id,
                        "position": self.record.position,
                        "proxy": proxy,
                    }
                    | changes
                )
            )
        )
        answer = await self.hear(p.NeedAuthState, p.Opened, p.OpenRefused)
        if isinstance(answer, p.NeedAuthState):
            rows = tuple(p.KeyRow(*key, value) for key, value in self.record.keys.items())
            await self.send(p.AuthStateChunk(creds=self.record.creds, keys=rows[:500], last=False))
            await self.send(p.AuthStateChunk(creds=None, keys=rows[500:], last=True))
            answer = await self.hear(p.Opened, p.OpenRefused)
        assert isinstance(answer, p.Opened), answer
        return answer

    async def hear_message(self) -> dict[str, Any]:
        """The payload of the next message event, which may have come during an earlier wait."""
        while True:
            while self._looked_at < len(self.said):
                message = self.said[self._looked_at]
                self._looked_at += 1
                if isinstance(message, p.OutboxEvent) and message.type == "message":
                    return cast("dict[str, Any]", json.loads(message.payload))
            await self.hear(p.OutboxEvent)


def _message_id(message: p.FromEngine) -> str | None:
    """The id of an event about a message."""
    if isinstance(message, p.OutboxEvent) and message.type == "message":
        return str(json.loads(message.payload)["messageId"])
    return None


class Engine:
    """A running engine process with its control connection."""

    def __init__(self, process: subprocess.Popen[bytes], socket: Path) -> None:
        self.process = process
        self.streams: list[trio.SocketStream] = []
        self.nursery: trio.Nursery | None = None
        self._socket = socket
        self.control: trio_websocket.WebSocketConnection | None = None
        self.hello: p.FromEngine | None = None

    async def connect(self, path: str) -> trio_websocket.WebSocketConnection:
        """A connection to any resource, as soon as the process listens."""
        with trio.fail_after(30):
            stream = await self._listening()
        self.streams.append(stream)
        assert self.nursery is not None
        return await trio_websocket.wrap_client_stream(
            self.nursery, stream, "engine", path, max_message_size=p.MAX_FRAME_BYTES
        )

    async def _listening(self) -> trio.SocketStream:
        while True:
            with contextlib.suppress(OSError):
                return await trio.open_unix_socket(str(self._socket))
            await trio.sleep(0.01)

    async def take_control(self) -> None:
        self.control = await self.connect("/control")
        self.hello = p.decode_from_engine(cast("bytes", await self.control.get_message()))

    async def link(self, company_id: str, record: Record | None = None) -> Link:
        """A connection for a company, not opened yet."""
        return Link(await self.connect(f"/company/{company_id}"), company_id, record or Record())

    async def statistics(self) -> p.EngineStatistics:
        assert self.control is not None
        await self.control.send_message(p.encode(p.EngineStatisticsRequest(call=1)))
        answer = p.decode_from_engine(cast("bytes", await self.control.get_message()))
        assert isinstance(answer, p.EngineStatistics)
        return answer

    async def ended(self) -> int:
        """Its exit status, as soon as it ends."""
        with trio.fail_after(30):
            while (status := self.process.poll()) is None:
                await trio.sleep(0.01)
        return status


@asynccontextmanager
async def run_engine(
    directory: Path,
    environment: Mapping[str, str],
    *arguments: str,
    controlled: bool = True,
    module: str = "actors.engine.process",
) -> AsyncGenerator[Engine]:
    """Run an engine process (or ``module``, as a linker) on the device files of ``directory``; it is killed at the block's end."""
    socket = directory / "engine.sock"
    socket.unlink(missing_ok=True)
    path = [*environment.get("PYTHONPATH", "").split(":"), str(ROOT)]
    with (directory / "engine.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: ASYNC220 - from the main thread: the kernel ends the process with the thread that started it
            [
                sys.executable,
                "-m",
                module,
                "--socket",
                str(socket),
                "--devices",
                str(directory / "devices"),
                *arguments,
            ],
            env={**environment, "PYTHONPATH": ":".join(entry for entry in path if entry)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    engine = Engine(process, socket)
    try:
        async with trio.open_nursery() as nursery:
            engine.nursery = nursery
            try:
                if controlled:
                    await engine.take_control()
                yield engine
            finally:
                nursery.cancel_scope.cancel()
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        with trio.CancelScope(shield=True):
            for stream in engine.streams:
                await trio.aclose_forcefully(stream)
