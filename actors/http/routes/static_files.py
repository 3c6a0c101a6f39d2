"""The pages for people: a small dashboard and the API's documentation, from files in this package and from no other host."""

from __future__ import annotations

import html
from collections.abc import Mapping
from importlib.resources import files
from typing import Final, final

from litestar import MediaType, Response, Router, get
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.routes import BaseRoute
from litestar.types import ControllerRouterHandler

from actors.http.model.problems import KINDS, Kind
from actors.http.openapi.document import MEDIA_TYPE, Document

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# Without the charset: the framework adds it to every text type.
_HTML, _JS, _CSS = (f"text/{kind}" for kind in ("html", "javascript", "css"))
_SCRIPTS: Final = (
    "actor.js", "actors.js", "ages.js", "api.js", "app.js", "company.js", "dialogs.js", "docs.js", "dom.js", "events.js",
    "facts.js", "link.js", "rows.js", "send.js", "sessions.js", "stream.js",
)  # fmt: skip
_FILES: Final[Mapping[str, tuple[str, str]]] = {
    "/": ("index.html", _HTML),
    "/docs": ("docs.html", _HTML),
    **{f"/static/{name}": (name, _JS) for name in _SCRIPTS},
    **{f"/static/{name}": (name, _CSS) for name in ("style.css", "dashboard.css")},
}


def pages() -> Router:
    """Return the routes of all pages. They need no key: they get their data from the API with the key that the visitor types in."""
    handlers = [_page(path, name, media_type) for path, (name, media_type) in _FILES.items()]
    return Router(
        "/",
        route_handlers=[*handlers, errors_page, openapi_document],
        include_in_schema=False,
        response_headers=_HEADERS,
    )


def _page(path: str, name: str, media_type: str) -> HTTPRouteHandler:
    content = _read(name)

    def show() -> Response[bytes]:
        return Response(content, media_type=media_type)

    return get(path, sync_to_thread=False, name=f"page-{name}")(show)


def _read(name: str) -> bytes:
    return files("actors.http").joinpath("static", name).read_bytes()


@final
class NoRouter(Router):
    """Discards the framework's own pages for the API's documentation: they load scripts from other hosts."""

    def __init__(self) -> None:
        super().__init__("/docs", route_handlers=[])  # pyright: ignore[reportUnknownMemberType]  # generics of Litestar without arguments

    def register(self, value: ControllerRouterHandler) -> list[BaseRoute]:
        """Register nothing."""
        return []


@get("/docs/openapi.json")
async def openapi_document(state: State) -> Response[bytes]:
    """The OpenAPI document, for the documentation page and for generators of clients."""
    document: Document = state.document
    return Response(await document.get(), media_type=MEDIA_TYPE)


@get("/docs/errors", sync_to_thread=False, media_type=MediaType.HTML)
def errors_page() -> Response[str]:
    """The catalogue of problems; a problem's ``type`` points here."""
    rows = "".join(map(_row, KINDS.values()))
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        '<title>wasup: errors</title><link rel="icon" href="data:,">'
        '<link rel="stylesheet" href="../static/style.css"></head><body><main><h1>Errors of the API</h1><table>'
        "<thead><tr><th>code</th><th>status</th><th>retryable</th><th>meaning</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></main></body></html>"
    )
    return Response(page, media_type=MediaType.HTML)


def _row(kind: Kind) -> str:
    retryable = "yes" if kind.retryable else "no"
    cells = (f"<code>{kind.code}</code>", str(kind.status), retryable, html.escape(kind.meaning))
    return f'<tr id="{kind.code}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
