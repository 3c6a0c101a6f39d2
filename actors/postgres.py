"""The embedded Postgres as an actor: started before everything that needs it, restarted when it dies, stopped last."""

from __future__ import annotations

from typing import Any, final

import trio

from storage.embedded import EmbeddedPostgres
from supervisor import Actor


class PostgresDied(Exception):
    """The embedded server ended by itself."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the embedded Postgres ended with status {status}")
        self.status = status


@final
class PostgresActor(Actor):
    """Runs one embedded server. Started: it accepts connections. Its death is this actor's crash, and so its restart."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server

    async def started(self) -> None:
        ready = trio.Event()
        self.context.spawn(self._own_server, ready, name="server")
        await ready.wait()

    async def receive(self, message: Any) -> Any:
        raise TypeError(f"the postgres actor understands no messages, got {type(message).__name__}")

    async def _own_server(self, ready: trio.Event) -> None:
        """Run the server; however this ends, no process of it is left."""
        try:
            await self._server.start()
            ready.set()
            raise PostgresDied(await self._server.wait_exit())
        finally:
            with trio.CancelScope(shield=True):  # bounded by the server's own stop deadline
                await self._server.stop()
