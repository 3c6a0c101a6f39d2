"""The dashboard's stream: server-sent events in a plain HTTP response, opened with a key in the Authorization header.

`hello` comes first; then `facts`, `tree` and `sessions` as differences to what was sent before, and every event of the log as `event`
with its ``seq`` as the message's id. A page that reconnects sends that id as `Last-Event-ID` and misses no event. `bye` tells why a
stream ends.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any, Final, Protocol, final

import msgspec
import structlog
import trio

from actors.daemon.metrics import VERSION
from actors.events.subscription import Subscription, SubscriptionClosed
from actors.http.access.auth import Authenticator, Principal
from actors.http.access.shared_slots import slot_for
from actors.http.dashboard.model import DashboardModel
from actors.http.dashboard.table import Chooser, Difference, Table, View, of_companies
from actors.http.model.problems import Problem
from actors.http.routes.events import MAX_SEQ
from actors.http.services.backends import Backends
from actors.http.services.failures import problem_of
from actors.http.transport.tasks import AsgiEvent, AsgiReceive, AsgiScope
from actors.messages import Event, ReadEvents, Refused, Subscribe
from actors.sharing import SharedSlots
from storage.errors import StorageUnavailable
from supervisor.errors import SupervisorError

PATH: Final = "/dashboard/stream"
LATEST: Final = 50
"""Number of past events that a new page is shown."""
HEARTBEAT_S: Final = 5.0
"""A page that receives nothing for much longer takes its connection for lost. The write also detects pages that are gone."""
ROWS_AT_ONCE: Final = 200
WAITING_EVENTS: Final = 200
"""Events that are read for a page and not sent yet; beyond them the subscription's own bound applies."""
AGAIN_S: Final = 2.0
_HEADERS: Final = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no"))


class Answering(Protocol):
    """Sends a response (`actors.http.front.Answer`)."""

    async def send(self, event: AsgiEvent) -> None: ...

    async def tell(self, problem: Problem, scope: AsgiScope) -> None: ...


@final
class DashboardStreams:
    """Serves `PATH`. At most ``limit`` streams are open."""

    def __init__(self, model: DashboardModel, backends: Backends, authenticator: Authenticator, *, limit: int) -> None:
        self._model = model
        self._backends = backends
        self._authenticator = authenticator
        self.slots = SharedSlots(limit)
        self._streams: set[Stream] = set()
        self._log = structlog.get_logger("wasup.http.dashboard")

    def serves(self, scope: AsgiScope) -> bool:
        """Return whether this request is for a stream."""
        return bool(scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "GET")

    async def serve(self, scope: AsgiScope, receive: AsgiReceive, answer: Answering) -> None:
        """Serve one request for as long as the page is open."""
        with ExitStack() as held:
            await self._serve(held, scope, receive, answer)

    async def _serve(self, held: ExitStack, scope: AsgiScope, receive: AsgiReceive, answer: Answering) -> None:
        try:
            stream = await self._open(held, scope, receive, answer)
        except Exception as error:  # noqa: BLE001  # the boundary of a request, as for every other one
            problem = problem_of(error) or Problem("internal_error")
            if problem.kind.code == "internal_error":
                self._log.error("stream_not_opened", error=type(error).__name__)
            await answer.tell(problem, scope)
            return
        try:
            with self._authenticator.watching(stream.principal, lambda: stream.end("key_revoked")):
                async with self._model.watched():
                    await stream.run()
        finally:
            self._streams.discard(stream)

    def close_all(self, why: str) -> None:
        """Ask every page to reconnect: the HTTP side is stopping."""
        for stream in tuple(self._streams):
            stream.end(why)

    def follow_again(self) -> None:
        """Follow the new event log: the old one was restarted."""
        for stream in tuple(self._streams):
            stream.follow_again()

    @property
    def open(self) -> int:
        """Number of open streams."""
        return len(self._streams)

    async def _open(self, held: ExitStack, scope: AsgiScope, receive: AsgiReceive, answer: Answering) -> Stream:
        principal = await self._authenticator.authenticate(scope["headers"], scope["client"])
        after = _last_event_id(scope["headers"])
        held.enter_context(slot_for(principal, self.slots, "too_many_subscribers", "open dashboards"))
        stream = Stream(self._model, self._backends, principal, after, receive, answer)
        self._streams.add(stream)
        return stream


@final
class Stream:
    """One open page."""

    def __init__(
        self,
        model: DashboardModel,
        backends: Backends,
        principal: Principal,
        after: int | None,
        receive: AsgiReceive,
        answer: Answering,
    ) -> None:
        self._model = model
        self.principal = principal
        self._receive = receive
        self._answer = answer
        self._events = EventFeed(backends, principal, after, self._wake_up)
        self._tree, self._sessions = View(), View()
        self._facts: object = None
        self._ending: str | None = None
        self._wake = trio.Event()

    def end(self, why: str) -> None:
        """Send `bye` once the current write is finished; the first reason stays."""
        self._ending = self._ending or why
        self._wake_up()

    def follow_again(self) -> None:
        """Subscribe to the events anew, after the last one that was read."""
        self._events.follow_again()

    async def run(self) -> None:
        """Send what is new until either side ends it."""
        await self._answer.send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen, nursery.cancel_scope)
            nursery.start_soon(self._watch_board)
            nursery.start_soon(self._events.run)
            await self._pump()
            nursery.cancel_scope.cancel()

    async def _pump(self) -> None:
        """Write all output; only this task writes. It is never cancelled to end it: half a message would hide the reason."""
        hello = {
            "version": VERSION,
            "now": round(time.time(), 3),
            "admin": self.principal.is_admin,
            "companies": self._companies(),
        }
        await self._send([message("hello", hello)])
        while self._ending is None:
            self._wake = trio.Event()
            for part in self._news():
                await self._send(part)
            await self._wait_for_news()
        await self._send([message("bye", {"reason": self._ending})])
        await self._answer.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _wait_for_news(self) -> None:
        while not self._wake.is_set():
            with trio.move_on_after(HEARTBEAT_S):
                await self._wake.wait()
                return
            await self._send([b":\n\n"])

    def _companies(self) -> list[str] | None:
        companies = self.principal.companies
        return None if companies is None else sorted(companies)

    def _news(self) -> Iterable[list[bytes]]:
        """Yield what the page does not have yet, in parts of bounded size."""
        yield self._events.take()
        if self.principal.is_admin:
            if self._model.facts is not None and self._model.facts is not self._facts:
                self._facts = self._model.facts
                yield [message("facts", self._facts)]
            yield from _parts("tree", self._model.tree, self._tree, None)
        yield from _parts("sessions", self._model.sessions, self._sessions, of_companies(self.principal.companies))

    async def _send(self, messages: Sequence[bytes]) -> None:
        if messages:
            await self._answer.send({"type": "http.response.body", "body": b"".join(messages), "more_body": True})

    def _wake_up(self) -> None:
        self._wake.set()

    async def _listen(self, everything: trio.CancelScope) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        everything.cancel()

    async def _watch_board(self) -> None:
        while True:
            await self._model.changed()
            self._wake_up()


@final
class EventFeed:
    """Reads the event log for a page. While the log is unavailable (Postgres is away), the rest of the page goes on."""

    def __init__(self, backends: Backends, principal: Principal, after: int | None, wake: Callable[[], None]) -> None:
        self._backends = backends
        self._companies = principal.companies
        self._reader = principal.key_id
        self._after = after
        self._wake = wake
        self._waiting: deque[bytes] = deque()
        self._room = trio.Event()
        self._subscription: Subscription | None = None
        self._shown_available: bool | None = None

    def take(self) -> list[bytes]:
        """Return what waits to be sent, and remove it."""
        taken = list(self._waiting)
        self._waiting.clear()
        self._room.set()
        return taken

    def follow_again(self) -> None:
        """Subscribe anew after the last event that was read."""
        if self._subscription is not None:
            self._subscription.close()

    async def run(self) -> None:
        """Follow the log for ever."""
        while True:
            try:
                self._subscription = await self._subscribe()
                self._say(available=True)
                async for event in self._subscription:
                    await self._add(event)
            except SubscriptionClosed:
                continue  # after the last event: a page that is too slow reads from the log
            except (SupervisorError, Refused, StorageUnavailable):
                self._say(available=False)
                await trio.sleep(AGAIN_S)
            finally:
                if self._subscription is not None:
                    self._subscription.close()
                    self._subscription = None

    async def _subscribe(self) -> Subscription:
        ask_s = self._backends.waits.ask_s
        # Dashboards have a limit of their own.
        wanted = Subscribe(after=self._after, company_ids=self._companies, is_own=True, reader=self._reader)
        subscription: Subscription = await self._backends.events.ask(wanted, timeout=ask_s)
        if self._after is None:
            self._after = subscription.last_seq
            try:
                await self._show_latest(subscription.last_seq, ask_s)
            except BaseException:
                subscription.close()
                raise
        return subscription

    async def _show_latest(self, end: int, ask_s: float) -> None:
        wanted = ReadEvents(max(0, end - LATEST), LATEST, self._companies, reader=self._reader)
        page = await self._backends.events.ask(wanted, timeout=ask_s)
        for event in page.events:
            if event.seq <= end:
                await self._add(event)

    async def _add(self, event: Event) -> None:
        while len(self._waiting) >= WAITING_EVENTS:
            self._room = trio.Event()
            await self._room.wait()
        self._after = event.seq
        self._waiting.append(message("event", event, number=event.seq))
        self._wake()

    def _say(self, *, available: bool) -> None:
        if self._shown_available is not available:
            self._shown_available = available
            self._waiting.append(message("log", {"available": available}))
            self._wake()


def message(kind: str, data: Any, *, number: int | None = None) -> bytes:
    """Return one server-sent event. JSON has no line breaks, so one `data` line is enough."""
    numbered = b"" if number is None else b"id: %d\n" % number
    return numbered + b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"


def _parts(kind: str, table: Table[Any], view: View, chosen: Chooser | None) -> Iterable[list[bytes]]:
    if not table.is_filled:
        return
    difference = table.difference(view, chosen)
    if not difference:
        return
    # The key must not learn how many rows it may not see.
    total = table.total if chosen is None else len(view.names)
    yield [_part(kind, total, difference, difference.rows[:ROWS_AT_ONCE])]
    rest = Difference(is_whole=False, rows=difference.rows[ROWS_AT_ONCE:], gone=())
    for start in range(0, len(rest.rows), ROWS_AT_ONCE):
        yield [_part(kind, total, rest, rest.rows[start : start + ROWS_AT_ONCE])]


def _part(kind: str, total: int, difference: Difference, rows: tuple[msgspec.Raw, ...]) -> bytes:
    return message(kind, {"isWhole": difference.is_whole, "rows": rows, "gone": difference.gone, "total": total})


def _last_event_id(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """Return the event to continue after; None: the page was just opened."""
    for name, value in headers:
        if name.lower() == b"last-event-id":
            if not (value.isdigit() and len(value) <= 19 and int(value) <= MAX_SEQ):
                raise Problem("invalid_request", f"Last-Event-ID: a whole number from 0 to {MAX_SEQ} was expected")
            return int(value)
    return None
