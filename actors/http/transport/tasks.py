"""The ASGI application's side of a connection: the task it runs in, and the events it receives."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, final

import trio

AsgiEvent = MutableMapping[str, Any]
AsgiScope = MutableMapping[str, Any]
AsgiReceive = Callable[[], Awaitable[AsgiEvent]]
AsgiSend = Callable[[AsgiEvent], Awaitable[None]]
AsgiApp = Callable[[AsgiScope, AsgiReceive, AsgiSend], Awaitable[None]]

_QUEUE_LENGTH: Final = 10
_DISCONNECT_OF: Final[Mapping[str, AsgiEvent]] = {
    "http": {"type": "http.disconnect"},
    "websocket": {"type": "websocket.disconnect", "code": 1006},
}
_DISCONNECTS: Final = frozenset({"http.disconnect", "websocket.disconnect"})


@final
@dataclass(slots=True)
class Line:
    """The state of a connection to a client; applications find it in their scope as ``line``."""

    heard_at: float
    """When the client was last heard, by trio's clock."""
    was_cut: bool = False
    """Whether the server ended the connection: the client took no data for too long, or was still busy at the drain's deadline."""
    more_follows: bool = False
    """Set by an application: what it sends now may wait for what it sends next, so that both go out in one write."""


@final
class Inbox:
    """Queue of events from a connection to its application. Bounded: the reader waits while it is full.

    A disconnect never waits, because the task that reports it may be the one that would have to make room. When the application has
    finished, all events are dropped.
    """

    def __init__(self) -> None:
        self._events: deque[AsgiEvent] = deque()
        self._farewell: AsgiEvent | None = None
        self._is_done = False
        self._changed = trio.lowlevel.ParkingLot()

    async def put(self, event: AsgiEvent) -> None:
        """Enqueue ``event``; wait for room unless it is a disconnect."""
        if event["type"] in _DISCONNECTS:
            self._farewell = event
        else:
            while len(self._events) >= _QUEUE_LENGTH and not self._is_done:
                await self._changed.park()
            self._events.append(event)
        self._changed.unpark_all()

    async def receive(self) -> AsgiEvent:
        """Return the next event; after the last one return the disconnect at every call."""
        while not self._events and self._farewell is None:
            await self._changed.park()
        self._changed.unpark_all()
        if self._events:
            # Events are few, and more arrive only while another task runs: so it need not yield before each.
            await trio.lowlevel.checkpoint_if_cancelled()
            return self._events.popleft()
        await trio.lowlevel.checkpoint()
        assert self._farewell is not None
        return self._farewell

    def finish(self) -> None:
        """Drop all further events: the application will not receive any more."""
        self._is_done = True
        self._events.clear()
        self._changed.unpark_all()


@final
class AppTasks:
    """Takes the place of hypercorn's task group: runs applications and the protocol's own small tasks."""

    def __init__(self, on_failure: Callable[[Exception], None], line: Line | None = None) -> None:
        self._on_failure = on_failure
        self._line = line or Line(heard_at=trio.current_time())
        self._inboxes: dict[Inbox, AsgiEvent] = {}
        self._apps: trio.Nursery | None = None
        self._background: trio.Nursery | None = None

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None, None]:
        """Run all spawned tasks in this block. Leaving it waits for the applications and ends the protocol's tasks."""
        async with trio.open_nursery() as self._background:
            async with trio.open_nursery() as self._apps:
                yield
            self._background.cancel_scope.cancel()

    async def spawn_app(
        self, app: AsgiApp, _config: object, scope: AsgiScope, send: Callable[[AsgiEvent | None], Awaitable[None]]
    ) -> Callable[[AsgiEvent], Awaitable[None]]:
        """Run ``app`` for one request or WebSocket. Return the function to which the protocol passes its incoming events."""
        inbox = Inbox()
        scope["line"] = self._line
        self._inboxes[inbox] = _DISCONNECT_OF[scope["type"]]
        assert self._apps is not None
        self._apps.start_soon(self._run, app, scope, inbox, send)
        return inbox.put

    async def tell_gone(self) -> None:
        """Send a disconnect event to every application that has not received one from the protocol."""
        for inbox, disconnect in tuple(self._inboxes.items()):
            await inbox.put(disconnect)

    def spawn(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        """Run one of the protocol's own loops (WebSocket pings)."""
        assert self._background is not None
        self._background.start_soon(function, *args)

    async def _run(
        self, app: AsgiApp, scope: AsgiScope, inbox: Inbox, send: Callable[[AsgiEvent | None], Awaitable[None]]
    ) -> None:
        async def send_with_checkpoint(event: AsgiEvent) -> None:
            # hypercorn's `send` returns at once when the client has left: a loop that only sends would never yield
            # (test_an_application_that_only_sends_lets_others_run). The head and the end of a response are no loop.
            if event["type"] == "websocket.send" or event.get("more_body", False):
                await trio.lowlevel.checkpoint()
            await send(event)

        try:
            await app(scope, inbox.receive, send_with_checkpoint)
        except Exception as error:  # noqa: BLE001  # the last boundary of a request: a failure must not end other requests
            self._on_failure(error)
        finally:
            inbox.finish()
            del self._inboxes[inbox]
        await send(None)
