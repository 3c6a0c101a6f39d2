"""A loopback WhatsApp in a process of its own, as tests of other processes use it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar, final

import msgspec
import trio

from tests.loopback.calls import Call
from tests.loopback.endpoints import Endpoints
from tests.loopback.journal import Routed
from tests.loopback.loopback import DeviceState
from tests.loopback.passkey_walk import Screen
from tests.loopback.versions import Announced

ROOT: Final = Path(__file__).parents[2]
POLL_S: Final = 0.05
START_TIMEOUT_S: Final = 30.0
CALL_TIMEOUT_S: Final = 30.0
_R = TypeVar("_R")


class LoopbackError(Exception):
    """The loopback refused a call; the text begins with the kind of error."""


class _Answer(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: dict[str, str] | None = None


@final
class RemoteLoopback:
    """The methods of `tests.loopback.loopback.Loopback`, asynchronous. LoopbackError when the other side refuses."""

    def __init__(self, endpoints: Endpoints, stream: trio.SocketStream) -> None:
        self.endpoints = endpoints
        self._stream = stream
        self._lock = trio.Lock()
        self._buffered = b""

    async def add_account(self, phone: str, lid: str, name: str = "") -> None:
        """A new number on WhatsApp."""
        await self._call("add_account", type(None), phone=phone, lid=lid, name=name)

    async def dial(self, number: str, phone: str) -> None:
        """Have the account of ``phone`` answer to another number too."""
        await self._call("dial", type(None), number=number, phone=phone)

    async def add_group(self, subject: str, phones: list[str], addressing: str = "lid", description: str = "") -> str:
        """A new group of these accounts, the first its admin; its address."""
        return await self._call(
            "add_group", str, subject=subject, phones=phones, addressing=addressing, description=description
        )

    async def scan(self, phone: str, qr_text: str) -> str:
        """Scan a QR code with a phone; the linked device's address, empty while a passkey is to be proved."""
        return await self._call("scan", str, phone=phone, qr_text=qr_text)

    async def confirm_code(self, phone: str, code: str) -> str:
        """Type a pairing code into a phone; the result is as with `scan`."""
        return await self._call("confirm_code", str, phone=phone, code=code)

    async def require_passkey(self, phone: str, credential_id: str, public_key: str) -> None:
        """Have clients of this account prove a passkey: `SoftPasskey.credential` and its ``public_key``."""
        await self._call(
            "passkeys.require", type(None), phone=phone, credential_id=credential_id, public_key=public_key
        )

    async def passkey_screen(self, phone: str) -> Screen:
        """What the owner of the phone sees of a client that is to prove the passkey."""
        return await self._call("passkeys.screen", Screen, phone=phone)

    async def compare_code(self, phone: str, code: str) -> None:
        """The owner compares the code that the client shows; LoopbackError when it is not the phone's."""
        await self._call("passkeys.compare", type(None), phone=phone, code=code)

    async def passkey_linked(self, phone: str) -> str:
        """The address of the device, once the client that was scanned is one."""
        return await self._call("passkeys.linked", str, phone=phone)

    async def devices(self) -> list[DeviceState]:
        """Every linked device."""
        return await self._call("devices", list[DeviceState])

    async def counters(self) -> dict[str, int]:
        """Totals since the start."""
        return await self._call("counters", dict[str, int])

    async def routed(self, after: int = 0) -> list[Routed]:
        """The ciphertexts routed so far, from the ``after``-th on."""
        return await self._call("routed", list[Routed], after=after)

    async def announced(self) -> list[Announced]:
        """The versions that clients announced at log-in and registration, oldest first."""
        return await self._call("announced", list[Announced])

    async def offer_call(self, caller: str, callee: str, *, video: bool = False) -> str:
        """Ring at all devices of ``callee``; the call's id. ``fault("end_call", call_id=…, outcome=…)`` ends it."""
        return await self._call("offer_call", str, caller=caller, callee=callee, video=video)

    async def calls(self) -> list[Call]:
        """Every call, oldest first, with its outcome."""
        return await self._call("calls", list[Call])

    async def uploads(self) -> list[str]:
        """The kind of each file that was uploaded."""
        return await self._call("uploads", list[str])

    async def connections(self) -> int:
        """How many streams are open, of any kind."""
        return await self._call("connections", int)

    async def undelivered(self) -> list[str]:
        """The ids of the messages that a linked device has not acknowledged."""
        return await self._call("undelivered", list[str])

    async def unlinked(self) -> int:
        """How many streams wait to be linked."""
        return await self._call("unlinked", int)

    async def fault(self, name: str, **args: object) -> None:
        """Call a method by its name: ``fault("refuse", code=503, times=2)``, ``fault("passkeys.cancel", phone="79…")``."""
        await self._call(name, object, **args)

    async def wait_logged_in(self, phone: str, *, timeout: float = 20.0) -> DeviceState:
        """Wait until a device of ``phone`` listens; TooSlowError when it takes longer than ``timeout`` seconds."""
        with trio.fail_after(timeout):
            while True:
                for device in await self.devices():
                    if device.phone == phone and device.listening:
                        return device
                await trio.sleep(POLL_S)

    async def wait_until(self, condition: Callable[[dict[str, int]], bool], *, timeout: float = 20.0) -> None:
        """Wait until ``condition`` holds for the counters; TooSlowError after ``timeout`` seconds."""
        with trio.fail_after(timeout):
            while not condition(await self.counters()):
                await trio.sleep(POLL_S)

    async def _call(self, call: str, result: type[_R], /, **args: object) -> _R:
        async with self._lock, _whole_exchange():
            await self._stream.send_all(msgspec.json.encode({"call": call, "args": args}) + b"\n")
            answer = msgspec.json.decode(await self._line(), type=_Answer)
        if answer.error:
            raise LoopbackError(f"{answer.error['type']}: {answer.error['text']}")
        return msgspec.json.decode(answer.result, type=result)

    async def _line(self) -> bytes:
        while b"\n" not in self._buffered:
            received = await self._stream.receive_some(1 << 16)
            if not received:
                raise LoopbackError("EndOfStream: the loopback is gone")
            self._buffered += received
        line, _, self._buffered = self._buffered.partition(b"\n")
        return line


@asynccontextmanager
async def _whole_exchange() -> AsyncGenerator[None]:
    """A cancelled caller still waits for the response: otherwise the next call would take it for its own."""
    await trio.lowlevel.checkpoint_if_cancelled()
    with trio.fail_after(CALL_TIMEOUT_S) as scope:
        scope.shield = True
        yield


@asynccontextmanager
async def connect_loopback(endpoints: Endpoints) -> AsyncGenerator[RemoteLoopback]:
    """Control a running loopback."""
    async with await trio.open_unix_socket(endpoints.control) as stream:
        yield RemoteLoopback(endpoints, stream)


@asynccontextmanager
async def start_loopback(*arguments: str) -> AsyncGenerator[RemoteLoopback]:
    """Run ``python -m tests.loopback ARGUMENTS`` inside this block and control it."""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "tests.loopback", *arguments], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        with trio.fail_after(START_TIMEOUT_S):
            endpoints = msgspec.json.decode(await _first_line(process), type=Endpoints)
        async with connect_loopback(endpoints) as remote:
            yield remote
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            await process.wait()


async def _first_line(process: trio.Process) -> bytes:
    assert process.stdout is not None, "started with a pipe"
    line = b""
    while b"\n" not in line:
        received = await process.stdout.receive_some()
        if not received:
            raise LoopbackError(f"EndOfStream: python -m tests.loopback ended after {line!r}")
        line += received
    return line
