"""Opens the loopback WhatsApp's listeners on 127.0.0.1."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import trio

from tests.loopback.certificates import Authority
from tests.loopback.endpoints import Endpoints
from tests.loopback.loopback import Loopback
from tests.loopback.proxy import CHAT_PATH, serve_plain, serve_proxied

HOST: Final = "127.0.0.1"
BACKLOG: Final = 1024


@asynccontextmanager
async def open_loopback(
    *, proxy_port: int = 0, websocket_port: int = 0, directory: Path | None = None, control: str = ""
) -> AsyncGenerator[Loopback]:
    """Run a loopback WhatsApp inside this block. Ports 0 are chosen; the CA file goes to ``directory``."""
    with tempfile.TemporaryDirectory(prefix="loopback-") as temporary:
        ca_file = (directory or Path(temporary)) / "loopback-ca.pem"
        authority = Authority()
        authority.write_ca(ca_file)
        proxy, plain = await _listen(proxy_port), await _listen(websocket_port)
        endpoints = Endpoints(
            proxy_url=f"http://{HOST}:{_port(proxy)}",
            websocket_url=f"ws://{HOST}:{_port(plain)}{CHAT_PATH}",
            ca_file=str(ca_file),
            root_key=authority.root_key.hex(),
            control=control,
        )
        loopback = Loopback(authority, endpoints)
        by_proxy = partial(
            serve_proxied,
            context=authority.tls_context(),
            serve=loopback.serve,
            serve_media=loopback.media.serve,
            page=loopback.versions.page,
        )
        plainly = partial(serve_plain, serve=loopback.serve, page=loopback.versions.page)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, by_proxy, [proxy])
            nursery.start_soon(trio.serve_listeners, plainly, [plain])
            yield loopback
            nursery.cancel_scope.cancel(reason="the loopback is closed")


async def _listen(port: int) -> trio.SocketListener:
    return (await trio.open_tcp_listeners(port, host=HOST, backlog=BACKLOG))[0]


def _port(listener: trio.SocketListener) -> int:
    return int(listener.socket.getsockname()[1])
