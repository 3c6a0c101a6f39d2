"""Live events for the command line: a WebSocket that, when it breaks, is opened again at the next event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, final
from urllib.parse import urlencode, urlsplit

import msgspec
import trio
import trio_websocket
from trio_websocket import ConnectionClosed, ConnectionRejected, HandshakeError

from actors.cli.client import Daemon, refused, too_slow, unreachable
from actors.cli.loop import leaves
from actors.cli.outcome import CommandError, Exit
from config.json_text import read_json

EVENTS_PATH: Final = "/api/whatsapp/events"
CONNECT_S: Final = 10.0
PATIENCE_S: Final = 60.0
"""How long to wait for a daemon that went away."""

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]

_PAUSE_S: Final = 1.0
_RESTARTING: Final = frozenset({1001, 1006, 1012, 1013})
_MAX_EVENT_BYTES: Final = 1024 * 1024


class Event(msgspec.Struct, frozen=True, rename="camel"):
    """An event as it arrives."""

    seq: int
    type: str
    company_id: str
    timestamp: float
    payload: dict[str, Any]


@final
@dataclass(slots=True, kw_only=True)
class Following:
    """What to follow, and how far it has come."""

    companies: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    after: int | None = None
    """The number of the last event seen; None: only events from now on."""


async def follow(
    daemon: Daemon,
    following: Following,
    handle: Callable[[Event, bytes], Awaitable[bool]],
    *,
    on_open: Callable[[], Awaitable[bool]] | None = None,
) -> None:
    """Give every event (and its JSON) to ``handle`` until it returns True.

    ``on_open`` runs each time the stream has opened, so that no later event is missed; it may end the following by returning True, and a
    refusal in it raises. A stream that the daemon ends because it restarts is resumed. Raises CommandError when the daemon refuses, or is
    gone for `PATIENCE_S`.
    """
    lost_at: float | None = None
    has_opened = False
    final: list[CommandError] = []
    """An error decided here or by the daemon: opening the stream again would only repeat it each second."""

    async def opened() -> bool:
        nonlocal has_opened, lost_at
        try:
            is_done = on_open is not None and await on_open()
        except CommandError as error:
            if error.problem is not None:
                final.append(error)
            raise
        has_opened, lost_at = True, None
        return is_done

    async def handled(event: Event, data: bytes) -> bool:
        try:
            return await handle(event, data)
        except CommandError as error:
            final.append(error)
            raise

    while True:
        try:
            if await _follow_once(daemon, following, handled, opened):
                return
        except CommandError as error:
            is_passing = error.code in {Exit.NO_DAEMON, Exit.TRY_LATER}
            if error in final or not has_opened or not is_passing or _is_lost(lost_at):
                raise
        lost_at = trio.current_time() if lost_at is None else lost_at
        await trio.sleep(_PAUSE_S)


def _is_lost(lost_at: float | None) -> bool:
    return lost_at is not None and trio.current_time() - lost_at > PATIENCE_S


async def _follow_once(
    daemon: Daemon,
    following: Following,
    handle: Callable[[Event, bytes], Awaitable[bool]],
    on_open: Callable[[], Awaitable[bool]],
) -> bool:
    is_done = False
    stream = await _open_stream(daemon)
    try:
        async with trio.open_nursery() as nursery:
            socket = await _shake_hands(nursery, stream, daemon, following)
            is_done = await on_open() or await _read(socket, following, handle)
            nursery.cancel_scope.cancel()
    except ExceptionGroup as group:
        raise _failure(daemon, group) from group
    finally:
        await trio.aclose_forcefully(stream)
    return is_done


def _failure(daemon: Daemon, group: ExceptionGroup[Exception]) -> Exception:
    """Return the error that says most: first one decided here, then the daemon's refusal, then the connection's failure."""
    for leaf in leaves(group):
        match leaf:
            case CommandError():
                return leaf
            case ConnectionRejected():
                return refused(leaf.status_code, leaf.body or b"", daemon.url)
            case HandshakeError() | ConnectionClosed() | OSError() | trio.BrokenResourceError():
                return unreachable(daemon.url, leaf)
            case _:
                pass
    return group


async def _open_stream(daemon: Daemon) -> Stream:
    parts = urlsplit(daemon.url)
    assert parts.hostname is not None
    try:
        with trio.fail_after(CONNECT_S):
            if daemon.socket is not None:
                return await trio.open_unix_socket(str(daemon.socket))
            stream = await trio.open_tcp_stream(parts.hostname, parts.port or (443 if daemon.tls else 80))
            if daemon.tls is None:
                return stream
            secured = trio.SSLStream(stream, daemon.tls, server_hostname=parts.hostname)
            await secured.do_handshake()
            return secured
    except (OSError, trio.BrokenResourceError) as error:
        raise unreachable(daemon.url, error) from error
    except trio.TooSlowError:
        raise too_slow(daemon.url) from None


async def _shake_hands(
    nursery: trio.Nursery, stream: Stream, daemon: Daemon, following: Following
) -> trio_websocket.WebSocketConnection:
    try:
        with trio.fail_after(CONNECT_S):
            return await trio_websocket.wrap_client_stream(
                nursery,
                stream,
                urlsplit(daemon.url).netloc,
                _resource(following),
                extra_headers=[(name.encode(), value.encode()) for name, value in daemon.headers.items()],
                max_message_size=_MAX_EVENT_BYTES,
            )
    except trio.TooSlowError:
        raise too_slow(daemon.url) from None


def _resource(following: Following) -> str:
    query: list[tuple[str, str | int]] = [("companyId", company) for company in following.companies]
    query += [("type", type_) for type_ in following.types]
    if following.after is not None:
        query.append(("after", following.after))
    return f"{EVENTS_PATH}?{urlencode(query)}"


async def _read(
    socket: trio_websocket.WebSocketConnection,
    following: Following,
    handle: Callable[[Event, bytes], Awaitable[bool]],
) -> bool:
    while True:
        try:
            text = await socket.get_message()
        except ConnectionClosed as closed:
            if closed.reason is None or closed.reason.code in _RESTARTING:
                return False
            raise CommandError(
                Exit.FAILED, f"the daemon ended the stream of events: {closed.reason.reason or closed.reason.code}"
            ) from None
        data = text.encode() if isinstance(text, str) else text
        event = read_json(data, Event)
        following.after = event.seq
        if await handle(event, data):
            return True
