"""The outermost layer of every request: it separates HTTP from WebSocket, adds the common headers, counts and logs."""

from __future__ import annotations

import time
import uuid
from typing import Any, Final, final

import structlog
import trio

from actors.daemon.metrics import Metrics
from actors.http.access.guards import leave
from actors.http.dashboard.stream import DashboardStreams
from actors.http.model.problems import Problem, answer_of
from actors.http.services.failures import where
from actors.http.transport.client_address import ClientAddresses
from actors.http.transport.tasks import AsgiApp, AsgiEvent, AsgiReceive, AsgiScope, AsgiSend
from actors.sharing import SharedSlots

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_EVERYWHERE: Final = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
_NOT_STORED: Final = (b"cache-control", b"no-store")


@final
class Front:
    """Passes HTTP to ``app``, WebSockets to ``live``, open pages to ``dashboards``. Every other request gets a response within
    ``request_timeout_s``.
    """

    def __init__(
        self,
        app: AsgiApp,
        live: AsgiApp,
        dashboards: DashboardStreams,
        peers: ClientAddresses,
        metrics: Metrics,
        *,
        requests: SharedSlots,
        request_timeout_s: float,
    ) -> None:
        self._app = app
        self._live = live
        self._dashboards = dashboards
        self._peers = peers
        self._metrics = metrics
        self._requests = requests
        self._request_timeout_s = request_timeout_s
        self._log = structlog.get_logger("wasup.http")

    async def __call__(self, scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
        scope["client"] = self._peers.client(scope["client"], scope["headers"])
        if scope["type"] == "websocket":
            await self._live(scope, receive, send)
            return
        answer = Answer(send)
        if self._dashboards.serves(scope):
            await self._dashboards.serve(scope, receive, answer)
            return
        began = time.perf_counter()
        try:
            await self._answer(scope, receive, answer)
        finally:
            leave(scope, self._requests)
            self._note(scope, answer, time.perf_counter() - began)

    async def _answer(self, scope: AsgiScope, receive: AsgiReceive, answer: Answer) -> None:
        if not is_canonical(scope["path"]):
            await answer.tell(
                Problem("not_found", "a path has no empty part: leave out doubled and trailing slashes"), scope
            )
            return
        with trio.move_on_after(self._request_timeout_s) as limit:
            try:
                await self._app(scope, receive, answer.send)
            except Exception as error:
                self._log.error("request_failed", error=type(error).__name__, where=where(error))
                if answer.status is not None:
                    raise  # too late for a problem: the connection ends instead
                await answer.tell(Problem("internal_error"), scope)
        if limit.cancelled_caught and answer.status is None:
            await answer.tell(Problem("timeout"), scope)

    def _note(self, scope: AsgiScope, answer: Answer, seconds: float) -> None:
        # The path itself may contain anything; the template is ours.
        route: str = scope.get("path_template") or "unknown"
        method: str = scope["method"] if scope["method"] in _METHODS else "other"
        status = answer.status or 0
        self._metrics.request_answered(method, route, status, seconds)
        principal = scope.get("auth")
        self._log.debug(
            "request",
            request_id=answer.request_id,
            method=method,
            route=route,
            status=status,
            ms=round(seconds * 1000, 1),
            key_id=principal.key_id if principal is not None else None,
        )


def is_canonical(path: str) -> bool:
    """Return whether no part of it is empty. The framework drops empty parts, so it would serve paths that a proxy's rules do not match."""
    return path == "/" or not (path.endswith("/") or "//" in path)


@final
class Answer:
    """Sends the response to one request, with the headers that every response has."""

    def __init__(self, send: AsgiSend) -> None:
        self._send = send
        self.request_id = uuid.uuid4().hex
        self.status: int | None = None
        """None until the response has begun."""

    async def send(self, event: AsgiEvent) -> None:
        """Pass ``event`` on, with the common headers."""
        if event["type"] == "http.response.start":
            self.status = event["status"]
            event = {**event, "headers": self._headers(event.get("headers", ()))}
        await self._send(event)

    async def tell(self, problem: Problem, scope: AsgiScope) -> None:
        """Respond with ``problem``."""
        for event in answer_of(problem, scope):
            await self.send(event)

    def _headers(self, given: Any) -> list[tuple[bytes, bytes]]:
        headers: list[tuple[bytes, bytes]] = [*given, *_EVERYWHERE, (b"x-request-id", self.request_id.encode("ascii"))]
        if not any(name.lower() == b"cache-control" for name, _ in headers):
            headers.append(_NOT_STORED)
        return headers
