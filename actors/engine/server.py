"""The WebSocket connections an engine process serves: one for control, one per company."""

from __future__ import annotations

import os
import traceback
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, final

import msgspec
import trio
import trio_websocket

from actors.child_process.facts import descriptor_count, descriptor_limit, resident_bytes, thread_count
from actors.child_process.listening import listen_at
from actors.daemon.exceptions import first_leaf
from actors.device_files.lock import FileLock
from actors.engine.calls import Calls
from actors.engine.errors import WriteFault
from actors.engine.host import Host
from actors.engine.lease_deadline import LeaseDeadline
from actors.engine.logs import EngineLog
from actors.engine.opening import Ready, Refusal, open_device, refusal_of
from actors.engine.protocol.messages import (
    MAX_FRAME_BYTES,
    EngineHello,
    EngineShutdown,
    EngineStatistics,
    EngineStatisticsRequest,
    FromEngine,
    LeaseExtended,
    Open,
    OpenRefused,
    ToEngine,
    decode_to_engine,
    encode,
)  # fmt: skip
from actors.engine.session import Session
from actors.engine.shipping import Shipper
from actors.engine.whatsmeow.library import VERSION
from config.company_id import is_company_id

HANDSHAKE_S: Final = 10.0
OPEN_WITHIN_S: Final = 30.0
TAKE_OVER_S: Final = 15.0
"""How long a new connection for a company waits for the earlier one to be closed."""
LOCK_EVERY_S: Final = 0.1
OUTGOING: Final = 32
FINISH_S: Final = 1.0


class ConnectionEnded(Exception):
    """The other side is gone, or sent something that is not a message."""


_GONE: Final = (
    ConnectionEnded,
    trio_websocket.ConnectionClosed,
    trio_websocket.HandshakeError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
)


@final
class Socket:
    """Messages over a WebSocket; sending waits while `OUTGOING` are queued."""

    def __init__(self, websocket: trio_websocket.WebSocketConnection) -> None:
        self._websocket = websocket
        self._outgoing, self._waiting = trio.open_memory_channel[FromEngine](OUTGOING)
        self._written = trio.Event()

    async def send(self, message: FromEngine) -> None:
        await self._outgoing.send(message)

    async def receive(self) -> ToEngine:
        """Return the next message. Raise `ConnectionEnded` when there will be none."""
        try:
            frame = await self._websocket.get_message()
            return decode_to_engine(frame if isinstance(frame, bytes) else frame.encode())
        except trio_websocket.ConnectionClosed as closed:
            raise ConnectionEnded("closed") from closed
        except msgspec.MsgspecError as error:
            raise ConnectionEnded(f"not a message: {error}") from error

    async def write(self) -> None:
        """Write queued messages until `finish`; this is the writer's task."""
        try:
            async for message in self._waiting:
                await self._websocket.send_message(encode(message))
                del message  # else the last one, often all keys of a fresh device, would stay in memory until the next
        except _GONE as error:
            raise ConnectionEnded("closed") from error
        finally:
            self._written.set()

    async def finish(self) -> None:
        """Write what is queued, then close; bounded. Sending is an error from here on."""
        with trio.move_on_after(FINISH_S):
            await self._outgoing.aclose()
            await self._written.wait()
            await self._websocket.aclose()


@final
class Server:
    """Accepts on the Unix socket and serves until shut down."""

    def __init__(self, host: Host, path: Path, *, shut_down: Callable[[str], None]) -> None:
        self._host = host
        self._path = path
        self._shut_down = shut_down
        self._closed: dict[str, trio.Event] = {}
        self.controlled = trio.Event()
        self.closing = trio.Event()
        self._log = EngineLog()

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Listen at the path; the parent made its directory for this user alone."""
        listener = await listen_at(self._path)
        task_status.started()
        await trio.serve_listeners(self._handle, [listener])

    async def _handle(self, stream: trio.SocketStream) -> None:
        try:
            async with trio.open_nursery() as nursery:
                try:
                    await self._accept(nursery, stream)
                finally:
                    nursery.cancel_scope.cancel()
        except* _GONE:
            pass  # the other side went away: everything of this connection has been closed
        except* Exception as group:  # noqa: BLE001 - one company's fault must not reach the others; the daemon sees its connection end
            self._log.failure(f"a connection failed: {_describe(group)}")
        finally:
            await trio.aclose_forcefully(stream)

    async def _accept(self, nursery: trio.Nursery, stream: trio.SocketStream) -> None:
        with trio.fail_after(HANDSHAKE_S):
            request = await trio_websocket.wrap_server_stream(
                nursery, stream, max_message_size=MAX_FRAME_BYTES, receive_buffer_size=65536
            )
            company_id = request.path.removeprefix("/company/")
            if request.path != "/control" and (company_id == request.path or not is_company_id(company_id)):
                await request.reject(404)
                return
            websocket = await request.accept()
        socket = Socket(websocket)
        nursery.start_soon(socket.write)
        if request.path == "/control":
            await self._control(socket)
        else:
            await self._company(socket, company_id)

    # --- control ------------------------------------------------------------------------------------------------------

    async def _control(self, socket: Socket) -> None:
        self.controlled.set()
        await socket.send(self._hello())
        try:
            while True:
                message = await socket.receive()
                match message:
                    case EngineStatisticsRequest(call=call):
                        await socket.send(self._statistics(call))
                    case EngineShutdown():
                        self._shut_down("asked to")
                    case _:
                        self._log.caution(f"a {type(message).__name__} has no place on the control connection")
        finally:
            self._shut_down("the control connection was lost")

    def _hello(self) -> EngineHello:
        host = self._host
        return EngineHello(
            pid=os.getpid(),
            neonize=VERSION,
            whatsapp_version=host.whatsapp_version,
            version_fault=host.version_fault,
        )

    def _statistics(self, call: int) -> EngineStatistics:
        return EngineStatistics(
            call=call,
            companies=tuple(sorted(self._host.companies)),
            rss_bytes=resident_bytes(),
            threads=thread_count(),
            stale_clients=self._host.clients_ended,
            stuck_clients=self._host.count_stuck_clients(),
            descriptors=descriptor_count(),
            descriptor_limit=descriptor_limit(),
        )

    # --- companies ----------------------------------------------------------------------------------------------------

    async def _company(self, socket: Socket, company_id: str) -> None:
        log = EngineLog(company_id)
        try:
            async with self._place(company_id):
                request = await _first(socket, company_id)
                with trio.fail_after(OPEN_WITHIN_S + 60):
                    ready = await open_device(self._host, request, socket.send, socket.receive, log)
                await self._serve_while_writable(socket, request, ready, log)
        except Refusal as refusal:
            log.failure(f"cannot be open: {refusal.code}: {refusal.text}")
            await socket.send(OpenRefused(code=refusal.code, text=refusal.text))
            await socket.finish()

    async def _serve_while_writable(self, socket: Socket, request: Open, ready: Ready, log: EngineLog) -> None:
        """Serve the company. Raise `Refusal`, whose reason the daemon gets, when a failed write ends the connection."""
        fault: BaseException | None = None
        try:
            await self._serve_company(socket, request, ready, log)
        except* WriteFault as group:
            fault = first_leaf(group)
        if fault is not None:
            raise await trio.to_thread.run_sync(refusal_of, fault, self._host.devices)

    async def _serve_company(self, socket: Socket, request: Open, ready: Ready, log: EngineLog) -> None:
        shipper = Shipper(ready.file, socket.send, log, position=ready.position, base=ready.base)
        session = Session(self._host, request, ready.file, socket.send, shipper, log)
        calls = Calls(self._host, session, socket.send, log)
        lease_deadline = LeaseDeadline(request.lease_until)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.run)
            nursery.start_soon(calls.run)
            nursery.start_soon(self._leave_in_order, session, socket, nursery.cancel_scope)
            nursery.start_soon(lease_deadline.cancel_when_expired, nursery.cancel_scope, log, "leaving WhatsApp")
            while True:
                message = await socket.receive()
                if isinstance(message, LeaseExtended):
                    lease_deadline.extend(message.until)
                else:
                    await calls.take(message)

    async def _leave_in_order(self, session: Session, socket: Socket, scope: trio.CancelScope) -> None:
        """At a shutdown: stop the client, ship what it left, then let the connection end."""
        await self.closing.wait()
        await session.disconnect()
        await socket.finish()
        scope.cancel()

    @asynccontextmanager
    async def _place(self, company_id: str) -> AsyncGenerator[None]:
        """Hold the company's only connection; wait (bounded) for the one before to be closed."""
        with trio.move_on_after(TAKE_OVER_S):
            while company_id in self._closed:
                await self._closed[company_id].wait()
        if company_id in self._closed:
            raise Refusal("already_open", f"company {company_id} has a connection already")
        if len(self._closed) >= self._host.max_companies:
            raise Refusal("engine_full", f"this engine process has {self._host.max_companies} companies already")
        gone = self._closed[company_id] = trio.Event()
        lock = FileLock(self._host.path_of(company_id))
        try:
            try:
                await _take(lock, company_id)
            except OSError as error:
                raise refusal_of(error, self._host.devices) from error
            self._host.companies.add(company_id)
            yield
        finally:
            lock.release()
            self._host.companies.discard(company_id)
            del self._closed[company_id]
            gone.set()


async def _take(lock: FileLock, company_id: str) -> None:
    with trio.move_on_after(TAKE_OVER_S):
        while not lock.take():
            await trio.sleep(LOCK_EVERY_S)
        return
    raise Refusal("already_open", f"another process holds the device file of company {company_id}")


def _describe(group: BaseExceptionGroup[Exception]) -> str:
    """Return type, text and place of the first error, for the log."""
    error = first_leaf(group)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})"


async def _first(socket: Socket, company_id: str) -> Open:
    with trio.fail_after(OPEN_WITHIN_S):
        message = await socket.receive()
    if not isinstance(message, Open) or message.company_id != company_id:
        raise ConnectionEnded("the first message must be Open for the company of the path")
    return message
