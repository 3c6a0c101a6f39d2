"""The dialogue that makes a company's device file ready: `Open`, perhaps `NeedAuthState` and its chunks, `Opened`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from actors.engine.device.event_spool import Item
from actors.engine.device.file import DeviceFile, Fault, build, fault_of, open_file
from actors.engine.errors import BadAuthState, DamagedFile, UnknownSchema, WriteFault
from actors.engine.host import Host
from actors.engine.logs import EngineLog
from actors.engine.protocol.messages import AuthStateChunk, FromEngine, NeedAuthState, Open, Opened, ToEngine
from actors.engine.whatsmeow.write_faults import reason_of

MAX_STATE_BYTES: Final = 128 * 1024 * 1024
MAX_STATE_KEYS: Final = 200_000
STATE_WITHIN_S: Final = 60.0


Send = Callable[[FromEngine], Awaitable[None]]
Receive = Callable[[], Awaitable[ToEngine]]


class Refusal(Exception):
    """The company cannot be opened; ``code`` as in `protocol.OpenRefused`."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(slots=True)
class AuthState:
    """The auth state that the daemon sent."""

    creds: bytes | None
    keys: list[tuple[str, str, bytes]]


@dataclass(frozen=True, slots=True)
class Ready:
    """An open device file and the position from which shipping continues."""

    file: DeviceFile
    position: int
    base: bool


@dataclass(frozen=True, slots=True)
class _Found:
    """What is at the device file's path."""

    file: DeviceFile | None
    fault: Fault | None
    """Why the file cannot be used as it is; None when it can."""
    why: str = ""
    event_spool: Sequence[Item] = ()
    """For a damaged file, the events that could be read from it."""


async def open_device(host: Host, request: Open, send: Send, receive: Receive, log: EngineLog) -> Ready:
    """Conduct the dialogue up to and including `Opened`. Raise `Refusal` when the company cannot be opened."""
    try:
        ready = await _prepare(host, request, send, receive, log)
    except UnknownSchema as error:
        raise Refusal("unknown_schema", str(error)) from error
    except BadAuthState as error:
        raise Refusal("bad_auth_state", str(error)) from error
    except (DamagedFile, WriteFault, OSError) as error:
        raise refusal_of(error, host.devices) from error
    try:
        opened = await trio.to_thread.run_sync(_take_up, ready, host.boot)
    except WriteFault as error:
        ready.file.close()
        raise refusal_of(error, host.devices) from error
    await send(opened)
    return ready


def refusal_of(error: BaseException, devices: Path) -> Refusal:
    """Return the refusal for a file in ``devices`` that could not be made, written or removed."""
    if (reason := reason_of(error, devices)) is not None:
        return Refusal("storage_full", reason)
    return Refusal("device_unusable", f"the device file cannot be made: {error}")


def _take_up(ready: Ready, boot: str) -> Opened:
    ready.file.trim()
    ready.file.survive(boot)
    ready.file.take_up(time.time())
    identity = ready.file.identity()
    return Opened(
        file_id=ready.file.file_id,
        rebuilt=ready.base,
        position=ready.file.journal.position(),
        jid=identity.jid if identity else None,
        lid=identity.lid if identity else None,
    )


async def _prepare(host: Host, request: Open, send: Send, receive: Receive, log: EngineLog) -> Ready:
    found = await trio.to_thread.run_sync(_inspect, host, request)
    file = found.file
    if file is not None and found.fault is None:
        return Ready(file, request.position, base=False)
    assert found.fault is not None
    event_spool = found.event_spool
    try:
        log.note(f"the device file is {found.fault}{f' ({found.why})' if found.why else ''}: asking for the auth state")
        await send(NeedAuthState(reason=found.fault))
        state = await _receive_state(receive)
        if (
            file is not None
            and (kept := await trio.to_thread.run_sync(_keep, file, found.fault, request, state, log)) is not None
        ):
            file = None
            return kept
        if file is not None:
            event_spool = await trio.to_thread.run_sync(file.event_spool.all)
    finally:
        if file is not None:
            file.close()
    return Ready(
        await trio.to_thread.run_sync(_rebuild, host, request.company_id, state, event_spool, log), 0, base=True
    )


def _inspect(host: Host, request: Open) -> _Found:
    try:
        file = open_file(host.sqlite, host.path_of(request.company_id))
    except DamagedFile as error:
        return _Found(None, "damaged", str(error), error.event_spool)
    if file is None:
        return _Found(None, "missing")
    if request.discard_file:
        return _Found(file, "discarded")
    return _Found(file, fault_of(file, request.file_id, request.position))


def _keep(file: DeviceFile, fault: Fault, request: Open, state: AuthState, log: EngineLog) -> Ready | None:
    """Keep the existing file when it knows more than the record, so that Postgres learns it; None when the file must be rebuilt."""
    if _is_unrecorded(file, fault, state):
        log.caution(
            "Postgres knows nothing of this company, but the device file holds a device it never heard of: keeping the file"
        )
        return Ready(file, 0, base=True)
    if fault != "ahead":
        return None
    log.caution("Postgres lacks some of what this device file had shipped: keeping the file, shipping all of it")
    file.note_everything((key_type, key_id) for key_type, key_id, _ in state.keys)
    return Ready(file, request.position, base=False)


def _is_unrecorded(file: DeviceFile, fault: Fault, state: AuthState) -> bool:
    """Whether a device was linked while Postgres was away, and the daemon ended before anything of this file was committed."""
    return fault == "foreign" and state.creds is None and not file.is_announced() and file.identity() is not None


def _rebuild(host: Host, company_id: str, state: AuthState, event_spool: Sequence[Item], log: EngineLog) -> DeviceFile:
    file, left_out = build(
        host.sqlite, host.template, host.path_of(company_id), state.creds, state.keys, event_spool, boot=host.boot
    )
    for what in left_out[:10]:
        log.failure(f"a key was left out of the device file: {what}")
    if len(left_out) > 10:
        log.failure(f"{len(left_out)} keys were left out of the device file in all")
    return file


async def _receive_state(receive: Receive) -> AuthState:
    state = AuthState(None, [])
    size = 0
    with trio.move_on_after(STATE_WITHIN_S):
        while True:
            chunk = await receive()
            if not isinstance(chunk, AuthStateChunk):
                raise Refusal("bad_auth_state", f"a {type(chunk).__name__} came where an AuthStateChunk was expected")
            state.creds = chunk.creds if chunk.creds is not None else state.creds
            state.keys += [(row.key_type, row.key_id, row.value) for row in chunk.keys if row.value is not None]
            size += sum(len(row.value or b"") for row in chunk.keys)
            if size > MAX_STATE_BYTES or len(state.keys) > MAX_STATE_KEYS:
                raise Refusal(
                    "bad_auth_state", f"the auth state is larger than {MAX_STATE_BYTES} bytes or {MAX_STATE_KEYS} keys"
                )
            if chunk.last:
                return state
    raise Refusal("bad_auth_state", f"the auth state did not arrive within {STATE_WITHIN_S:.0f} s")
