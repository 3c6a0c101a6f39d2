"""Real WhatsApp clients in child processes, driven over JSON lines: a Go panic or a Node crash must not end pytest.

Every kind of child speaks the same protocol. A request is ``{"id": 1, "call": "send", "args": {…}}``, its answer
``{"id": 1, "result": …}`` or ``{"id": 1, "error": "…"}``; what happens unasked comes as a `PeerEvent`.
"""

from __future__ import annotations

import base64
import itertools
import subprocess
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import msgspec
import trio

from tests.loopback.endpoints import Endpoints
from tests.loopback.message_secrets import Kind

ROOT: Final = Path(__file__).parents[2]
PEER_MJS: Final = Path(__file__).parent / "node" / "peer.mjs"
CALL_TIMEOUT_S: Final = 30.0
EVENT_TIMEOUT_S: Final = 30.0


LAST_WORDS: Final = 2000
"""How many bytes of an ended process's log its error shows."""


class PeerError(Exception):
    """A client refused a call, or its process ended."""


@dataclass(frozen=True, slots=True)
class SealedFor:
    """An earlier message, as the client that seals under its secret (32 bytes) sees it."""

    id: str
    sender: str
    """Its sender's address without device."""
    secret: bytes
    chat: str
    from_me: bool = True


class PeerEvent(msgspec.Struct, frozen=True):
    """Something a client noticed. Which fields are set depends on ``event``."""

    event: str
    """qr, paired, connected, closed, message, receipt, chat_state, call, undecryptable."""
    client: str
    qr: str = ""
    jid: str = ""
    lid: str = ""
    reason: str = ""
    """closed: disconnected, logged_out, replaced, temporary_ban, outdated, connect_failure, stream_error; end: the client
    has stopped for good, with the reason in ``text`` unless it was asked to stop."""
    code: int = 0
    expires: int = 0
    """temporary_ban: seconds."""
    id: str = ""
    """The message's id."""
    chat: str = ""
    sender: str = ""
    sender_alt: str = ""
    """The sender's other address: phone number for a LID, LID for a phone number."""
    from_me: bool = False
    text: str = ""
    """The message's text; closed: what the client said about the end."""
    quoted_id: str = ""
    quoted_text: str = ""
    content: dict[str, Any] = {}
    """The message itself, as protobuf's JSON."""
    ids: tuple[str, ...] = ()
    type: str = ""
    """Of a receipt: delivered, read …; chat_state: composing, recording, paused; call: offer, terminate."""


class _Answer(msgspec.Struct):
    id: int
    result: str = ""
    error: str = ""


@final
class Peers:
    """One child process with any number of named clients. Get one from `start_neonize` or `start_baileys`."""

    def __init__(self, process: trio.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self._numbers = itertools.count(1)
        self._answers: dict[int, _Answer] = {}
        self._events: deque[PeerEvent] = deque()
        self._arrived = trio.Condition()
        self._writing = trio.Lock()
        self._ended = False

    @property
    def pid(self) -> int:
        """The child's process id, for tests that kill it."""
        return self._process.pid

    async def open(self, client: str) -> None:
        """Start a client; it logs in, or offers QR codes when it is not linked."""
        await self.call("open", client=client)

    async def close(self, client: str) -> None:
        """Stop a client; its state stays on disk for the next `open`."""
        await self.call("close", client=client)

    async def send(self, client: str, to: str, text: str, *, quoted: PeerEvent | None = None) -> str:
        """Send text to a phone number (digits) or a full address; the message's id."""
        reply = {"id": quoted.id, "sender": quoted.sender, "text": quoted.text} if quoted else None
        return await self.call("send", client=client, to=to, text=text, quoted=reply)

    async def send_content(self, client: str, to: str, content: dict[str, Any]) -> str:
        """Send any message: to neonize as protobuf's JSON, to Baileys as it takes it (files as ``{"base64": …}``)."""
        return await self.call("send_content", client=client, to=to, content=content)

    async def send_sealed(
        self, client: str, to: str, kind: Kind, content: dict[str, Any], original: SealedFor, *, by: str
    ) -> str:
        """Send what neonize cannot by itself: an edit, vote, reaction … (protobuf's JSON) sealed under an earlier message's secret.

        ``by``: the client's own address without device, by which the recipient finds the key: its LID, or its number's.
        """
        secret = base64.b64encode(original.secret).decode()
        earlier = {"id": original.id, "sender": original.sender, "secret": secret}
        key = {"remoteJID": original.chat, "fromMe": original.from_me, "ID": original.id}
        sealed = {"kind": kind, "key": key, "original": earlier, "sender": by, "content": content}
        return await self.call("send_sealed", client=client, to=to, sealed=sealed)

    async def decrypt_vote(self, client: str, message_id: str) -> list[bytes]:
        """The hashes of the options in a vote that arrived, as whatsmeow decrypts it."""
        answer = await self.call("decrypt_vote", client=client, id_=message_id)
        return [base64.b64decode(option) for option in answer.split(",") if option]

    async def reject_call(self, client: str, caller: str, call_id: str) -> None:
        """Reject a call with neonize; ``caller`` is its creator's address."""
        await self.call("reject_call", client=client, caller=caller, call_id=call_id)

    async def upload(self, client: str, kind: str, data: bytes) -> dict[str, Any]:
        """Upload a file with neonize; the fields for its message."""
        answer = await self.call("upload", client=client, kind=kind, data=base64.b64encode(data).decode())
        return msgspec.json.decode(answer, type=dict[str, Any])

    async def vote(self, client: str, to: str, poll_id: str, options: list[str]) -> str:
        """Vote with neonize in a poll that arrived; the vote's id."""
        return await self.call("vote", client=client, to=to, id_=poll_id, options=options)

    async def download(self, client: str, message_id: str) -> bytes:
        """The file of a message that arrived, decrypted."""
        return base64.b64decode(await self.call("download", client=client, id_=message_id))

    async def pairing_code(self, client: str, phone: str) -> str:
        """Ask for a pairing code; the client must have offered a QR code before."""
        return await self.call("pairing_code", client=client, phone=phone)

    async def logout(self, client: str) -> None:
        """Unlink the client's device."""
        await self.call("logout", client=client)

    async def event(
        self,
        client: str,
        kind: str,
        *,
        where: Callable[[PeerEvent], bool] = lambda _: True,
        timeout: float = EVENT_TIMEOUT_S,
    ) -> PeerEvent:
        """Take the next event of this kind, waiting for it; TooSlowError, PeerError when the process has ended."""
        with trio.fail_after(timeout):
            async with self._arrived:
                while True:
                    for event in self._events:
                        if event.client == client and event.event == kind and where(event):
                            self._events.remove(event)
                            return event
                    await self._wait()

    def pending(self, client: str, kind: str) -> list[PeerEvent]:
        """The events of this kind that no caller has taken yet."""
        return [event for event in self._events if event.client == client and event.event == kind]

    async def call(self, call: str, **args: object) -> str:
        """Call the child; PeerError when it refuses, TooSlowError after 30 s."""
        assert self._process.stdin is not None, "started with a pipe"
        number = next(self._numbers)
        line = msgspec.json.encode({"id": number, "call": call, "args": args}) + b"\n"
        with trio.fail_after(CALL_TIMEOUT_S):
            try:
                async with self._writing:
                    await self._process.stdin.send_all(line)
            except trio.BrokenResourceError as exc:
                raise self._end() from exc
            async with self._arrived:
                while number not in self._answers:
                    await self._wait()
                answer = self._answers.pop(number)
        if answer.error:
            raise PeerError(f"{call}: {answer.error}")
        return answer.result

    async def read(self) -> None:
        """Read what the child says until it ends; `start_neonize` and `start_baileys` run this."""
        assert self._process.stdout is not None, "started with a pipe"
        buffered = b""
        async for data in self._process.stdout:
            *lines, buffered = (buffered + data).split(b"\n")
            async with self._arrived:
                for line in lines:
                    self._take(line)
                self._arrived.notify_all()
        await self._process.wait()
        async with self._arrived:
            self._ended = True
            self._arrived.notify_all()

    def _take(self, line: bytes) -> None:
        if b'"event"' in line[:20]:
            self._events.append(msgspec.json.decode(line, type=PeerEvent))
        else:
            answer = msgspec.json.decode(line, type=_Answer)
            self._answers[answer.id] = answer

    async def _wait(self) -> None:
        if self._ended:
            raise self._end()
        await self._arrived.wait()

    def _end(self) -> PeerError:
        said = self._log.read_bytes()
        start = max(said.rfind(b"fatal error:"), said.rfind(b"panic:"), 0) or max(len(said) - LAST_WORDS, 0)
        words = said[start : start + LAST_WORDS].decode(errors="replace")
        return PeerError(f"the process has ended with {self._process.returncode}, saying: {words}")


@asynccontextmanager
async def start_neonize(
    endpoints: Endpoints, directory: Path, *, module: str = "tests.loopback.peer_neonize"
) -> AsyncGenerator[Peers]:
    """A group of neonize clients whose state lies in ``directory``. Inside the block the process runs."""
    command = [sys.executable, "-m", module, endpoints.proxy_url, str(directory)]
    async with _start(command, ROOT, endpoints.environment(), directory / "neonize.log") as peers:
        yield peers


@asynccontextmanager
async def start_baileys(endpoints: Endpoints, directory: Path, modules: Path) -> AsyncGenerator[Peers]:
    """A group of Baileys clients; ``modules`` comes from `tests.loopback.node.install.installed`."""
    command = ["node", str(PEER_MJS), str(modules), endpoints.websocket_url, str(directory)]
    environment = endpoints.environment() | {"LOOPBACK_PROXY": endpoints.proxy_url}
    async with _start(command, directory, environment, directory / "baileys.log") as peers:
        yield peers


@asynccontextmanager
async def _start(
    command: Sequence[str], cwd: Path, environment: dict[str, str] | None, log: Path
) -> AsyncGenerator[Peers]:
    with log.open("ab") as stderr:
        process = await trio.lowlevel.open_process(
            command, cwd=cwd, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
        )
    peers = Peers(process, log)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peers.read)
        try:
            yield peers
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
            nursery.cancel_scope.cancel(reason="the peers are closed")
