"""The embedded Postgres as an actor: started before everything that needs it, restarted when it dies, stopped last."""

from __future__ import annotations

from typing import Any, Final, final

import trio

from actors.disk.state import DiskState
from storage.embedded.server import EmbeddedPostgres
from supervisor import Actor

DISK_AGAIN_S: Final = 1.0


class PostgresDied(Exception):
    """The embedded server ended by itself."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the embedded Postgres ended with status {status}")
        self.status = status


@final
class PostgresActor(Actor):
    """Runs one embedded server, and has started once it accepts connections. When the server ends, this actor crashes and is restarted."""

    def __init__(self, server: EmbeddedPostgres, disk: DiskState) -> None:
        """``disk``: while it takes no writes, the server is not started. It would only end again, and use up its supervisor's restarts."""
        self._server = server
        self._disk = disk

    async def started(self) -> None:
        ready = trio.Event()
        self.context.spawn(self._own_server, ready, name="server")
        await ready.wait()

    async def receive(self, message: Any) -> Any:
        raise TypeError(f"the postgres actor understands no messages, got {type(message).__name__}")

    async def _own_server(self, ready: trio.Event) -> None:
        """Run the server. However this ends, none of its processes is left."""
        try:
            # At the daemon's own start it is tried nevertheless, so that the start fails with the server's own error.
            while self.context.incarnation > 1 and self._disk.fault is not None:
                await trio.sleep(DISK_AGAIN_S)
            await self._server.start()
            ready.set()
            raise PostgresDied(await self._server.wait_exit())
        finally:
            with trio.CancelScope(shield=True):  # bounded by the server's own stop deadline
                await self._server.stop()
