"""One accepted connection: hypercorn's HTTP/1.1 and WebSocket protocol on a transport of our own.

The protocol (parsing, framing, ASGI events) is hypercorn's. Its transport is not used, for what one client could do to it:
writes there are shielded from cancellation without a deadline, a handler that has not read its whole body can keep a connection
for ever, and any unexpected exception ends the server. Here every write has a deadline, a failed one ends the connection, and the
connection's tasks are all in one scope that can be cancelled at any time.
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
"""How long what a client still sends is read and thrown away after the last answer, so that it gets to see that answer."""
_LINGER_BYTES: Final = 1024 * 1024
_LEAVE_S: Final = 5.0
"""What a handler may take to finish once its client is gone."""
LOCAL: Final = "local"
"""The address of clients on the daemon's Unix socket."""
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


_ABSOLUTE: Final = re.compile(rb"https?://[^/?#]*(?P<rest>.*)", re.IGNORECASE)
"""A target as clients of a proxy write it (RFC 9112, 3.2.2), which every server has to take."""


class UnsupportedProtocol(Exception):
    """The client speaks something other than HTTP/1.0 or 1.1, or in a way that two readers could read differently."""


@final
class Http11(H11Protocol):
    """HTTP/1.x only. HTTP/2 is a reverse proxy's business: here its flow control would be one more way to hold a handler.

    The head of an answer that has a body goes out together with the body's beginning: one write, and one packet, instead of two.
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
        # Whoever goes by the one length where a proxy went by the other takes a part of this request for the next (RFC 9112, 6.1).
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
        # One that speaks before it was accepted is refused by hypercorn and by the application, which do not know of each other.
        self._is_websocket = isinstance(self.stream, WSStream)

    async def _send_h11_event(self, event: H11SendableEvent) -> None:
        # An answer to a request that is not here in full yet is the connection's last: a client that is not told loses what it sends next.
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
        """Since when it has been waiting for the first byte of a request, by trio's clock; None: one is on its way or in hand."""
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
        """Whether we ended it: too slow, or still busy at the drain's deadline."""
        return self._line.was_cut

    async def run(self) -> None:
        """Serve until the connection is over. Raises what an unexpected fault raised, after closing the socket."""
        try:
            with self._scope:
                async with self._tasks.open():
                    if await self._shake_hands():
                        await self._read_until_end()
                    # A handler whose client is gone gets a little time; then it is cancelled.
                    self._scope.deadline = min(self._scope.deadline, trio.current_time() + _LEAVE_S)
        finally:
            self._socket.close()

    def drain(self) -> None:
        """Take no further request; end now when none is in hand."""
        if self._answered.is_set():
            self._scope.cancel()

    def cut(self) -> None:
        """End now, whatever is under way; what the client has not taken yet is thrown away."""
        self._line.was_cut = True
        self._scope.cancel()
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._socket.close()

    async def _shake_hands(self) -> bool:
        """Whether a conversation can begin: always without TLS."""
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
        """The next bytes, b"" at the end, None when the connection broke or the time to read is over."""
        with trio.CancelScope(deadline=self._reading.deadline) as self._reading:
            try:
                return bytes(await self._stream.receive_some(_RECEIVE_BYTES))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return None
        return None

    def _note_first_byte(self) -> None:
        # Waiting for a request may take long, sending one may not: a header that trickles in is cut off.
        self.idle_since = None
        if self._is_between_requests:
            self._is_between_requests = False
            self._reading.deadline = trio.current_time() + self._settings.read_timeout_s

    def _is_given_up(self) -> bool:
        # hypercorn refuses a WebSocket that sends before it was accepted or too much at once, tells the application nothing and
        # goes on listening.
        stream = self._protocol.stream
        if not isinstance(stream, WSStream):
            return False
        if stream.state is ASGIWebsocketState.CONNECTED:
            return stream.connection.state is not ConnectionState.OPEN
        return stream.closed

    async def _wait_answered(self) -> None:
        # A client may close its sending side and wait for the answer; a WebSocket without a closing frame is just gone.
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
            self._write_lock.acquire_nowait()  # the other way takes a turn of the loop, also when nobody holds it
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
            # Half a piece may be out: nothing that follows could be understood.
            self._scope.cancel()
            raise
        # Where the connection was given up just now, this ends the handler that wanted to write.
        await trio.lowlevel.checkpoint_if_cancelled()

    async def _finish(self) -> None:
        """The last answer is out: say so, and give the client a moment to have read it."""
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
    """Whether a body of known length follows, and so at once; an event stream's head must not wait for the first event."""
    return any(name == b"content-length" and value != b"0" for name, value in head.headers)


def _address(name: tuple[str, int] | tuple[str, int, int, int] | str | bytes) -> tuple[str, int]:
    """Host and port; of a Unix socket, which has neither, a word that is no address."""
    return (LOCAL, 0) if isinstance(name, str | bytes) else (name[0], name[1])
