"""The accept loop: who may connect, how many, and how connections end when the server stops.

Every connection has its own error boundary: a failure that one client provokes ends only that client's connection.
"""

from __future__ import annotations

import math
import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Final, final

import trio
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext

from actors.daemon.metrics import Metrics
from actors.http.model.problems import MEDIA_TYPE, Problem, encode
from actors.http.transport.client_address import ClientAddresses
from actors.http.transport.connection import Connection, UnsupportedProtocol
from actors.http.transport.tasks import AsgiApp
from actors.sharing import NoSlot, SharedSlots
from config.sections import HttpSettings

_REQUESTS_PER_CONNECTION: Final = 1000
_REFUSE_S: Final = 1.0
LOCAL_RESERVE: Final = 16
"""Connections beyond ``max_connections`` for the command line on this machine, so that an administrator always gets through."""
IDLE_S: Final = 1.0
"""A connection without a request for this long is ended when others need its slot."""


@final
class Server:
    """Serves ``app`` on one listener, and on ``local``: a Unix socket without TLS that only the daemon's user can reach, with
    `LOCAL_RESERVE` connections of its own. `serve` runs until it is cancelled, or until `drain` was called and has finished.
    """

    def __init__(
        self,
        app: AsgiApp,
        listener: trio.SocketListener,
        *,
        local: trio.SocketListener | None = None,
        settings: HttpSettings,
        peers: ClientAddresses,
        tls: ssl.SSLContext | None,
        metrics: Metrics,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._app = app
        self._listener = listener
        self._listeners = [listener] if local is None else [listener, local]
        self._settings = settings
        self._peers = peers
        self._tls = tls
        self._metrics = metrics
        self._on_failure = on_failure
        self._config = _protocol_config(settings)
        self._context = WorkerContext(None)
        self._accepting = trio.CancelScope()
        self._connections: dict[Connection, ExitStack] = {}
        """Each connection with the slot that it holds."""
        self._slots = SharedSlots(settings.max_connections)
        self._local_slots = SharedSlots(LOCAL_RESERVE)
        self._is_empty = trio.Event()
        self.draining = trio.Event()
        """Set when a stop has begun: event streams send their closing message."""

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port where it listens."""
        host, port, *_ = self._listener.socket.getsockname()
        return host, port

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._connections)

    def use_tls(self, tls: ssl.SSLContext | None) -> None:
        """Use ``tls`` for new connections."""
        self._tls = tls

    async def serve(self) -> None:
        """Accept until `drain`; return when the last connection has ended."""
        try:
            async with trio.open_nursery() as nursery:
                with self._accepting:
                    await trio.serve_listeners(self._accept, self._listeners, handler_nursery=nursery)
        finally:
            self._close_listeners()
            self._is_empty.set()

    async def drain(self) -> None:
        """Stop accepting, let requests under way finish and end event streams; after ``drain_timeout_s`` cut what is left."""
        self._accepting.cancel()
        self._close_listeners()
        self.draining.set()
        await self._context.terminated.set()
        for connection in tuple(self._connections):
            connection.drain()
        with trio.move_on_after(self._settings.drain_timeout_s):
            await self._is_empty.wait()
        for connection in tuple(self._connections):
            connection.cut()
        await self._is_empty.wait()

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.socket.close()

    async def _accept(self, stream: trio.SocketStream) -> None:
        try:
            with ExitStack() as held:
                refusal = self._refusal(stream, held)
                self._metrics.connection_counted("accepted" if refusal is None else "refused")
                if refusal is None:
                    await self._serve_one(stream, held)
            if refusal is not None:
                await self._refuse(stream, refusal)
        except* UnsupportedProtocol:
            self._metrics.connection_counted("refused")
        except* Exception as group:  # noqa: BLE001  # the boundary: one client's connection never ends the server
            self._metrics.connection_counted("crashed")
            self._on_failure(group)
        finally:
            stream.socket.close()

    def _refusal(self, stream: trio.SocketStream, held: ExitStack) -> bytes | None:
        """Return what to send instead of serving, or None when the connection has a slot, recorded in ``held``."""
        if _is_local(stream):
            return self._take_slot(held, "local", is_near=True, is_local=True)
        try:
            host: str = stream.socket.getpeername()[0]
        except OSError:
            return b""  # the client has left already
        if not self._peers.may_connect(host):
            return _PLAIN_TEXT_DENIED
        # A proxy and the programs on this machine act for many clients: the share of one address does not apply to
        # them.
        return self._take_slot(held, host, is_near=self._peers.is_near(host))

    def _take_slot(self, held: ExitStack, host: str, *, is_near: bool, is_local: bool = False) -> bytes | None:
        self._make_room()
        for slots in (self._slots, self._local_slots) if is_local else (self._slots,):
            with suppress(NoSlot):
                held.enter_context(slots.hold(host, is_admin=is_near))
                return None
        return _TOO_MANY_CONNECTIONS

    def _make_room(self) -> None:
        """When all slots are taken, end the connection that has been without a request for longest."""
        if len(self._connections) < self._settings.max_connections:
            return
        idle = [(each.idle_since, id(each), each) for each in self._connections if each.idle_since is not None]
        since, _, connection = min(idle, default=(math.inf, 0, None))
        if connection is not None and trio.current_time() - since >= IDLE_S:
            self._metrics.connection_counted("evicted")
            self._connections.pop(connection).close()
            connection.drain()

    async def _serve_one(self, accepted: trio.SocketStream, slot: ExitStack) -> None:
        connection = Connection(
            accepted,
            tls=None if _is_local(accepted) else self._tls,
            app=self._app,
            config=self._config,
            context=self._context,
            settings=self._settings,
            on_failure=self._on_failure,
        )
        self._connections[connection] = slot
        try:
            await connection.run()
        finally:
            self._connections.pop(connection, None)
            if connection.was_cut:
                self._metrics.connection_counted("cut")

    async def _refuse(self, stream: trio.SocketStream, refusal: bytes) -> None:
        with trio.move_on_after(_REFUSE_S):
            try:
                # In the clear even with TLS: there is no room for a handshake.
                await stream.send_all(refusal)
                await stream.send_eof()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass


def _is_local(stream: trio.SocketStream) -> bool:
    return stream.socket.family == socket.AF_UNIX


def _protocol_config(settings: HttpSettings) -> Config:
    config = Config()
    config.h11_max_incomplete_size = settings.max_header_bytes
    config.keep_alive_max_requests = _REQUESTS_PER_CONNECTION
    config.websocket_max_message_size = settings.websocket_frame_bytes
    config.websocket_ping_interval = settings.websocket_ping_interval_s
    config.include_server_header = False
    # hypercorn's access log writes the paths of requests as received; our log does not.
    config.accesslog = None
    config.errorlog = None
    return config


def _raw_answer(problem: Problem) -> bytes:
    body = encode(problem, instance="/")
    retry = "".join(f"{name}: {value}\r\n" for name, value in problem.all_headers().items())
    head = (
        f"HTTP/1.1 {problem.kind.status} {problem.kind.title}\r\n"
        f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
        f"{retry}connection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


_TOO_MANY_CONNECTIONS: Final = _raw_answer(Problem("too_many_connections"))
_PLAIN_TEXT_DENIED: Final = _raw_answer(
    Problem("access_denied", "without TLS only loopback and the proxies in http.trusted_proxies may connect")
)
