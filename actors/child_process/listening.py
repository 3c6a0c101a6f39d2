"""The Unix socket at which the daemon speaks to a child process."""

from __future__ import annotations

from pathlib import Path

import trio


async def listen_at(path: Path) -> trio.SocketListener:
    """A listening Unix socket for its owner alone."""
    place = trio.Path(path)
    await place.unlink(missing_ok=True)
    socket = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    await socket.bind(str(path))
    await place.chmod(0o600)
    socket.listen(128)
    return trio.SocketListener(socket)
