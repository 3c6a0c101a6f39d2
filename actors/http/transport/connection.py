"""One accepted connection: hypercorn's HTTP/1.1 and WebSocket protocol on a transport of our own.

The protocol (parsing, framing, ASGI events) is hypercorn's. Its transport is not used, because one client could do too much harm: its
writes are shielded from cancellation and have no deadline, a handler that has not read its whole body can keep a connection for ever,
and any unexpected exception ends the server. Here every write has a deadline, a failed write ends the connection, and all tasks of the
connection are in one scope that can be cancelled at any time.
"""

from __future__ import annotations

import math
import re
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final, final

import h11
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WSStream
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState as LifespanState
from hypercorn.typing import H11SendableEvent
from wsproto.connection import ConnectionState

from actors.http.transport.tasks import AppTasks, AsgiApp, Line
from config.sections import HttpSettings

_RECEIVE_BYTES: Final = 64 * 1024
_WRITE_BYTES: Final = 64 * 1024
"""The peer must make room for this much within the send timeout."""
_LINGER_S: Final = 1.0
"""After the last response, bytes from the client are read and dropped for this long, so that the client can still read the response."""
_LINGER_BYTES: Final = 1024 * 1024
_LEAVE_S: Final = 5.0
"""How long a handler may take to finish after its client has left."""
LOCAL: Final = "local"
"""The address of clients on the daemon's Unix socket."""
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


_ABSOLUTE: Final = re.compile(rb"https?://[^/?#]*(?P<rest>.*)", re.IGNORECASE)
"""A target in absolute form, as clients of a proxy write it. Every server must accept it (RFC 9112, 3.2.2)."""


class UnsupportedProtocol(Exception):
    """The client does not speak HTTP/1.0 or 1.1, or its request is ambiguous."""


@final
class Http11(H11Protocol):
    """HTTP/1.x only. HTTP/2 is left to a reverse proxy: its flow control would be one more way for a client to hold a handler.

    The head of a response is sent together with the beginning of its body: one write and one packet instead of two.
    """

    _head = b""
    _is_websocket = False

    async def _check_protocol(self, event: h11.Request) -> None:
        # An `Upgrade: h2c` is ignored, as RFC 9110 allows; a prior-knowledge preface is refused.
        if event.http_version not in {b"1.0", b"1.1"}:
            await self._send_error_response(505)
            raise UnsupportedProtocol
        # Names of methods are case-sensitive (RFC 9110, 9.1); hypercorn would take `get` for GET.
        if event.method != event.method.upper():
            await self._send_error_response(501)
            raise UnsupportedProtocol
        # A proxy may read one length and a server the other: a part of this request becomes the next (RFC 9112, 6.1).
        if {b"content-length", b"transfer-encoding"} <= {name for name, _ in event.headers}:
            await self._send_error_response(400)
            raise UnsupportedProtocol

    async def _create_stream(self, request: h11.Request) -> None:
        found = _ABSOLUTE.fullmatch(request.target)
        if found is not None:
            rest: bytes = found["rest"]
            request = h11.Request(
                method=request.method,
                target=rest if rest.startswith(b"/") else b"/" + rest,
                headers=request.headers.raw_items(),
                http_version=request.http_version,
            )
        await super()._create_stream(request)
        # If a WebSocket client sends before it was accepted, both hypercorn and the application refuse it, unaware of
        # each other.
        self._is_websocket = isinstance(self.stream, WSStream)

    async def _send_h11_event(self, event: H11SendableEvent) -> None:
        # A response to a request that has not arrived in full is the last one on this connection. Say so, or the client
        # loses what it sends next.
        if isinstance(event, h11.Response) and self._is_body_missing():
            event = h11.Response(status_code=event.status_code, headers=[*event.headers, (b"connection", b"close")])
        try:
            data = self.connection.send(event)
        except h11.LocalProtocolError:
            if self.connection.their_state != h11.ERROR and not self._is_websocket:
                raise
            return
        data, self._head = self._head + (data or b""), b""
        if isinstance(event, h11.Response) and _announces_body(event):
            self._head = data
        elif data:
            await self.send(RawData(data=data))

    def _is_body_missing(self) -> bool:
        return isinstance(self.connection, h11.Connection) and self.connection.their_state is h11.SEND_BODY


@final
class Connection:
    """Serves one client until either side ends it."""

    def __init__(
        self,
        accepted: trio.SocketStream,
        *,
        tls: ssl.SSLContext | None,
        app: AsgiApp,
        config: Config,
        context: WorkerContext,
        settings: HttpSettings,
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._socket = accepted.socket
        self._stream = (
            accepted if tls is None else trio.SSLStream(accepted, tls, server_side=True, https_compatible=True)
        )
        self._settings = settings
        self._write_lock = trio.Lock()
        self._held = b""
        self._reading = trio.CancelScope(deadline=trio.current_time() + settings.read_timeout_s)
        self._is_between_requests = False
        self.idle_since: float | None = trio.current_time()
        """Since when it has waited for the first byte of a request, by trio's clock. None while a request arrives or is handled."""
        self._is_closing = False
        self._answered = trio.Event()
        self._answered.set()
        self._scope = trio.CancelScope()
        self._line = Line(heard_at=trio.current_time())
        self._tasks = AppTasks(on_failure, self._line)
        self._protocol = Http11(
            app,  # type: ignore[arg-type]  # AppTasks, not hypercorn, calls it: a plain ASGI application
            config,
            context,
            self._tasks,  # type: ignore[arg-type]  # the two methods that the protocol uses
            LifespanState({}),
            tls is not None,
            _address(accepted.socket.getpeername()),
            _address(accepted.socket.getsockname()),
            self._send,
        )

    @property
    def was_cut(self) -> bool:
        """Whether the server ended it: the client was too slow, or still busy at the drain's deadline."""
        return self._line.was_cut

    async def run(self) -> None:
        """Serve until the connection ends. Close the socket, then raise any unexpected exception."""
        try:
            with self._scope:
                async with self._tasks.open():
                    if await self._shake_hands():
                        await self._read_until_end()
                    # A handler whose client has left gets a little time, then it is cancelled.
                    self._scope.deadline = min(self._scope.deadline, trio.current_time() + _LEAVE_S)
        finally:
            self._socket.close()

    def drain(self) -> None:
        """Take no further request; end now if no request is being handled."""
        if self._answered.is_set():
            self._scope.cancel()

    def cut(self) -> None:
        """End now, whatever is under way. Data that the client has not received yet is dropped."""
        self._line.was_cut = True
        self._scope.cancel()
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._socket.close()

    async def _shake_hands(self) -> bool:
        """Return whether the connection can be used: without TLS always."""
        if isinstance(self._stream, trio.SocketStream):
            return True
        try:
            with trio.fail_after(self._settings.read_timeout_s):
                await self._stream.do_handshake()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            return False
        self._reading.deadline = trio.current_time() + self._settings.read_timeout_s
        return True

    async def _read_until_end(self) -> None:
        left = _LINGER_BYTES
        while left > 0:
            data = await self._receive()
            if data is None:
                break
            self._line.heard_at = trio.current_time()
            if self._is_closing:
                left -= len(data)
            else:
                self._note_first_byte()
                await self._protocol.handle(RawData(data))
                if self._is_given_up():
                    await self._finish()
                    await self._tasks.tell_gone()
            if not data:
                await self._wait_answered()
                break
        await self._protocol.handle(Closed())
        await self._tasks.tell_gone()

    async def _receive(self) -> bytes | None:
        """Return the next bytes, b"" at the end, or None when the connection broke or the time to read is over."""
        with trio.CancelScope(deadline=self._reading.deadline) as self._reading:
            try:
                return bytes(await self._stream.receive_some(_RECEIVE_BYTES))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return None
        return None

    def _note_first_byte(self) -> None:
        # Waiting for a request may take long, sending one may not: a header that arrives too slowly is cut off.
        self.idle_since = None
        if self._is_between_requests:
            self._is_between_requests = False
            self._reading.deadline = trio.current_time() + self._settings.read_timeout_s

    def _is_given_up(self) -> bool:
        # hypercorn refuses a WebSocket that sends before it was accepted, or too much at once. It does not notify the
        # application and keeps listening.
        stream = self._protocol.stream
        if not isinstance(stream, WSStream):
            return False
        if stream.state is ASGIWebsocketState.CONNECTED:
            return stream.connection.state is not ConnectionState.OPEN
        return stream.closed

    async def _wait_answered(self) -> None:
        # A client may close its sending side and wait for the response. A WebSocket without a closing frame has left.
        if not isinstance(self._protocol.stream, WSStream):
            await self._answered.wait()

    async def _send(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self._write(event.data)
        elif isinstance(event, Closed):
            await self._finish()
        elif isinstance(event, Updated):
            self._mark_idle(event.idle)

    def _mark_idle(self, is_idle: bool) -> None:
        if is_idle:
            self._answered.set()
            self._is_between_requests = True
            self.idle_since = trio.current_time()
            self._reading.deadline = trio.current_time() + self._settings.keep_alive_timeout_s
        else:
            self._answered = trio.Event()
            # From here the handler's own deadlines count.
            self._reading.deadline = math.inf

    async def _write(self, data: bytes) -> None:
        try:
            self._write_lock.acquire_nowait()  # acquire() would cost a turn of the loop even when the lock is free
        except trio.WouldBlock:
            await self._write_lock.acquire()
        try:
            await self._write_alone(data)
        finally:
            self._write_lock.release()

    async def _write_alone(self, data: bytes) -> None:
        data, self._held = self._held + data, b""
        if self._line.more_follows and len(data) < _WRITE_BYTES:
            self._held = data
            return
        view = memoryview(data)
        for start in range(0, len(view), _WRITE_BYTES):
            await self._write_piece(view[start : start + _WRITE_BYTES])

    async def _write_piece(self, piece: memoryview) -> None:
        limit = trio.CancelScope(deadline=trio.current_time() + self._settings.websocket_send_timeout_s)
        try:
            with limit:
                await self._stream.send_all(piece)
            if limit.cancelled_caught:
                self.cut()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._scope.cancel()
        except trio.Cancelled:
            # Half of a write may have been sent: the client could not parse anything after it.
            self._scope.cancel()
            raise
        # If the connection was given up just now, this ends the handler that wanted to write.
        await trio.lowlevel.checkpoint_if_cancelled()

    async def _finish(self) -> None:
        """After the last response: close the sending side, and give the client a moment to read."""
        self._is_closing = True
        self._answered.set()
        self._scope.deadline = trio.current_time() + _LINGER_S
        try:
            if isinstance(self._stream, trio.SocketStream):  # TLS cannot close one direction
                async with self._write_lock:  # a ping may be on its way
                    await self._stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._scope.cancel()
        await self._protocol.handle(Closed())


def _announces_body(head: h11.Response) -> bool:
    """Return whether a body of known length follows at once. The head of an event stream must not wait for the first event."""
    return any(name == b"content-length" and value != b"0" for name, value in head.headers)


def _address(name: tuple[str, int] | tuple[str, int, int, int] | str | bytes) -> tuple[str, int]:
    """Return host and port; for a Unix socket, which has neither, a word that is no address."""
    return (LOCAL, 0) if isinstance(name, str | bytes) else (name[0], name[1])
