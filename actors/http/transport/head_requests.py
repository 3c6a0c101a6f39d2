"""HEAD wherever there is GET, and a complete Allow header: the framework provides neither."""

from __future__ import annotations

from typing import Any, Final, cast, final

from litestar import Litestar
from litestar.routes import HTTPRoute

from actors.http.transport.tasks import AsgiApp, AsgiEvent, AsgiReceive, AsgiScope, AsgiSend

_LEARNED: Final = ("path_template", "auth", "slot")
"""Keys that the application adds to the scope and that outer layers read."""


def methods_of(app: Litestar) -> dict[str, set[str]]:
    """Return the methods of each path template."""
    found: dict[str, set[str]] = {}
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            verbs = found.setdefault(route.path_format, set())
            verbs |= {str(method) for method in route.methods}
            if "GET" in verbs:
                verbs.add("HEAD")
    return found


@final
class HeadRequests:
    """ASGI middleware around the application."""

    def __init__(self, app: Litestar) -> None:
        self._app = cast("AsgiApp", app)
        self._allow = {path: ", ".join(sorted(verbs)).encode("ascii") for path, verbs in methods_of(app).items()}

    async def __call__(self, scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
        # A copy: hypercorn omits the body according to the method in its own scope.
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope

        async def send_allow(event: AsgiEvent) -> None:
            if event["type"] == "http.response.start":
                event = {**event, "headers": self._headers(event.get("headers", ()), inner.get("path_template"))}
            await send(event)

        try:
            await self._app(inner, receive, send_allow)
        finally:
            scope.update({name: inner[name] for name in _LEARNED if name in inner})

    def _headers(self, given: Any, template: str | None) -> list[tuple[bytes, bytes]]:
        allow = self._allow.get(template or "")
        return [(name, (allow or _with_head(value)) if name.lower() == b"allow" else value) for name, value in given]


def _with_head(allow: bytes) -> bytes:
    """Add HEAD to an Allow header: for a method without a route the framework names the path's methods, but not HEAD."""
    verbs = {verb.strip() for verb in allow.split(b",")}
    return b", ".join(sorted(verbs | {b"HEAD"} if b"GET" in verbs else verbs))
