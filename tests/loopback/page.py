"""The web page at the chat server's address: the same port answers WebSockets and plain requests, as web.whatsapp.com does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

import h11
import trio

MAX_HEAD: Final = 16 * 1024
_CHUNK: Final = 4096


@final
class Replayed(trio.abc.Stream):
    """A stream whose beginning was read already."""

    def __init__(self, stream: trio.abc.Stream, read: bytes) -> None:
        self._stream = stream
        self._read = read

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return the bytes read before, then the stream's own."""
        if self._read:
            first, self._read = self._read, b""
            return first
        return bytes(await self._stream.receive_some(max_bytes))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send on the stream itself."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait on the stream itself."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close the stream itself."""
        await self._stream.aclose()


async def answer_page(stream: trio.abc.Stream, page: Callable[[], bytes]) -> Replayed | None:
    """Answer a plain request (GET /) with the page, once; the stream as it was for a request that asks for a WebSocket.

    RemoteProtocolError for a request that is no HTTP.
    """
    connection, read = h11.Connection(h11.SERVER), b""
    while (event := connection.next_event()) is h11.NEED_DATA:
        received = bytes(await stream.receive_some(_CHUNK))
        if not received or len(read) + len(received) > MAX_HEAD:
            raise h11.RemoteProtocolError("no whole request")
        read += received
        connection.receive_data(received)
    if not isinstance(event, h11.Request):
        raise h11.RemoteProtocolError("no request")
    if any(name == b"upgrade" for name, _ in event.headers):
        return Replayed(stream, read)
    found = event.method == b"GET" and event.target.partition(b"?")[0] == b"/"
    body = page() if found else b""
    headers = [
        ("content-type", "text/html; charset=utf-8"),
        ("content-length", str(len(body))),
        ("connection", "close"),
    ]
    for told in (h11.Response(status_code=200 if found else 404, headers=headers), h11.Data(body), h11.EndOfMessage()):
        await stream.send_all(connection.send(told) or b"")
    await stream.aclose()
    return None
