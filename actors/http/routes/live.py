"""Live events: one WebSocket for each subscriber, one JSON message for each event, resumable by ``after``.

A stream ends with a reason that tells how to go on: 1012 the daemon (or its event log) restarts, 1013 the reader was too slow or did not
read, 1008 the key was revoked, 1003 the client sent data. Replies to pings show whether a client reads, even when there is little to
send. A client that leaves no room for the closing frame is cut off by the connection's send timeout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack, aclosing
from typing import Final, final
from urllib.parse import parse_qs

import msgspec
import structlog
import trio

from actors.events.subscription import Subscription, SubscriptionClosed
from actors.http.access.audit import note_problem
from actors.http.access.auth import Authenticator, Principal, key_in
from actors.http.access.shared_slots import slot_for
from actors.http.model.problems import MEDIA_TYPE, Problem, encode, instance_of
from actors.http.routes.events import MAX_SEQ, chosen_types, visible_companies
from actors.http.services.backends import Backends
from actors.http.services.failures import problem_of
from actors.http.transport.answers import REFUSAL, whole_response
from actors.http.transport.tasks import AsgiReceive, AsgiScope, AsgiSend, Line
from actors.messages import Event, Subscribe
from actors.sharing import SharedSlots
from storage.errors import StorageUnavailable

PATH: Final = "/api/whatsapp/events"

MAX_PARAMETERS: Final = 200

RESTARTING: Final = 1012
TOO_SLOW: Final = 1013
POLICY: Final = 1008
UNSUPPORTED: Final = 1003


@final
class LiveEvents:
    """The ASGI application of all WebSockets."""

    def __init__(
        self, backends: Backends, authenticator: Authenticator, *, limit: int, silence_s: float = math.inf
    ) -> None:
        self._backends = backends
        self._authenticator = authenticator
        self.slots = SharedSlots(limit)
        self._silence_s = silence_s
        self._streams: set[Stream] = set()
        self._log = structlog.get_logger("wasup.http.live")

    async def __call__(self, scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
        await receive()  # websocket.connect
        with ExitStack() as held:
            await self._serve(held, scope, receive, send)

    async def _serve(self, held: ExitStack, scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
        try:
            principal = await self._principal(scope)
            scope["auth"] = principal
            wanted = _wanted(principal, scope)
            held.enter_context(slot_for(principal, self.slots, "too_many_subscribers", "event streams"))
            subscription: Subscription = await self._backends.events.ask(wanted, timeout=self._backends.waits.ask_s)
        except Exception as error:  # noqa: BLE001  # refusing a handshake is a response to a request
            problem = problem_of(error) or Problem("internal_error")
            if problem.kind.code == "internal_error":
                self._log.error("subscription_failed", error=type(error).__name__)
            note_problem(problem, scope, self._backends.audit)
            await _reject(problem, scope, send)
            return
        await self._follow(subscription, scope, receive, send)

    def close_all(self, why: str) -> None:
        """Ask every subscriber to reconnect: the daemon or its event log is stopping."""
        for stream in tuple(self._streams):
            stream.end(RESTARTING, why)

    @property
    def subscribers(self) -> int:
        """Number of open streams."""
        return len(self._streams)

    async def _principal(self, scope: AsgiScope) -> Principal:
        if scope["path"] != PATH:
            raise Problem("not_found")
        tickets = _query(scope).get("ticket")
        if tickets and key_in(scope["headers"]) is None:
            return await self._authenticator.redeem(tickets[-1], scope["client"])
        return await self._authenticator.authenticate(scope["headers"], scope["client"])

    async def _follow(self, subscription: Subscription, scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
        stream = Stream(subscription, receive, send)
        self._streams.add(stream)
        try:
            with self._authenticator.watching(scope["auth"], lambda: stream.end(POLICY, "key_revoked")):
                await stream.run(scope["line"], self._silence_s)
        finally:
            self._streams.discard(stream)
            subscription.close()
            reason = stream.reason or ("not_reading" if scope["line"].was_cut else None)
            if reason:
                self._backends.metrics.subscriber_dropped(reason)
                self._log.info("subscriber_dropped", reason=reason, key_id=scope["auth"].key_id)


@final
class Stream:
    """One subscriber, from the accepted handshake to the closing frame."""

    def __init__(self, subscription: Subscription, receive: AsgiReceive, send: AsgiSend) -> None:
        self._subscription = subscription
        self._receive = receive
        self._send = send
        self._waiting = trio.CancelScope()
        self._ending: tuple[int, str] | None = None
        self._last_seq: int | None = None

    @property
    def reason(self) -> str | None:
        """The word for why the server ended it; None while it is open or when the client left."""
        return None if self._ending is None else self._ending[1]

    def end(self, code: int, why: str) -> None:
        """Close with ``code`` once the current write is finished; the first reason stays."""
        if self._ending is None:
            self._ending = (code, why)
            # Only the wait for news is cancelled, never a write: half a frame would hide the reason.
            self._waiting.cancel()

    async def run(self, line: Line, silence_s: float) -> None:
        """Send events until either side ends it. A client not heard for ``silence_s`` replies to no pings, so it does not read."""
        await self._send({"type": "websocket.accept"})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen, nursery.cancel_scope)
            nursery.start_soon(self._watch, line, silence_s)
            await self._pump(line)
            if self._ending is not None:
                await self._close(*self._ending)
            nursery.cancel_scope.cancel()

    async def _pump(self, line: Line) -> None:
        async with aclosing(self._subscription):
            while events := await self._next():
                await self._send_together(events, line)

    async def _send_together(self, events: Sequence[Event], line: Line) -> None:
        """Send in as few writes as possible: a write costs more than all other work for a frame."""
        try:
            for event in events:
                if self._ending is not None:
                    return
                line.more_follows = event is not events[-1]
                await self._send({"type": "websocket.send", "text": msgspec.json.encode(event).decode()})
                self._last_seq = event.seq
        finally:
            line.more_follows = False

    async def _next(self) -> Sequence[Event]:
        """Return the next events, none when the stream is to end."""
        if self._ending is not None:
            return ()
        try:
            with trio.CancelScope() as self._waiting:
                return await self._subscription.batch()
        except SubscriptionClosed as closed:
            self._last_seq = closed.last_seq
            self.end(RESTARTING if closed.reason == "restarting" else TOO_SLOW, closed.reason)
        except StorageUnavailable:
            self.end(TOO_SLOW, "storage_unavailable")
        return ()

    async def _listen(self, everything: trio.CancelScope) -> None:
        while (await self._receive())["type"] != "websocket.disconnect":
            self.end(UNSUPPORTED, "this stream takes no messages")
        everything.cancel()

    async def _watch(self, line: Line, silence_s: float) -> None:
        while (silence_ends := line.heard_at + silence_s) > trio.current_time():
            await trio.sleep_until(silence_ends)
        self.end(TOO_SLOW, "not_reading")

    async def _close(self, code: int, why: str) -> None:
        reason = why if self._last_seq is None else f"{why}; resume with after={self._last_seq}"
        await self._send({"type": "websocket.close", "code": code, "reason": reason})


async def _reject(problem: Problem, scope: AsgiScope, send: AsgiSend) -> None:
    """Refuse the handshake with a plain HTTP problem."""
    headers = {"connection": "close", **problem.all_headers()}
    body = encode(problem, instance_of(problem, scope))
    for event in whole_response(problem.kind.status, MEDIA_TYPE, body, headers, kind=REFUSAL):
        await send(event)


def _wanted(principal: Principal, scope: AsgiScope) -> Subscribe:
    query = _query(scope)
    return Subscribe(
        after=_after(query.get("after")),
        company_ids=visible_companies(principal, query.get("companyId", ())),
        types=chosen_types(query.get("type", ())),
        reader=principal.key_id,
    )


def _query(scope: AsgiScope) -> dict[str, list[str]]:
    try:
        return parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=MAX_PARAMETERS)
    except ValueError as error:
        raise Problem("invalid_request", f"at most {MAX_PARAMETERS} parameters") from error


def _after(values: list[str] | None) -> int | None:
    """Return the event to continue after; None: begin with the next new event."""
    if not values:
        return None
    text = values[-1]
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= MAX_SEQ):
        raise Problem("invalid_request", f"after: a whole number from 0 to {MAX_SEQ} was expected")
    return int(text)
