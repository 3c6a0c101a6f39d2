"""The pages for people: a small dashboard and the API's documentation, from files in this package and from no other host."""

from __future__ import annotations

import html
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final, final

from litestar import MediaType, Request, Response, Router, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.routes import BaseRoute
from litestar.types import ControllerRouterHandler

from actors.http.problems import KINDS, Kind

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# Without the charset: the framework adds it to whatever is text.
_HTML, _JS, _CSS = (f"text/{kind}" for kind in ("html", "javascript", "css"))
_SCRIPTS: Final = (
    "actor.js", "actors.js", "ages.js", "api.js", "app.js", "company.js", "dialogs.js", "docs.js", "dom.js", "events.js",
    "facts.js", "link.js", "rows.js", "send.js", "sessions.js", "stream.js",
)  # fmt: skip
_FILES: Final[Mapping[str, tuple[str, str]]] = {
    "/": ("index.html", _HTML),
    **{f"/static/{name}": (name, _JS) for name in _SCRIPTS},
    **{f"/static/{name}": (name, _CSS) for name in ("style.css", "dashboard.css")},
}


def pages() -> Router:
    """The routes of all pages. They need no key: what they show they ask the API for, with the key the visitor types in."""
    handlers = [_page(path, name, media_type) for path, (name, media_type) in _FILES.items()]
    return Router("/", route_handlers=[*handlers, errors_page], include_in_schema=False, response_headers=_HEADERS)


def _page(path: str, name: str, media_type: str) -> HTTPRouteHandler:
    content = _read(name)

    def show() -> Response[bytes]:
        return Response(content, media_type=media_type)

    return get(path, sync_to_thread=False, name=f"page-{name}")(show)


def _read(name: str) -> bytes:
    return files("actors.http").joinpath("static", name).read_bytes()


@final
class OfflineDocs(OpenAPIRenderPlugin):
    """The API's documentation as a page of our own; the framework's pages load scripts from other hosts."""

    def __init__(self) -> None:
        super().__init__(path="/")
        self._page = _read("docs.html")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The page; it fetches the OpenAPI document by itself."""
        return self._page


@final
class DocsRouter(Router):
    """Where documentation is served, without the framework's own HTML page for what is not there."""

    def __init__(self) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType]  # generics of Litestar without arguments
            "/docs", route_handlers=[], include_in_schema=False, response_headers=_HEADERS
        )

    def register(self, value: ControllerRouterHandler) -> list[BaseRoute]:
        """Register ``value``, unless it is the one for all other paths."""
        if isinstance(value, HTTPRouteHandler) and "/{path:str}" in value.paths:
            return []
        return super().register(value)


@get("/docs/errors", sync_to_thread=False, media_type=MediaType.HTML)
def errors_page() -> Response[str]:
    """The catalogue of problems; a problem's ``type`` points here."""
    rows = "".join(map(_row, KINDS.values()))
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        '<title>wasup: errors</title><link rel="icon" href="data:,">'
        '<link rel="stylesheet" href="/static/style.css"></head><body><main><h1>Errors of the API</h1><table>'
        "<thead><tr><th>code</th><th>status</th><th>retryable</th><th>meaning</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></main></body></html>"
    )
    return Response(page, media_type=MediaType.HTML)


def _row(kind: Kind) -> str:
    retryable = "yes" if kind.retryable else "no"
    cells = (f"<code>{kind.code}</code>", str(kind.status), retryable, html.escape(kind.meaning))
    return f'<tr id="{kind.code}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
