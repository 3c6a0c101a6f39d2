"""The connections the linker serves over its Unix socket, like an engine process: one for control, one per company."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, final

import msgspec
import trio
import trio_websocket

from actors.child_process.facts import descriptor_count, descriptor_limit, resident_bytes, thread_count
from actors.child_process.listening import listen_at
from actors.daemon.exceptions import first_leaf
from actors.engine.lease_deadline import LeaseDeadline
from actors.engine.logs import EngineLog
from actors.engine.protocol.messages import (
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
)
from actors.linker.session import LinkSession
from actors.linker.wire.messages import Messages

HANDSHAKE_S: Final = 10.0
OPEN_WITHIN_S: Final = 30.0
MAX_FRAME_BYTES: Final = 256 * 1024
"""The longest message is a browser's response to a request for a passkey."""
OUTGOING: Final = 32
KIND: Final = "linker"
"""Reported in place of an engine's library version."""

_GONE: Final = (
    trio_websocket.ConnectionClosed,
    trio_websocket.HandshakeError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    trio.TooSlowError,
    msgspec.MsgspecError,
)


@final
class Socket:
    """Messages over a WebSocket."""

    def __init__(self, websocket: trio_websocket.WebSocketConnection) -> None:
        self._websocket = websocket
        self._sending = trio.Lock()

    async def send(self, message: FromEngine) -> None:
        async with self._sending:
            await self._websocket.send_message(encode(message))

    async def receive(self) -> ToEngine:
        frame = await self._websocket.get_message()
        return decode_to_engine(frame if isinstance(frame, bytes) else frame.encode())


@final
class Server:
    """Accepts connections until shut down."""

    def __init__(
        self,
        messages: Messages,
        tls: ssl.SSLContext,
        shut_down: Callable[[str], None],
        *,
        max_companies: int,
        commit_within_s: float,
        version: str,
    ) -> None:
        self._messages = messages
        self._tls = tls
        self._max_companies = max_companies
        self._commit_within_s = commit_within_s
        self._version = version
        self._shut_down = shut_down
        self._companies: set[str] = set()
        self.controlled = trio.Event()
        self._log = EngineLog()

    async def serve(self, path: Path, *, task_status: trio.TaskStatus[None]) -> None:
        """Listen at the path; the parent made its directory for this user alone."""
        listener = await listen_at(path)
        task_status.started()
        await trio.serve_listeners(self._handle, [listener])

    async def _handle(self, stream: trio.SocketStream) -> None:
        try:
            async with trio.open_nursery() as nursery:
                await self._accept(nursery, stream)
                nursery.cancel_scope.cancel()
        except* _GONE:
            pass  # the other side went away: everything of this connection has been closed
        except* Exception as group:  # noqa: BLE001 - one company's fault must not reach the others; the daemon sees its connection end
            self._log.failure(f"a connection failed: {first_leaf(group)!r}")
        finally:
            await trio.aclose_forcefully(stream)

    async def _accept(self, nursery: trio.Nursery, stream: trio.SocketStream) -> None:
        with trio.fail_after(HANDSHAKE_S):
            request = await trio_websocket.wrap_server_stream(nursery, stream, max_message_size=MAX_FRAME_BYTES)
            company_id = request.path.removeprefix("/company/")
            if request.path != "/control" and company_id == request.path:
                await request.reject(404)
                return
            socket = Socket(await request.accept())
        if request.path == "/control":
            await self._control(socket)
        else:
            await self._company(socket, company_id)

    async def _control(self, socket: Socket) -> None:
        self.controlled.set()
        try:
            await socket.send(EngineHello(pid=os.getpid(), neonize=KIND, whatsapp_version=self._version))
            while True:
                match await socket.receive():
                    case EngineStatisticsRequest(call=call):
                        await socket.send(self._statistics(call))
                    case EngineShutdown():
                        self._shut_down("asked to")
                    case message:
                        self._log.caution(f"a {type(message).__name__} has no place on the control connection")
        finally:
            self._shut_down("the control connection was lost")

    def _statistics(self, call: int) -> EngineStatistics:
        return EngineStatistics(
            call=call,
            companies=tuple(sorted(self._companies)),
            rss_bytes=resident_bytes(),
            threads=thread_count(),
            descriptors=descriptor_count(),
            descriptor_limit=descriptor_limit(),
        )

    async def _company(self, socket: Socket, company_id: str) -> None:
        with trio.fail_after(OPEN_WITHIN_S):
            request = await socket.receive()
        if not isinstance(request, Open) or request.company_id != company_id:
            return
        if company_id in self._companies:
            await socket.send(OpenRefused(code="already_open", text=f"company {company_id} is being linked already"))
        elif len(self._companies) >= self._max_companies:
            text = f"{self._max_companies} companies are being linked in this process already"
            await socket.send(OpenRefused(code="engine_full", text=text))
        else:
            self._companies.add(company_id)
            try:
                await self._serve(socket, request)
            finally:
                self._companies.discard(company_id)

    async def _serve(self, socket: Socket, request: Open) -> None:
        log = EngineLog(request.company_id)
        session = LinkSession(
            request, socket.send, self._messages, self._tls, log, self._commit_within_s, self._version
        )
        deadline = LeaseDeadline(request.lease_until)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.run)
            nursery.start_soon(deadline.cancel_when_expired, nursery.cancel_scope, log, "its linking is given up")
            while True:
                message = await socket.receive()
                if isinstance(message, LeaseExtended):
                    deadline.extend(message.until)
                else:
                    session.take(message)
