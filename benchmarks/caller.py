"""An HTTP client that costs next to nothing, because the daemon that is measured runs on the same two cores."""

from __future__ import annotations

from typing import Final, final
from urllib.parse import urlsplit

import trio

from tests.support.api import SESSIONS
from tests.support.daemon import Daemon

ANSWER_WITHIN_S: Final = 60.0


class UnexpectedAnswerError(Exception):
    """A response that was not 200. The text begins with its head."""


@final
class Caller:
    """One persistent connection with one request at a time, with the admin key unless another is given."""

    def __init__(self, daemon: Daemon, key: str | None = None) -> None:
        found = urlsplit(daemon.url)
        assert found.hostname is not None
        assert found.port is not None
        self._address = (found.hostname, found.port)
        self._key = daemon.key if key is None else key
        self._stream: trio.SocketStream | None = None

    async def send(self, company: str, to: str, text: str) -> None:
        """Send one text. Raises UnexpectedAnswerError."""
        body = f'{{"phone":"{to}","message":"{text}"}}'
        request = (
            f"POST {SESSIONS}/{company}/send HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {self._key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        )
        if self._stream is None:
            self._stream = await trio.open_tcp_stream(*self._address)
        await self._stream.send_all(request.encode())
        head = await self._answer(self._stream)
        if not head.startswith(b"HTTP/1.1 200 "):
            raise UnexpectedAnswerError(head.decode(errors="replace"))
        if b"\r\nconnection: close" in head.lower():
            self.close()

    async def _answer(self, stream: trio.SocketStream) -> bytes:
        received = b""
        with trio.fail_after(ANSWER_WITHIN_S):
            while b"\r\n\r\n" not in received:
                received += await _some(stream)
            head, _, body = received.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            while len(body) < length:
                body += await _some(stream)
        return head + b"\r\n\r\n" + body

    def close(self) -> None:
        """Close the connection. The next send opens a new one."""
        if self._stream is not None:
            self._stream.socket.close()
            self._stream = None


async def _some(stream: trio.SocketStream) -> bytes:
    data = await stream.receive_some(65536)
    if not data:
        raise UnexpectedAnswerError("the connection was closed before the answer")
    return bytes(data)
