"""Control of a loopback in another process: JSON lines over a Unix socket.

A request is ``{"call": "scan", "args": {"phone": "79000000001", "qr_text": "…"}}``; the answer is ``{"result": …}`` or
``{"error": {"type": "PairingError", "text": "…"}}``. Requests on one connection are answered in order.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import trio

from tests.loopback.loopback import Loopback
from tests.loopback.pairing import PairingError
from tests.loopback.phone import Phone

MAX_LINE: Final = 1 << 20
CALLS: Final = frozenset(
    {
        "accept",
        "add_account",
        "add_group",
        "add_member",
        "announced",
        "ban",
        "calls",
        "confirm_code",
        "connections",
        "counters",
        "cut_after_pairing",
        "devices",
        "dial",
        "drop",
        "end_call",
        "expire_qr",
        "forget_media",
        "freeze",
        "heal",
        "hold",
        "lift",
        "offer_call",
        "passkeys.age",
        "passkeys.ask_again",
        "passkeys.cancel",
        "passkeys.compare",
        "passkeys.forget",
        "passkeys.linked",
        "passkeys.require",
        "passkeys.screen",
        "passkeys.spoil",
        "publish_version",
        "refuse",
        "refuse_media",
        "refuse_version",
        "release",
        "remove_device",
        "remove_member",
        "replace",
        "restrict",
        "routed",
        "scan",
        "stream_error",
        "thaw",
        "undelivered",
        "unlinked",
        "uploads",
    }
)
"""The methods of `Loopback`, and of its parts, that may be called from outside."""


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """One line from the controlling process."""

    call: str
    args: dict[str, Any] = {}


async def serve_control(
    loopback: Loopback, path: Path, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve control connections on a Unix socket at ``path`` until cancelled; started once it listens."""
    listening = trio.socket.socket(socket.AF_UNIX)
    await listening.bind(str(path))
    listening.listen(16)
    task_status.started()

    async def serve(stream: trio.SocketStream) -> None:
        await _serve_connection(loopback, stream)

    await trio.serve_listeners(serve, [trio.SocketListener(listening)])


async def _serve_connection(loopback: Loopback, stream: trio.SocketStream) -> None:
    buffered = bytearray()
    try:
        async for data in stream:
            buffered += data
            while b"\n" in buffered:
                line, _, rest = bytes(buffered).partition(b"\n")
                buffered = bytearray(rest)
                await stream.send_all(msgspec.json.encode(await _answer(loopback, line)) + b"\n")
            if len(buffered) > MAX_LINE:
                return
    except trio.BrokenResourceError:
        return


async def _answer(loopback: Loopback, line: bytes) -> Mapping[str, object]:
    try:
        return {"result": await _call(loopback, msgspec.json.decode(line, type=Request))}
    except (ValueError, TypeError, PairingError, msgspec.MsgspecError) as exc:
        return {"error": {"type": type(exc).__name__, "text": str(exc)}}


async def _call(loopback: Loopback, request: Request) -> object:
    if request.call not in CALLS:
        raise ValueError(f"no such call: {request.call!r}")
    called: Callable[..., object] = attrgetter(request.call)(loopback)
    result = called(**request.args)
    if isinstance(result, Coroutine):
        return await cast("Coroutine[object, object, object]", result)
    return None if isinstance(result, Phone) else result
